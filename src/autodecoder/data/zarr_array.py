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


class ZarrImages:
    """A zarr array whose rows are returned as NumPy arrays.

    Parameters
    ----------
    array : zarr.Array
        An array of three or four axes.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, ...] = tuple(map(int, array.shape)) + (1,) * (len(array.shape) == 3)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim: int = len(self.shape)
        self.size: int = math.prod(self.shape)
        self.rows_at_once: int = int(array.chunks[0]) if array.chunks else 1
        """Number of rows of a chunk, which is read and decompressed whole."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Int[np.ndarray, " k"]) -> Shaped[np.ndarray, "k ..."]:
        taken = np.asarray(self._array.oindex[np.asarray(rows)])
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
        reason = (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")
        raise DataError(f"zarr:{path} cannot be opened: {reason}.") from error
    if not is_array:
        named = f"zarr:{path / inner[0]} names one" if inner else "and holds none"
        raise DataError(f"zarr:{path} must be an array, but is a group of arrays; {named}.")
    return plan_arrays({"images": ZarrImages(found)}, {}, path, config, seed=seed)
