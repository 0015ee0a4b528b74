"""Where images and latents are kept: on the device, in memory, or on disk."""

import contextlib
import ctypes
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from autodecoder.config import OWN, RunConfig
from autodecoder.config.rules import check_choice
from autodecoder.core.decoders import count_activations, count_weights, shape_decoder
from autodecoder.core.epoch import pass_windows
from autodecoder.core.scaling import SCALINGS
from autodecoder.data.packed import PackedImages
from autodecoder.errors import ConfigError, MemoryLimitError
from autodecoder.machine import free_memory
from autodecoder.model.row_stores import count_row_bytes
from autodecoder.text import count, told

#: Choices of where latents and their moments are kept.
ROWS = ("auto", "device", "host", "disk")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
#: Bytes for programs, without images and rows. This and the next two are measured by
#: benchmarks/streaming.py.
_PROGRAMS = 600 * 10**6
#: Copies of a window's images in memory: current, next, and freed but not yet returned.
_WINDOWS = 3
#: Copies of a window's rows in memory: to the device, on it, in the program, and back.
_ROWS_OF_WINDOW = 10
#: Share of free memory that may be used.
_SHARE = 0.8
#: Copies of the weights that a fit has: themselves, their gradients, and two moments.
_COPIES = 4
#: The parameter of `mallopt`, from malloc.h.
_M_MMAP_THRESHOLD = -3


@dataclass(frozen=True)
class MemoryConfig:
    """Where rows are kept, and how much memory may be used; see `run_study`."""

    rows: str = "auto"
    """One of `ROWS`."""
    memory: int | str | None = None
    """Bytes of memory, also as text such as `2GB`; by default a share of the free memory."""

    def __post_init__(self) -> None:
        check_choice("rows", self.rows, ROWS)
        if self.memory is not None:
            object.__setattr__(self, "memory", parse_bytes("memory", self.memory))

    @property
    def most_in_memory(self) -> int | None:
        """Most bytes of packed images to read as a whole; `None` for the default of the reader."""
        # Images are held twice, as arrays of NumPy and of jax.
        return None if self.memory is None else int(self.memory) // 4


#: The default: choose where rows are kept by the free memory.
AUTO = MemoryConfig()


def parse_bytes(name: str, given: Any) -> int:
    """Convert a number of bytes, also as text such as `2GB` or `512MiB`.

    Raises
    ------
    ConfigError
        If `given` is not a number of bytes.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*?)b?", str(given).strip().lower())
    unit = None if match is None else {**_UNITS, **_BINARY}.get(match[2])
    if match is None or unit is None or isinstance(given, bool) or float(match[1]) <= 0:
        raise ConfigError(f"{name} must be a number of bytes such as 2GB, got {told(given)}.")
    return int(float(match[1]) * unit)


def choose_rows(
    wanted: MemoryConfig, train: Any, mask: Any, config: RunConfig, n_runs: int
) -> str | None:
    """Choose where the rows of `n_runs` runs are kept if images are read window by window.

    Returns `device`, `host` or `disk`, or `None` if all images and rows are kept on the device, and
    no windows are needed.

    Parameters
    ----------
    wanted : MemoryConfig
    train, mask : (n, pixels)
        Training images, and their mask or `None`.
    config : RunConfig
    n_runs : int

    Raises
    ------
    ConfigError
        If the configured memory is too little for `wanted.rows`, or for any choice.
    """
    n, is_packed = len(train), isinstance(train, PackedImages)
    of_row = count_row_bytes(config.fit, config.decoder.latent_dims)
    rows = n * n_runs * of_row
    pixels = int(train.size * train.dtype.itemsize) + (0 if mask is None else int(mask.nbytes))
    # Programs need a second copy of the rows; arrays that the caller holds count, too.
    whole = _PROGRAMS + 2 * rows + pixels * (1 if is_packed else 2)
    if wanted.rows in ("auto", "device") and (
        whole <= _budget(wanted) or (not is_packed and wanted.memory is None)
    ):
        return None
    windows = pass_windows(n, config, training=True)
    longest = max(b - a for a, b in zip(windows.bounds[:-1], windows.bounds[1:], strict=True))
    window = longest * windows.n_shards
    base = _PROGRAMS + window * (_WINDOWS * pixels // n + _ROWS_OF_WINDOW * of_row)
    if not is_packed:
        base += pixels
    memory = _budget(wanted)
    if base > memory and wanted.memory is not None:
        less = "; a smaller shuffle_buffer takes less." if memory > 1.1 * _PROGRAMS else "."
        raise ConfigError(
            f"memory must be at least {base / 1e6:.0f} MB for programs and the {min(window, n)} "
            f"images that are shuffled together, got {memory / 1e6:.0f} MB{less}"
        )
    kept = base + (2 if wanted.rows == "host" else 1) * rows
    if wanted.rows in ("host", "device") and wanted.memory is not None and kept > memory:
        raise ConfigError(
            f"memory must be at least {kept / 1e6:.0f} MB with rows {wanted.rows}, for latents "
            f"with their moments, a copy of them for checkpoints, images and programs, got "
            f"{memory / 1e6:.0f} MB; rows disk takes less."
        )
    if base > memory and config.fit.shuffle_buffer == 0:
        raise ConfigError(
            f"shuffle_buffer 0 shuffles all {n} images together, which do not fit into "
            f"{memory / 1e9:.2f} GB: give a number of images, or leave shuffle_buffer out."
        )
    if wanted.rows != "auto":
        return wanted.rows
    if jax.default_backend() != "cpu" and base + rows <= _device_memory():
        return "device"
    # A checkpoint needs a copy of the rows.
    return "host" if base + 2 * rows <= memory else "disk"


def check_memory(
    config: RunConfig, n_images: int, n_runs: int = 1, lower: Sequence[str] = ()
) -> None:
    """Refuse a fit that cannot fit into memory: compiled programs would end the whole process.

    Parameters
    ----------
    config : RunConfig
    n_images : int
        Number of training images, of which a batch has at most all.
    n_runs : int
        Number of runs that share `config`.
    lower : sequence of str
        Further settings that the message advises to lower.

    Raises
    ------
    MemoryLimitError
        If the weights of all runs, their gradients and both moments, and the activations of one
        batch need more than is free.
    """
    if jax.default_backend() != "cpu" or config.decoder.arch == OWN:
        return
    activation = SCALINGS[config.scaler].output_activation
    decoder = shape_decoder(config.decoder, config.image_shape, activation)
    n_weights, batch = count_weights(decoder), min(config.fit.batch_size, n_images)
    of_batch = 4 * batch * count_activations(decoder, config.decoder.latent_dims)
    needed, free = 4 * _COPIES * n_weights * n_runs + of_batch, free_memory()
    if needed > free:
        also = ["batch_size"] if of_batch > needed / 8 else []
        raise MemoryLimitError(
            f"{needed / 1e9:.1f} GB of memory are needed for {count(n_runs, 'run')} of "
            f"{count(n_weights, 'weight')} in batches of {count(batch, 'image')}, "
            f"{free / 1e9:.1f} GB are free: lower {', '.join([*lower, *also, 'arch'])} or "
            "latent_dims."
        )


def give_back_at_once() -> None:
    """Make the allocator return freed arrays of 4 MiB or more to the system at once.

    By default glibc keeps them for reuse. Does nothing outside of Linux.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**22)


def _budget(wanted: MemoryConfig) -> float:
    """Bytes of memory that may be used."""
    if wanted.memory is not None:
        return float(wanted.memory)
    return _SHARE * free_memory()


def _device_memory() -> float:
    stats = jax.devices()[0].memory_stats() or {}
    return _SHARE * stats.get("bytes_limit", 0)
