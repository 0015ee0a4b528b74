"""Where the command line logs runs."""

import sys
from pathlib import Path

import pytest
from tests.cli.builders import QUICK, train

from autodecoder.cli.observers import ObserverFlags, make_observers
from autodecoder.config import LogConfig, StudyConfig


@pytest.mark.parametrize(
    ("flag", "library", "extra"),
    [("--mlflow=sqlite:///x.db", "mlflow", "mlflow"), ("--wandb=mine", "wandb", "wandb")],
)
def test_a_tracker_that_is_not_installed_is_told_before_anything_is_written(
    flag: str,
    library: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    assert train(*QUICK, flag, "--out=here") == 2
    assert f"is not installed; pip install 'autodecoder[{extra}]' brings it." in (
        capsys.readouterr().err
    )
    assert not Path("here").exists()


def test_settings_say_what_is_written_beside() -> None:
    made = {
        (tensorboard, every): [
            type(one).__name__
            for one in make_observers(
                StudyConfig(log=LogConfig(tensorboard=tensorboard, visualize_freq=every)),
                ObserverFlags(),
            )
        ]
        for tensorboard, every in ((True, 5), (False, 5), (False, 0))
    }
    assert made == {
        (True, 5): ["TensorBoardWriter", "FilmWriter"],
        (False, 5): ["FilmWriter"],
        (False, 0): [],
    }
