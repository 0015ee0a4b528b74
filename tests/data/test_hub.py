"""Data sets that the library of Hugging Face loads, from folders on this machine."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace
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


@pytest.mark.parametrize(
    ("version", "given"), [("3.6.0", {"trust_remote_code": False}), ("4.0.0", {}), ("10.1", {})]
)
def test_scripts_of_a_data_set_are_not_run(
    version: str, given: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its release 4, the library obeys HF_DATASETS_TRUST_REMOTE_CODE."""
    asked: list[dict[str, Any]] = []

    def load(name: str, part: str | None, *, revision: str | None, **options: Any) -> None:
        asked.append(options)
        raise ValueError(f"The repository for {name} contains custom code")

    library = SimpleNamespace(
        __version__=version,
        load_dataset=load,
        is_progress_bar_enabled=lambda: False,
        disable_progress_bars=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "datasets", library)
    with pytest.raises(DataError, match="hf:some/set cannot be loaded: The repository for some/se"):
        load_dataset("hf:some/set")
    assert asked == [given]


def saved(hub: Any, place: Path, columns: dict[str, Any], **features: Any) -> Any:
    """Write images and other columns by `save_to_disk`."""
    images = [{"bytes": png(np.full((4, 4), k, np.uint8)), "path": None} for k in range(12)]
    columns = {"image": images, **columns}
    features = {"image": hub.Image(), **features}
    rows = hub.Dataset.from_dict(columns, features=hub.Features(features))
    rows.save_to_disk(place)
    return rows


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["plain", "with:colon", "with@sign"])
def test_what_save_to_disk_wrote(hub: Any, tmp_path: Path, name: str) -> None:
    labels = hub.ClassLabel(names=["even", "odd"])
    rows = saved(hub, tmp_path / name, {"label": [k % 2 for k in range(12)]}, label=labels)
    data = load_dataset(f"hf:{tmp_path / name}")
    assert data.name == name
    assert (len(data.train), len(data.val)) == (10, 2)
    assert data.class_names == ("even", "odd")
    with pytest.raises(DataError, match=rf"must be hf:\S*{name}: .* has neither"):
        load_dataset(f"hf:{tmp_path / name}:some")
    hub.DatasetDict(Train=rows, Test=rows.select(range(4))).save_to_disk(tmp_path / "both")
    data = load_dataset(f"hf:{tmp_path / 'both'}")
    assert (len(data.train), len(data.val)) == (12, 4)


def _labels(kind: str) -> list[Any]:
    return [
        {"digit": k % 3, "one": [k % 3], "hot": [int(k % 3 == i) for i in range(3)]}[kind]
        for k in range(12)
    ]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["digit", "one", "hot"])
def test_labels_by_other_names_and_in_lists(
    hub: Any, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = hub.Value("int64")
    name = "digit" if kind == "digit" else "label"
    feature = whole if kind == "digit" else hub.Sequence(whole)
    saved(hub, tmp_path / "x", {name: _labels(kind)}, **{name: feature})
    data = load_dataset(f"hf:{tmp_path / 'x'}")
    assert data.class_names == ("0", "1", "2")
    assert (data.train.labels == data.train.images[:, 0, 0, 0] % 3).all()
    assert not [r for r in caplog.records if r.name.startswith("autodecoder")]


@pytest.mark.filterwarnings("default")
def test_what_is_there_and_not_used_is_told(
    hub: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    several = [[0, 1] if k % 2 else [1] for k in range(12)]
    saved(hub, tmp_path / "x", {"label": several}, label=hub.Sequence(hub.Value("int64")))
    assert load_dataset(f"hf:{tmp_path / 'x'}").class_names == ("images",)
    assert "label does not give one class per image and is not used" in caplog.text
    other = [{"bytes": png(np.full((4, 4), 99, np.uint8)), "path": None}] * 12
    saved(hub, tmp_path / "two", {"a": other}, a=hub.Image())
    assert load_dataset(f"hf:{tmp_path / 'two'}").train.images.max() < 12
    assert "image used as column of images; not used a" in caplog.text
    saved(hub, tmp_path / "id", {"id": ["x"] * 12}, id=hub.Value("string"))
    load_dataset(f"hf:{tmp_path / 'id'}")
    assert "no column of labels found in id" in caplog.text


@pytest.mark.filterwarnings("default")
def test_encoded_images_without_their_type(hub: Any, tmp_path: Path) -> None:
    content = [png(np.full((4, 4), k, np.uint8)) for k in range(12)]
    for name, column in (("a", content), ("b", [{"bytes": c, "path": None} for c in content])):
        hub.Dataset.from_dict({"image": column}).save_to_disk(tmp_path / name)
        assert len(load_dataset(f"hf:{tmp_path / name}").train) == 10
    hub.Dataset.from_dict({"image": [[[1]]] * 12}).save_to_disk(tmp_path / "lists")
    with pytest.raises(DataError, match=r"its column image holds List.* where images are needed"):
        load_dataset(f"hf:{tmp_path / 'lists'}")


@pytest.mark.filterwarnings("default")
def test_configurations(hub: Any, tmp_path: Path) -> None:
    about = "---\nconfigs:\n"
    for name, grey in (("red", 1), ("blue", 2)):
        saved(hub, tmp_path / "tmp", {}).map(
            lambda row, grey=grey: {"image": {"bytes": png(np.full((4, 4), grey, np.uint8))}},
            features=hub.Features({"image": hub.Image()}),
        ).to_parquet(tmp_path / "set" / f"{name}.parquet")
        about += f"- config_name: {name}\n  data_files: {name}.parquet\n"
    (tmp_path / "set" / "README.md").write_text(about + "---\n")
    for name, grey in (("red", 1), ("blue", 2)):
        data = load_dataset(f"hf:{tmp_path / 'set'}:{name}")
        assert (data.name, data.train.images.max()) == ("set", grey)
    with pytest.raises(DataError, match=r"hf:\S*set:CONFIG names one"):
        load_dataset(f"hf:{tmp_path / 'set'}")


def test_configuration_and_revision_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        __spec__ = None
        __version__ = "4.0.0"
        asked: tuple[Any, ...] = ()

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

        def load_dataset(self, *arguments: Any, **options: Any) -> None:
            Library.asked = (*arguments, options["revision"])
            raise OSError("no network")

    monkeypatch.setitem(sys.modules, "datasets", Library())
    with pytest.raises(DataError, match=rf"is a file; hf:\S*{Path(__file__).parent.name} loads"):
        load_dataset(f"hf:{__file__}")
    for place, asked in (
        ("mnist", ("mnist", None, None)),
        ("org/some:plain_text", ("org/some", "plain_text", None)),
        ("org/some@v1.0", ("org/some", None, "v1.0")),
        ("org/some@refs/pr/3:en", ("org/some", "en", "refs/pr/3")),
        ("org/some:en@main", ("org/some", "en", "main")),
        ("C:\\data\\some", ("C:\\data\\some", None, None)),
        ("C:/data/some", ("C:/data/some", None, None)),
    ):
        with pytest.raises(DataError, match="cannot be loaded: no network"):
            load_dataset(f"hf:{place}")
        assert Library.asked == asked


@pytest.mark.filterwarnings("default")
def test_further_columns_come_along(hub: Any, tmp_path: Path) -> None:
    columns = {
        "label": [k % 2 for k in range(12)],
        "age": [None if k == 3 else k + 20 for k in range(12)],
        "caption": [f"<{k}>" for k in range(12)],
        "site": [k % 3 - 1 for k in range(12)],
        "bytes": [b"x"] * 12,
        "many": [[k] for k in range(12)],
    }
    features = {
        "label": hub.ClassLabel(names=["even", "odd"]),
        "age": hub.Value("int64"),
        "caption": hub.Value("string"),
        "site": hub.ClassLabel(names=["N", "S"]),
        "bytes": hub.Value("binary"),
        "many": hub.Sequence(hub.Value("int64")),
    }
    saved(hub, tmp_path / "a", columns, **features)
    data = load_dataset(f"hf:{tmp_path / 'a'}", val_fraction=0.25)
    for part in (data.train, data.val):
        assert list(part.columns) == ["age", "caption", "site"]
        rows = part.images[:, 0, 0, 0].tolist()
        assert part.columns["age"].tolist() == ["" if k == 3 else str(k + 20) for k in rows]
        assert part.columns["caption"].tolist() == [f"<{k}>" for k in rows]
        assert part.columns["site"].tolist() == [["", "N", "S"][k % 3] for k in rows]
    some = load_dataset(f"hf:{tmp_path / 'a'}", columns="caption")
    assert list(some.train.columns) == ["caption"]
    with pytest.raises(DataError, match=r"among those of hf:.*, age, caption, site, got many"):
        load_dataset(f"hf:{tmp_path / 'a'}", columns="many")
