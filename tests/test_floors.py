"""The floors of the design hold: imports run downward only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "autodecoder"

FLOORS = {
    "_version": 0,
    "brief": 0,
    "quiet": 0,
    "text": -1,  # errors shorten their messages
    "errors": 0,
    "encoding": 0.2,
    # Still the ground floor, on the shoulders of the errors.
    "paths": 0.3,
    "machine": 0.3,
    "config": 0.5,
    "files": 0.5,
    "tensors": 0.7,
    "data": 1,
    "core": 2,
    "measures": 2.2,  # a model is measured
    "study": 3,
    "compare": 3.5,
    "model": 2.5,  # a study saves models
    "report": 4,
    "estimator": 4.5,  # it shows itself by a report
    "explorer": 5,
    "cli": 6,
    "__main__": 6.5,
}
#: Libraries that these rooms alone may import, so that the rest stays quick to import.
HEAVY = {
    "matplotlib": ("report",),
    "tensorboardX": ("report",),
    "PIL": ("report", "data"),
    "jinja2": ("report",),
    "umap": ("report",),
    "openTSNE": ("core",),
    "mlflow": ("report",),
    "wandb": ("report",),
    "IPython": ("estimator",),
    "flask": ("explorer",),
    "werkzeug": ("explorer",),
    "waitress": ("explorer",),
    "rich": ("cli",),
    "cyclopts": ("cli",),
    "pooch": ("data",),
    "optuna": ("study",),
    "ray": ("study",),
    "sqlalchemy": ("study",),
    "datasets": ("data",),
    "onnx": ("model",),
    "onnxruntime": ("model",),
    "huggingface_hub": ("model",),
}


def rooms() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", rooms(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downward_only(path: Path) -> None:
    room = room_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "autodecoder" or len(parts) == 1 or parts[1] == room:
            continue
        assert FLOORS[parts[1]] < FLOORS[room], f"{room} must not import {name}"


@pytest.mark.parametrize("path", rooms(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_libraries_keep_to_their_floor(path: Path) -> None:
    for name in imports(path):
        allowed = HEAVY.get(name.split(".")[0])
        room = room_of(path)
        assert allowed is None or room in allowed, f"{room} must not import {name}"


@pytest.mark.parametrize("path", rooms(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_say_their_role_and_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path} has no module docstring"
    assert len(text.splitlines()) <= 400
