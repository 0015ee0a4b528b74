"""Images of a zarr array, where its library is installed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.builders import assert_same

from autodecoder.config import DataConfig
from autodecoder.data import load_dataset
from autodecoder.data.packing import pack_images
from autodecoder.data.zarr_array import ZarrImages
from autodecoder.errors import ConfigError, DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 6), np.uint8)


@pytest.fixture
def zarr() -> Any:
    return pytest.importorskip("zarr", reason="zarr is not installed")


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ConfigError, match=r"zarr is not installed; pip install zarr brings it\."):
        load_dataset("zarr:some.zarr")


@pytest.mark.parametrize("shape", [(30, 4, 6), (30, 4, 3, 2)])
def test_rows(zarr: Any, shape: tuple[int, ...]) -> None:
    images = PIXELS.reshape(shape)
    rows = ZarrImages(zarr.array(images, chunks=(7, *shape[1:])), "images")
    assert (rows.shape, rows.ndim, len(rows)) == ((*shape, 1)[:4], 4, 30)
    assert (rows.size, rows.dtype, rows.rows_at_once) == (720, np.uint8, 7)
    np.testing.assert_array_equal(
        rows[np.array([3, 8])], images.reshape(rows.shape)[[3, 8]], strict=True
    )


@pytest.mark.filterwarnings("default")
def test_an_array_is_read_as_an_npy(zarr: Any, tmp_path: Path) -> None:
    made = zarr.open(
        str(tmp_path / "a.zarr"), mode="w", shape=PIXELS.shape, chunks=(7, 4, 6), dtype="u1"
    )
    made[:] = PIXELS
    np.save(tmp_path / "a.npy", PIXELS)
    name = f"zarr:{tmp_path / 'a.zarr'}"
    assert_same(load_dataset(name, seed=3), load_dataset(f"npy:{tmp_path / 'a.npy'}", seed=3))
    pack_images(DataConfig(dataset=name), tmp_path / "out", shard_images=5)
    assert_same(load_dataset(f"packed:{tmp_path / 'out'}"), load_dataset(name))


@pytest.mark.filterwarnings("default")
def test_what_is_no_array(zarr: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        load_dataset(f"zarr:{tmp_path / 'nothing.zarr'}")
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    with pytest.raises(DataError, match="is a group of arrays; and holds none"):
        load_dataset(f"zarr:{tmp_path / 'g.zarr'}")
    made = group.create_array("x", shape=PIXELS.shape, chunks=PIXELS.shape, dtype="u1")
    made[:] = PIXELS
    with pytest.raises(DataError, match=r"group of arrays; zarr:.*g\.zarr/x names one"):
        load_dataset(f"zarr:{tmp_path / 'g.zarr'}")
    assert len(load_dataset(f"zarr:{tmp_path / 'g.zarr' / 'x'}").val) == 6
