"""Which devices a fit or a study uses, and as what table."""

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

_AXES = ("data", "runs")


@dataclass(frozen=True)
class Devices:
    """Devices of this process, and how runs and images lie over them.

    Parameters
    ----------
    chosen : tuple of jax.Device
    table : (runs, data), optional
        How many share the runs of a population, and how many the images of a run. By default runs
        come first, see `core.layout.lay_out`.
    """

    chosen: tuple[Any, ...]
    table: tuple[int, int] | None = None

    @property
    def in_turn(self) -> tuple[Any, ...]:
        """Those that blocks of images go to in turn; of one, nothing is said."""
        return self.chosen if len(self.chosen) > 1 else (None,)

    def own(self, array: np.ndarray | PackedImages) -> Any:
        """A copy of images on the device; for several of them, which each take some, on the host.

        Copied, since jax would share the memory of arrays that the caller may change; those that
        are mapped, as they are large, are shared all the same.
        """
        mapped = isinstance(array, np.memmap)
        if len(self.chosen) > 1:
            return array if mapped else np.array(array)
        return jnp.asarray(array) if mapped else jnp.array(array)

    def lay_out(self, n_runs: int, sizes: tuple[int, int], config: RunConfig) -> Layout | None:
        """Where so many runs lie, on `(n_train, n_val)` images; nothing for one device.

        Raises
        ------
        ConfigError
            If batches cannot be cut into so many parts.
        """
        fit = config.fit
        n_train, n_val = (count_shards(max(1, n), fit.batch_size, fit.shards) for n in sizes)
        if self.table is not None and n_train % self.table[1]:
            raise ConfigError(
                f"mesh cannot share batches of {min(fit.batch_size, sizes[0])} of "
                f"{count(sizes[0], 'image')} among {self.table[1]} devices: they take equally many "
                f"images from each of {count(n_train, 'shard')}; a batch_size that is a multiple "
                f"of data does, as does a power of two."
            )
        return lay_out(self.chosen, n_runs, sizes, (n_train, n_val), self.table)


def choose_devices(devices: int | str | None = None, mesh: str | None = None) -> Devices:
    """The devices asked for.

    Parameters
    ----------
    devices : int or "all", optional
        How many, also as text; 1 by default, or as many as `mesh` needs.
    mesh : str, optional
        Such as `data=4,runs=2`: eight devices, four of which share the images of a run, twice.

    Raises
    ------
    ConfigError
        If there are fewer devices, or they are no such table.
    """
    table = None if mesh is None else _read_table(mesh)
    there = jax.local_devices()
    wanted = 1 if table is None else table[0] * table[1]
    if devices is not None:
        n = len(there) if devices == "all" else devices
        if isinstance(n, str) and n.isdecimal():
            n = int(n)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ConfigError(f"devices must be a number from 1 on, or all, got {devices!r}.")
        if table is not None and n != wanted:
            raise ConfigError(
                f"mesh {mesh} is for {count(wanted, 'device')}, but devices says {devices}"
                + (f", which is {n}." if devices == "all" else ".")
            )
        wanted = n
    if wanted > len(there):
        raise ConfigError(
            f"{count(wanted, 'device')} asked for, but jax finds {len(there)}: "
            f"{', '.join(sorted({device.device_kind for device in there}))}."
        )
    return Devices(tuple(there[:wanted]), table)


def _read_table(mesh: str) -> tuple[int, int]:
    found: dict[str, int] = {}
    for part in mesh.split(","):
        name, _, number = part.strip().partition("=")
        if name not in _AXES or name in found or not number.isdecimal() or not int(number):
            raise ConfigError(f"mesh must be like data=4,runs=2, got {mesh!r}.")
        found[name] = int(number)
    return found.get("runs", 1), found.get("data", 1)
