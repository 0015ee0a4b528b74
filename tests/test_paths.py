"""A path means the same wherever a user gives it."""

import os
from pathlib import Path

import pytest

import autodecoder as ad
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and another one to be in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_the_home_folder_is_found(home: Path, kind: type) -> None:
    assert user_path(kind("~")) == home
    assert user_path(kind("~/a/b")) == home / "a" / "b"
    assert user_path(kind("a/~/b")) == Path("a/~/b")
    assert user_path(kind("/a")) == Path("/a")


def test_that_of_another_user_too() -> None:
    pwd = pytest.importorskip("pwd", reason="needs the users of Unix")
    user = pwd.getpwuid(os.getuid())
    assert user_path(f"~{user.pw_name}/x") == Path(user.pw_dir) / "x"


def test_what_is_only_named_like_a_home_folder(home: Path) -> None:
    found = user_path("./~nobody-of-this-name")
    assert found == home.parent / "here" / "~nobody-of-this-name"
    assert user_path(found) == found


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("~nosuchuser/x", "out cannot be ~nosuchuser/x: there is no user nosuchuser."),
        ("", "out must be a path, got ''."),
        ("a\0b", r"out must be a path, got 'a\\x00b'."),
    ],
)
def test_what_is_no_path_is_a_sentence(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^{words}$"):
        user_path(path, "out")


def test_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ConfigError, match=r"^out cannot be ~/x: the home folder is not known"):
        user_path("~/x", "out")


@pytest.mark.slow
def test_python_takes_paths_as_the_command_line_does(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "data").mkdir()
    assert ad.DataConfig(data_dir=Path("~/data")).data_dir == home / "data"
    assert ad.study_config({"data": {"data_dir": "~/data"}}).data.data_dir == home / "data"
    monkeypatch.setenv("AUTODECODER_DATA", "~/nowhere")
    with pytest.raises(ConfigError, match="AUTODECODER_DATA must name an existing folder"):
        ad.load_dataset("mnist", data_dir="~/data")
    for read in (ad.load_model, ad.load_study, ad.from_pretrained):
        with pytest.raises(ad.DataError, match=str(home / "data")):
            read("~/data")
        with pytest.raises(ConfigError, match="there is no user nosuchuser"):
            read("~nosuchuser/data")
    data = ad.load_dataset("digits", examples_frac=0.1)
    fit = ad.fit_config("fast", num_epochs=1)
    config = ad.DecoderConfig(arch=(4,))
    model = ad.fit_model(data.train.images, decoder=config, fit=fit, learning_rate=1e-2)
    ad.save_model(model, "~/model")
    ad.export_onnx(model, "~/model.onnx")
    assert (home / "model" / "config.json").is_file()
    assert (home / "model.onnx").is_file()
    assert ad.from_pretrained(Path("~/model")).latent_dims == model.latent_dims
    study = ad.study_config(
        {
            "decoder": {"arch": "4"},
            "fit": {"num_epochs": 1},
            "search": {"space": {"learning_rate": [1e-2]}},
            "executions_per_trial": 1,
        }
    )
    assert ad.run_study(study, data, "~/study").folder == home / "study"
    assert list((home.parent / "here").iterdir()) == []
