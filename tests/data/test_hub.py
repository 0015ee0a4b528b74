"""Data sets that the library of Hugging Face loads, from folders on this machine."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import classes

from autodecoder.data import load_dataset
from autodecoder.errors import ConfigError, DataError


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "hf" / "datasets")
    return library


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"not installed; pip install 'autodecoder\[hf\]'"):
        load_dataset("hf:mnist")


@pytest.mark.filterwarnings("default")
def test_folders_of_images(hub: Any, tmp_path: Path) -> None:
    for part in ("train", "test"):
        classes(tmp_path / "pets" / part, {"cat": 3, "dog": 2})
    data = load_dataset(f"hf:{tmp_path / 'pets'}")
    assert data.name == "pets"
    assert data.class_names == ("cat", "dog")
    assert data.image_shape == (4, 6, 1)
    for part in (data.train, data.val):
        assert sorted(part.images[:, 0, 0, 0].tolist()) == [0, 1, 2, 10, 11]
        assert (part.labels == part.images[:, 0, 0, 0] // 10).all()


@pytest.mark.filterwarnings("default")
def test_a_table_of_images_and_labels(hub: Any, tmp_path: Path) -> None:
    rows = {
        "img": [{"bytes": png(np.full((5, 5, 3), k, np.uint8)), "path": None} for k in range(10)],
        "fine_label": [k % 2 for k in range(10)],
        "other": ["x"] * 10,
    }
    features = hub.Features(
        {
            "img": hub.Image(),
            "fine_label": hub.ClassLabel(names=["even", "odd"]),
            "other": hub.Value("string"),
        }
    )
    (tmp_path / "table").mkdir()
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(rows, schema=features.arrow_schema)
    parquet.write_table(table, tmp_path / "table" / "train.parquet")
    data = load_dataset(f"hf:{tmp_path / 'table'}", image_size="3x4", val_fraction=0.4)
    assert data.class_names == ("even", "odd")
    assert data.train.images.shape == (6, 3, 4, 3)
    assert np.bincount(data.val.labels).tolist() == [2, 2]
    assert (data.train.labels == data.train.images[:, 0, 0, 0] % 2).all()


@pytest.mark.filterwarnings("default")
def test_names_are_rows_and_a_file_may_choose_them(
    hub: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part, n in (("train", 6), ("test", 2)):
        classes(tmp_path / "pets" / part, {"cat": n})
    name = f"hf:{tmp_path / 'pets'}"
    data = load_dataset(name, examples_frac=0.5, val_fraction=0.0)
    assert "val_fraction 0 holds out none" in caplog.text
    for images in (data.train, data.val):
        assert images.names is not None
        assert images.names.tolist() == images.images[:, 0, 0, 0].tolist()
    table = tmp_path / "split.csv"
    table.write_text("".join(f"{k},{'val' if k == 4 else 'train'}\n" for k in range(6)))
    data = load_dataset(name, split_by=table)
    assert data.val.images[:, 0, 0, 0].tolist() == [4]
    assert "its own validation images are not used" in caplog.text
    (tmp_path / "alone").mkdir()
    (tmp_path / "pets" / "train").rename(tmp_path / "alone" / "train")
    assert len(load_dataset(f"hf:{tmp_path / 'alone'}", val_fraction=0.0).val) == 0


@pytest.mark.filterwarnings("default")
def test_what_cannot_be_loaded(hub: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hf:\S*nowhere cannot be loaded: "):
        load_dataset(f"hf:{tmp_path / 'nowhere'}")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="must have a column of images, got a, b"):
        load_dataset(f"hf:{tmp_path / 'text'}")
