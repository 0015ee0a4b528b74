"""Paths of flags, files and variables; and a command without a home or a current folder."""

import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from tests.cli.builders import QUICK, call, settings, train
from tests.data.builders import idx_files, write

from autodecoder.cli.flags import read_path
from autodecoder.cli.main import app
from autodecoder.cli.programs import keep_programs
from autodecoder.data.download import cache_dir
from autodecoder.errors import OutputError


def test_every_path_is_read_alike() -> None:
    commands = {name: app[name] for name in app if not name.startswith("-")}
    commands["runs compare"] = app["runs"]["compare"]
    paths = {
        (name, argument.name): argument.parameter.converter
        for name, command in commands.items()
        for argument in command.assemble_argument_collection()
        if "Path" in str(argument.hint)
    }
    assert len(paths) > 20
    assert set(paths.values()) == {read_path}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and another one to be in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_the_home_folder_is_found_where_the_shell_leaves_it(
    home: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `--out=~/x`, and in files and variables."""
    write(home / "data" / "mnist", idx_files())
    (home / "settings.toml").write_text(
        '[data]\ndata_dir = "~/data"\n[fit]\nbatch_size = 2\nnum_epochs = 1\n'
        '[decoder]\narch = "4"\n'
    )
    mnist = ("--dataset=mnist", "--lr=1e-2", "--executions_per_trial=1", "--examples_frac=0")
    assert train("--config=~/settings.toml", *mnist, "--out=~/one") == 0
    assert settings(home / "one")["data"]["data_dir"] == str(home / "data")
    small = ("--arch=4", "--batch_size=2", "--num_epochs=1")
    assert train(*mnist, *small, "--data_dir=~/data", "--out=~/two") == 0
    monkeypatch.setenv("AUTODECODER_DATA", "~/data")
    assert train(*mnist, *small, "--out=~/three") == 0
    assert call("runs", "~") == 0
    assert call("datasets", "--data_dir=~/data") == 0
    (home / "model").symlink_to(models / "digits", target_is_directory=True)
    images = np.load(models / "images.npy")
    np.save(home / "images.npy", images)
    np.save(home / "mask.npy", np.ones(images.shape, bool))
    given = ("--images=~/images.npy", "--mask=~/mask.npy")
    assert call("encode", "~/model", *given, "--out=~/latents.npy") == 0
    assert call("decode", "~/model", "--latents=~/latents.npy", "--out=~/decoded") == 0
    assert call("reconstruct", "~/model", *given, "--out=~/reconstructed") == 0
    assert call("info", "~/model") == 0
    np.save(home / "first.npy", images[:1])
    ends = ("--from=~/first.npy", "--to=train:0")
    assert call("interpolate", "~/model", *ends, "--n=3", "--out=~/way") == 0
    assert call("report", "~/model", "--out=~/page.html") == 0
    names = {path.name for path in home.iterdir()}
    assert names >= {"one", "two", "three", "latents.npy", "decoded", "way", "page.html"}
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        ("train", "--out=~nosuchuser/x"),
        ("train", "--config=~nosuchuser/x"),
        ("train", "--dataset=mnist", "--data_dir=~nosuchuser/x"),
        ("train", "--dataset=folder:~nosuchuser/x"),
        ("train", "--dataset=npz:~nosuchuser/x"),
        ("train", "--dataset=hf:~nosuchuser/x"),
        ("runs", "~nosuchuser"),
        ("runs", "compare", "~nosuchuser", "x"),
        ("tensorboard", "~nosuchuser"),
        ("report", "~nosuchuser"),
        ("explore", "~nosuchuser"),
        ("info", "~nosuchuser"),
        ("export", "MODEL", "--out=~nosuchuser/x"),
        ("datasets", "--data_dir=~nosuchuser"),
        ("sample", "MODEL", "--out=~nosuchuser"),
        ("encode", "MODEL", "--images=~nosuchuser/x.npy", "--out=x.npy"),
        ("encode", "MODEL", "--images=folder:~nosuchuser/x", "--out=x.npy"),
        ("encode", "MODEL", "--images=x.npy", "--mask=~nosuchuser/x", "--out=x.npy"),
        ("decode", "MODEL", "--latents=~nosuchuser/x.npy", "--out=x"),
        ("interpolate", "MODEL", "--from=~nosuchuser/x", "--to=train:0", "--out=x"),
    ],
    ids=" ".join,
)
def test_a_user_who_is_not_known(
    line: tuple[str, ...], models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*(models / "digits" if word == "MODEL" else word for word in line)) == 2
    err = capsys.readouterr().err
    assert "there is no user nosuchuser" in err
    assert err.count("\n") == 1


def test_a_variable_and_a_file_that_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[data]\ndataset = "mnist"\ndata_dir = "~nosuchuser/x"')
    assert train(f"--config={path}") == 2
    assert "there is no user nosuchuser" in capsys.readouterr().err
    monkeypatch.setenv("AUTODECODER_DATA", "~nosuchuser/x")
    assert call("datasets") == 2
    assert "AUTODECODER_DATA cannot be ~nosuchuser/x" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the current folder cannot be removed there")
def test_the_current_folder_is_gone(
    models: Path,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for line in (["info", models / "digits"], ["runs", runs], ["datasets"]):
        assert call(*line) == 0
    assert train(*QUICK, "--lr=1e-2", f"--out={tmp_path / 'study'}") == 0
    capsys.readouterr()
    for line in (
        ["train", "--dataset=folder:photos"],
        ["train", *QUICK],
        ["runs"],
        ["info", "model"],
        ["sample", models / "digits", "--out=drawn.png"],
    ):
        assert call(*line) == 2, line
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "link" not in err


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user of a container whom it does not know."""

    def os_cache(_project: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("pooch.os_cache", os_cache)
    monkeypatch.delenv("AUTODECODER_DATA", raising=False)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder for caches is known; set HOME"):
        cache_dir()
    assert call("datasets") == 0
    out, err = capsys.readouterr()
    assert re.search(r"mnist .* not here", out)
    assert err == ""
    assert call("datasets", "--fetch=mnist") == 2
    assert "no folder for caches is known" in capsys.readouterr().err
    write(tmp_path / "mnist", idx_files())
    assert call("datasets", f"--data_dir={tmp_path}", "--fetch=mnist") == 0


def test_programs_that_cannot_be_kept_are_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("autodecoder.cli.programs.cache_dir", lambda: tmp_path / "file" / "x")
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        keep_programs()
        assert jax.config.values["jax_compilation_cache_dir"] is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Compiled programs are not kept: {tmp_path / 'file'}")
    assert err.count("\n") == 1
