"""Files of a study that are damaged are named, and are left as they are."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.study.small import SETTINGS, change, idle_study

from autodecoder.data import Dataset
from autodecoder.errors import DataError
from autodecoder.study import load_study
from autodecoder.study.results import Trial


@pytest.fixture
def written(written: tuple[Path, list[Trial]], tables: Path) -> tuple[Path, list[Trial]]:
    """The same with a storage, which is made at once."""
    shutil.copy(tables, written[0])
    return written


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_a_folder_without_a_study(tmp_path: Path, folder: str) -> None:
    with pytest.raises(DataError, match="holds no study"):
        load_study(tmp_path / folder)


@pytest.mark.parametrize("text", ["", "{", '{"schema": 2', "[1]", "null", '"x"', "\x00" * 100])
@pytest.mark.parametrize("name", ["config.json", "trial.json"])
def test_json_that_is_cut_off_or_none(
    written: tuple[Path, list[Trial]], dataset: Dataset, name: str, text: str
) -> None:
    folder, _ = written
    path = next(folder.rglob(name))
    path.write_text(text)
    for attempt in (load_study, lambda folder: idle_study(SETTINGS, dataset, folder)):
        with pytest.raises(DataError, match=rf"{name} is damaged"):
            attempt(folder)
    assert path.read_text() == text


def removals(name: str) -> list[tuple[str, str, Callable]]:
    """Edits of a JSON file: each of the names that it needs is absent, or has a foolish value."""
    names = {
        "config.json": ("study", "settings", "data_fingerprint"),
        "trial.json": ("id", "number", "state", "values", "executions", "error", "score"),
    }[name]
    foolish: Mapping[str, tuple[Any, ...]] = {
        "data_fingerprint": (None, 3),
        "study": (None,),
        "id": ("../x", "00000009"),
        "error": (3, []),
        "settings": ([], "x", {"fit": 3}, {"objective": "beauty"}, {"colour": "red"}),
        "state": ("waiting", 3),
        "values": ([], "x", {"colour": 1}, {"latent_dims": "many"}),
        "score": (None, "1.0", True, [], 10**400),
        "executions": (3, [3], [{}], [{"status": "finished"}]),
    }
    edits = []
    for key in names:
        edits.append((name, f"without {key}", lambda content, key=key: content.pop(key)))
        for value in foolish.get(key, ()):
            edits.append(
                (
                    name,
                    f"{key}: {value}",
                    lambda content, key=key, value=value: content.update({key: value}),
                )
            )
    return edits


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        pytest.param(name, edit, id=f"{name} {label}")
        for name, label, edit in removals("config.json") + removals("trial.json")
    ],
)
def test_json_of_another_content(
    written: tuple[Path, list[Trial]], dataset: Dataset, name: str, edit: Callable
) -> None:
    folder, (good, *_) = written
    path = folder / (name if name == "config.json" else f"trials/{good.trial_id}/{name}")
    change(path, edit)
    for attempt in (load_study, lambda folder: idle_study(SETTINGS, dataset, folder)):
        with pytest.raises(DataError, match=rf"{name} is damaged"):
            attempt(folder)


@pytest.mark.parametrize(
    "text",
    ["", "epoch,loss\n1,x\n", "epoch,loss\n1,2\n2\n", "epoch,loss\n1,2,3\n", b"\xff\xfe", "\n"],
)
def test_a_damaged_history(written: tuple[Path, list[Trial]], text: str | bytes) -> None:
    folder, (good, *_) = written
    path = folder / "trials" / good.trial_id / "execution-1" / "history.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=r"history\.csv.*(is damaged|lacks metrics)"):
        load_study(folder)


@pytest.mark.parametrize("n_lines", [None, 0, 1, 3])
def test_a_history_that_is_not_whole(
    written: tuple[Path, list[Trial]], n_lines: int | None
) -> None:
    folder, (good, *_) = written
    path = folder / "trials" / good.trial_id / "execution-1" / "history.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.unlink()
    if n_lines is not None:
        path.write_text("".join(lines[:n_lines]))
    with pytest.raises(DataError, match=r"history\.csv is damaged"):
        load_study(folder)


def test_a_history_without_end(
    written: tuple[Path, list[Trial]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, (good, *_) = written
    monkeypatch.setattr("autodecoder.study.records._LARGEST", 10)
    with pytest.raises(DataError, match=r"history\.csv must have at most 10 bytes, but has more"):
        load_study(folder)
    monkeypatch.undo()
    path = folder / "trials" / good.trial_id / "execution-1" / "history.csv"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a device or a pipe"):
        load_study(folder)


def test_a_history_without_the_objective(written: tuple[Path, list[Trial]]) -> None:
    folder, (good, *_) = written
    path = folder / "trials" / good.trial_id / "execution-1" / "history.csv"
    path.write_text("epoch,loss\n1,2\n")
    with pytest.raises(DataError, match=r"history\.csv.*(is damaged|lacks metrics)"):
        load_study(folder)
