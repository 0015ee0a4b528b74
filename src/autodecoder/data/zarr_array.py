"""Images of an array that zarr stores in chunks: `zarr:PATH`; the zarr library is optional."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.config import DataConfig
from autodecoder.data.plan import Plan
from autodecoder.data.stacks import plan_arrays
from autodecoder.errors import ConfigError, DataError
from autodecoder.text import told

#: Codecs that are read. Others run code that is not made for foreign files, or unpack a few bytes
#: to a gigabyte.
_CODECS = frozenset(
    (
        *("blosc", "zstd", "gzip", "zlib", "lz4", "bytes", "transpose", "sharding_indexed"),
        *("shuffle", "delta", "fixedscaleoffset", "quantize", "packbits", "bitround", "astype"),
        *("crc32", "crc32c", "fletcher32", "adler32"),
    )
)
#: Largest chunk, and largest block of rows that is read at once, in bytes.
_LARGEST_CHUNK, _LARGEST_BLOCK = 2**31, 2**28
#: Most images: a few bytes can promise any number, and some numbers are kept of each.
_MOST_ROWS = 2**28


class ZarrImages:
    """A zarr array whose rows are returned as NumPy arrays.

    Parameters
    ----------
    array : zarr.Array
        An array of three or four axes.
    name : str
        Name of the array in messages.

    Raises
    ------
    DataError
        If its chunks are too large, or are encoded in a way that is not read.
    """

    def __init__(self, array: Any, name: str) -> None:
        self._array, self._name = array, name
        for codec in sorted(_codecs_of(array.metadata.to_dict()) - _CODECS):
            raise DataError(f"{name} is encoded by {codec[:50]}, which is not read.")
        self.shape: tuple[int, ...] = tuple(map(int, array.shape)) + (1,) * (len(array.shape) == 3)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim: int = len(self.shape)
        self.size: int = math.prod(self.shape)
        of_row = max(1, self.dtype.itemsize * math.prod(self.shape[1:]))
        if self.shape[0] > _MOST_ROWS or of_row > _LARGEST_CHUNK:
            raise DataError(f"{name} has the shape {told(self.shape)}, which is too large.")
        if array.chunks and math.prod(array.chunks) * self.dtype.itemsize > _LARGEST_CHUNK:
            raise DataError(f"{name} has chunks of more than {_LARGEST_CHUNK // 2**30} GiB.")
        self.rows_at_once: int = min(
            int(array.chunks[0]) if array.chunks else 1, max(1, _LARGEST_BLOCK // of_row)
        )
        """Number of rows of a chunk, which is read and decompressed whole."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Int[np.ndarray, " k"]) -> Shaped[np.ndarray, "k ..."]:
        try:
            taken = np.asarray(self._array.oindex[np.asarray(rows)])
        except MemoryError:
            raise
        except Exception as error:  # from several stores, formats and codecs
            raise DataError(f"{self._name} cannot be read: {_reason(error)}.") from error
        return taken.reshape(len(rows), *self.shape[1:])


def plan_zarr(path: Path, config: DataConfig, *, seed: int) -> Plan:
    """Plan to read the configured share of the images of a zarr array, (n, height, width) or
    (n, height, width, channels), as `plan_stack` reads those of an .npy.

    Raises
    ------
    ConfigError
        If zarr is not installed.
    DataError
        If it is not an array of images, or cannot be read.
    """
    try:
        import zarr  # pyright: ignore[reportMissingImports]  (optional)
    except ImportError as error:
        raise ConfigError("zarr is not installed; pip install zarr brings it.") from error
    try:
        found: Any = zarr.open(str(path), mode="r")
        is_array = hasattr(found, "chunks")
        inner = [] if is_array else sorted(map(str, found.array_keys()))
    except Exception as error:  # from several stores and formats
        raise DataError(f"zarr:{path} cannot be opened: {_reason(error)}.") from error
    if not is_array:
        named = f"zarr:{path / inner[0]} names one" if inner else "and holds none"
        raise DataError(f"zarr:{path} must be an array, but is a group of arrays; {named}.")
    images = ZarrImages(found, f"zarr:{path}")
    return plan_arrays({"images": images}, {}, path, config, seed=seed)


def _codecs_of(metadata: Any) -> set[str]:
    """Names of all codecs, also of those within another codec."""
    if isinstance(metadata, list | tuple):
        return set().union(*map(_codecs_of, metadata))
    if not isinstance(metadata, dict):
        return set()
    found: set[str] = set()
    for key, value in metadata.items():
        if key in ("compressor", "filters", "codecs", "index_codecs") and value:
            for codec in value if isinstance(value, list | tuple) else [value]:
                about = codec if isinstance(codec, dict) else codec.to_dict()
                name = str(about.get("name", about.get("id")))
                found |= {name.removeprefix("numcodecs.")} | _codecs_of(about)
        elif isinstance(value, dict | list | tuple):
            found |= _codecs_of(value)
    return found


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")
