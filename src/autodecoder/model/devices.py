"""The devices that a fit or a study uses, and their table."""

import logging
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import RunConfig
from autodecoder.core.layout import Layout, lay_out
from autodecoder.core.order import count_shards
from autodecoder.data.packed import PackedImages
from autodecoder.errors import ConfigError
from autodecoder.text import count

_log = logging.getLogger(__name__)
_AXES = ("data", "runs")


@dataclass(frozen=True)
class Devices:
    """Devices, and how runs and images are divided among them.

    Parameters
    ----------
    chosen : tuple of jax.Device
    table : (runs, data), optional
        Number of devices among which runs are divided, and number among which the images of a run
        are divided. By default runs are divided first, see `core.layout.lay_out`.
    """

    chosen: tuple[Any, ...]
    table: tuple[int, int] | None = None

    @property
    def in_turn(self) -> tuple[Any, ...]:
        """Devices of this process for blocks of images in turn; `(None,)`, the default device, if
        only one is chosen."""
        own = tuple(d for d in self.chosen if d.process_index == jax.process_index())
        return own if len(self.chosen) > 1 else (None,)

    def own(self, array: np.ndarray | PackedImages) -> Any:
        """A copy of images on the device, or on the host if several devices will each take a part.

        Images are copied, since jax would share memory that the caller may change. Memory maps,
        which are large, are shared nevertheless.
        """
        mapped = isinstance(array, np.memmap)
        if len(self.chosen) > 1:
            return array if mapped or isinstance(array, PackedImages) else np.array(array)
        return jnp.asarray(array) if mapped else jnp.array(array)

    def lay_out(self, n_runs: int, sizes: tuple[int, int], config: RunConfig) -> Layout | None:
        """The layout for `n_runs` runs with `(n_train, n_val)` images; `None` for one device.

        Raises
        ------
        ConfigError
            If batches cannot be divided into as many parts as `table` asks for.
        """
        fit = config.fit
        n_train, n_val = (count_shards(max(1, n), fit.batch_size, fit.shards) for n in sizes)
        if self.table is not None and n_train % self.table[1]:
            raise ConfigError(
                f"mesh cannot divide batches of {min(fit.batch_size, sizes[0])} of "
                f"{count(sizes[0], 'image')} among {self.table[1]} devices, since a batch takes "
                f"equally many images from each of {count(n_train, 'shard')}: choose a batch_size "
                f"that is a multiple of data, or a power of two."
            )
        shards = n_train, n_val
        layout = lay_out(self.chosen, n_runs, sizes, shards, self.table)
        is_over_hosts = any(d.process_index != jax.process_index() for d in self.chosen)
        used = 1 if layout is None else layout.mesh.size
        if is_over_hosts and used < len(self.chosen):
            # Every process must take part: each device gets a run, or a copy of the last one.
            _log.warning(
                "%s in batches of %d can use %d of the %d devices of all processes, since a batch "
                "takes equally many images from each of %s; a batch_size that is a power of two "
                "can use more",
                *(count(n_runs, "run"), fit.batch_size, min(n_runs, used), len(self.chosen)),
                count(n_train, "shard"),
            )
            return lay_out(self.chosen, n_runs, sizes, shards, (len(self.chosen), 1))
        return layout


def choose_devices(
    devices: int | str | None = None, mesh: str | None = None, *, over_hosts: bool = False
) -> Devices:
    """Choose the requested devices.

    Parameters
    ----------
    devices : int or "all", optional
        Number of devices, also as text; by default 1, or as many as `mesh` needs.
    mesh : str, optional
        Table of devices, such as `data=4,runs=2`: eight devices in two groups; runs are divided
        between the groups, and the images of a run among the four devices of a group.
    over_hosts : bool
        Choose from the devices of all processes of `jax.distributed`, all of which must be used.

    Raises
    ------
    ConfigError
        If there are fewer devices, or their number does not match `mesh`.
    """
    table = None if mesh is None else _read_table(mesh)
    there = jax.devices() if over_hosts else jax.local_devices()
    wanted = count_devices(devices, mesh)
    if wanted is None:
        wanted = len(there)
        if table is not None and wanted != table[0] * table[1]:
            raise ConfigError(
                f"mesh {mesh} is for {count(table[0] * table[1], 'device')}, but devices says all, "
                f"which is {wanted}."
            )
    if wanted > len(there):
        raise ConfigError(
            f"{count(wanted, 'device')} asked for, but jax finds {len(there)}: "
            f"{', '.join(sorted({device.device_kind for device in there}))}."
        )
    if over_hosts and wanted < len(there):
        raise ConfigError(
            f"devices must be all {count(len(there), 'device')} of the processes, got "
            f"{count(wanted, 'device')}."
        )
    return Devices(tuple(there[:wanted]), table)


def count_devices(devices: int | str | None = None, mesh: str | None = None) -> int | None:
    """The requested number of devices; `None` for all of them.

    Raises
    ------
    ConfigError
        If `devices` is not a number, or does not match `mesh`.
    """
    table = None if mesh is None else _read_table(mesh)
    wanted = 1 if table is None else table[0] * table[1]
    if devices is None:
        return wanted
    if devices == "all":
        return None
    n = int(devices) if isinstance(devices, str) and devices.isdecimal() else devices
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigError(f"devices must be a number from 1 on, or all, got {devices!r}.")
    if table is not None and n != wanted:
        raise ConfigError(
            f"mesh {mesh} is for {count(wanted, 'device')}, but devices says {devices}."
        )
    return n


def _read_table(mesh: str) -> tuple[int, int]:
    found: dict[str, int] = {}
    for part in mesh.split(","):
        name, _, number = part.strip().partition("=")
        if name not in _AXES or name in found or not number.isdecimal() or not int(number):
            raise ConfigError(f"mesh must be like data=4,runs=2, got {mesh!r}.")
        found[name] = int(number)
    return found.get("runs", 1), found.get("data", 1)
