"""Settings as plain values: read back as they were written, and refused in a sentence if wrong."""

import json
import os
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.config.builders import anything, studies, unless_refused

from autodecoder.config import (
    LEARNING_RATE_GRID,
    RECIPES,
    TUNABLE,
    DataConfig,
    DecoderConfig,
    Range,
    SearchConfig,
    StudyConfig,
    differences,
    list_settings,
    read_toml,
    study_config,
    to_dict,
)
from autodecoder.errors import ConfigError

pytestmark = pytest.mark.usefixtures("as_shipped")

PATHS = [setting.path for setting in list_settings()]


def nested(path: str, value: Any) -> dict[str, Any]:
    """The value at its path, as the tables of a file."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def leaves(kind: type, prefix: str = "") -> list[str]:
    """Paths of all settings, found by the types alone."""
    found = []
    for f in fields(kind):
        if is_dataclass(f.type):
            assert isinstance(f.type, type)
            found += leaves(f.type, f"{prefix}{f.name}.")
        else:
            found.append(prefix + f.name)
    return found


# There and back


@given(studies)
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_back(config: StudyConfig) -> None:
    plain = json.loads(json.dumps(to_dict(config), allow_nan=False))
    again = study_config(plain)
    assert again == config
    assert list(again.search.space) == list(config.search.space), "their order names the cells"
    assert differences(plain, to_dict(again)) == {}


def test_without_values_every_default_holds() -> None:
    assert study_config({}) == StudyConfig()
    assert StudyConfig().search.space == {"learning_rate": LEARNING_RATE_GRID}


def test_values_are_taken_as_people_write_them() -> None:
    config = study_config(
        {
            "data": {"data_dir": "somewhere", "examples_frac": 0},
            "decoder": {"arch": "500-1000"},
            "augment": {"enabled": ["zoom"]},
            "search": {
                "space": {
                    "learning_rate": "log:1e-4:1e-2:10",
                    "latent_dims": [2, 8],
                    "arch": ["16-16", [8]],
                    "batch_norm": True,
                }
            },
        }
    )
    assert config.data == DataConfig(data_dir=Path("somewhere"), examples_frac=0.0)
    assert config.decoder == DecoderConfig(arch=(500, 1000))
    assert config.augment.enabled == ("zoom",)
    assert config.search.space == {
        "learning_rate": (1e-4, 1e-3, 1e-2),
        "latent_dims": (2, 8),
        "arch": ((16, 16), (8,)),
        "batch_norm": (True,),
    }


def test_a_whole_number_stands_for_a_floating_point_one() -> None:
    """0 and 0.0 are the same study, also in the name of its folder."""
    one, other = (
        to_dict(
            study_config(
                {
                    "data": {"examples_frac": value},
                    "early_stopping": {"min_delta": value, "patience": 1 + value},
                    "fit": {"latent_learning_rate": 1 + value},
                }
            )
        )
        for value in (0, 0.0)
    )
    assert json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_yields_to_the_settings_that_are_given(recipe: str) -> None:
    assert study_config({"recipe": recipe}).fit == replace(StudyConfig().fit, **RECIPES[recipe])
    config = study_config({"recipe": recipe, "fit": {"latent_start": "pca"}})
    assert config.fit == replace(StudyConfig().fit, **{**RECIPES[recipe], "latent_start": "pca"})


def test_differences_are_told_by_path() -> None:
    one = StudyConfig(search=SearchConfig({"learning_rate": (1e-3,)}))
    search = SearchConfig({"learning_rate": (1e-3,), "latent_dims": (2, 3)})
    other = replace(one, decoder=DecoderConfig(arch=(16,)), search=search, seed=1)
    assert differences(to_dict(one), to_dict(one)) == {}
    assert differences(to_dict(one), to_dict(other)) == {
        "decoder.arch": ([128, 256, 512], [16]),
        "search.space.latent_dims": (None, [2, 3]),
        "seed": (0, 1),
    }


# What is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objektive": "loss"}, "a setting must be one of data, .*'objektive'; did you mean objec"),
        ({"recipee": "original"}, "a setting must be one of .*; did you mean recipe"),
        ({"recipe": "fastest"}, "recipe must be one of fast, original, got 'fastest'"),
        ({"recipe": 5}, "recipe must be one of fast, original, got 5"),
        ({"decoder": {"latentdims": 2}}, "a setting of decoder .*; did you mean latent_dims"),
        ({"early_stopping": {"patient": 1}}, "a setting of early_stopping .*did you mean patience"),
        (
            {"search": {"space": {"latent_dim": [2]}}},
            "a setting to tune .*; did you mean latent_di",
        ),
        ({"search": {"space": {"seed": [2]}}}, "a setting to tune must be one of .*, got 'seed'"),
        ({"zzz": 1}, r"a setting must be one of .*, got 'zzz'\."),
        ({"data": 5}, "data must be a table of settings, got 5"),
        ({"fit": []}, r"fit must be a table of settings, got \[\]"),
        ({"search": {"space": [1e-3]}}, r"search.space must be a table of settings, got \[0.001\]"),
        ({"search": {"space": {}}}, "the search space must hold learning_rate"),
        ({"seed": "5"}, "seed must be a whole number, got '5'"),
        ({"seed": 5.0}, "seed must be a whole number, got 5.0"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"fit": {"num_epochs": "20"}}, "num_epochs must be a positive whole number, got '20'"),
        ({"fit": {"num_epochs": 2.5}}, "num_epochs must be a positive whole number, got 2.5"),
        ({"fit": {"num_epochs": [5]}}, "num_epochs must be a positive whole number, got .5"),
        ({"fit": {"num_epochs": True}}, "num_epochs must be a positive whole number, got True"),
        ({"fit": {"latent_learning_rate": "1e-3"}}, "latent_learning_rate must be a finite number"),
        ({"data": {"examples_frac": "0.5"}}, "examples_frac must be a finite number, got '0.5'"),
        ({"data": {"examples_frac": True}}, "examples_frac must be a finite number, got True"),
        ({"data": {"examples_frac": 10**400}}, "examples_frac must be a finite number, got 1000"),
        ({"data": {"dataset": ["mnist"]}}, "dataset must be one of digits, .*got .'mnist'"),
        ({"data": {"data_dir": 5}}, "data_dir must be a path in quotes, got 5"),
        (
            {"decoder": {"arch": 500}},
            "each value of arch must be layer widths like 500-500, got 500",
        ),
        ({"decoder": {"arch": "500_500"}}, "arch must be layer widths.*'500_500'"),
        ({"decoder": {"arch": ["500"]}}, r"each value of arch must be layer widths.*\['500'\]"),
        ({"decoder": {"arch": [[500]]}}, r"each value of arch must be layer widths.*\[\[500\]\]"),
        ({"decoder": {"arch": []}}, "arch must name at least one hidden layer"),
        ({"decoder": {"batch_norm": "yes"}}, "batch_norm must be true or false, got 'yes'"),
        ({"decoder": {"use_bias": 1}}, "use_bias must be true or false, got 1"),
        ({"fit": {"drop_last": 0}}, "drop_last must be true or false, got 0"),
        ({"use_xla": "no"}, "use_xla must be true or false, got 'no'"),
        ({"log": {"tensorboard": 1}}, "tensorboard must be true or false, got 1"),
        ({"log": {"save_best_model": 1}}, "save_best_model must be true or false, got 1"),
        ({"early_stopping": {"enabled": 1}}, "enabled must be true or false, got 1"),
        ({"early_stopping": {"start_epoch": 1.5}}, "start_epoch must be a whole number.*, got 1.5"),
        ({"log": {"trackers": True}}, "log.trackers must be a list of words, got True"),
        ({"log": {"trackers": "gradient"}}, "tracker must be one of gradients, got 'gradient'"),
        ({"augment": {"enabled": 5}}, "augment.enabled must be a list of words, got 5"),
        ({"augment": {"enabled": [5]}}, r"augment.enabled must be a list of words, got \[5\]"),
        ({"augment": {"enabled": [["zoom"]]}}, "augment.enabled must be a list of words"),
        ({"objective": ["loss"]}, "objective must be one of .*, got .'loss'"),
        ({"executions_per_trial": "3"}, "executions_per_trial must be a positive .*, got '3'"),
    ],
)
def test_wrong_names_and_types_are_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study_config(values)


@given(st.sampled_from(PATHS), anything)
@settings(max_examples=200, deadline=None)
def test_any_value_is_taken_or_refused_in_a_sentence(path: str, value: Any) -> None:
    config = unless_refused(lambda: study_config(nested(path, value)))
    if config is not None:
        json.dumps(to_dict(config), allow_nan=False)


@given(
    st.sampled_from(TUNABLE),
    anything,
    st.sampled_from(["grid", "random"]),
)
@settings(max_examples=200, deadline=None)
def test_any_search_space_is_taken_or_refused_in_a_sentence(
    name: str, value: Any, sampler: str
) -> None:
    search = {"space": {"learning_rate": 1e-3, name: value}, "sampler": sampler, "max_trials": 5}
    config = unless_refused(lambda: study_config({"search": search}))
    if config is not None:
        plain = json.loads(json.dumps(to_dict(config), allow_nan=False))
        assert study_config(plain) == config


# TOML


def write_toml(folder: Path, content: str | bytes) -> Path:
    path = folder / "settings.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_file_of_settings_is_read(tmp_path: Path) -> None:
    text = """
        objective = "loss"  # a comment
        recipe = "original"
        [data]
        examples_frac = 0
        [fit]
        latent_start = "pca"
        [augment]
        enabled = ["zoom", "contrast"]
        zoom = 0.1
        [search]
        sampler = "tpe"
        max_trials = 5
        [search.space]
        learning_rate = {low = 1e-4, high = 1e-1, log = true}
        latent_dims = {low = 2, high = 8}
        activation = ["relu", "tanh"]
    """
    config = study_config(read_toml(write_toml(tmp_path, text)))
    assert config.metric == "loss"
    assert config.data.examples_frac == 0
    assert config.fit.latent_start == "pca"
    assert config.augment.enabled == ("zoom", "contrast")
    assert config.augment.zoom == 0.1
    assert config.search.space == {
        "learning_rate": Range(1e-4, 1e-1, log=True),
        "latent_dims": Range(2, 8),
        "activation": ("relu", "tanh"),
    }


def test_the_default_of_every_setting_can_stand_in_a_file(tmp_path: Path) -> None:
    text = ""
    for setting in list_settings():
        value = to_dict(StudyConfig())
        for name in setting.path.split("."):
            value = value[name]
        if value is not None and setting.path != "search.space":
            text += f"{setting.path} = {json.dumps(value)}\n"
    assert len(text.splitlines()) > 30
    assert study_config(read_toml(write_toml(tmp_path, text))) == StudyConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[[[", "config must be a TOML file, but .*settings.toml is not: .*line 1"),
        ("seed = 1\nseed = 2", "config must be a TOML file.*overwrite"),
        ('objective = "loss', "config must be a TOML file"),
        ("seed = 1\n# é".encode("latin-1"), r"config.*not encoded in UTF-8 \(line 2 is not\)"),
        (b"\x00\xff\xfe", "config must be a TOML file"),
        ("a = " + "[" * 20_000, "config must be a TOML file"),
        ("seed = " + "9" * 5_000, "config must be a TOML file"),
        ("decoder = 5", "decoder must be a table of settings, got 5"),
        ("search = []", r"search must be a table of settings, got \[\]"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_toml(write_toml(tmp_path, content))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.toml", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError, match="config cannot be read"):
            read_toml(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such paths")
def test_a_file_without_end_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodecoder.config.plain._LARGEST", 2**20)
    with pytest.raises(ConfigError, match="/dev/zero must have at most 1,048,576 bytes, but has"):
        read_toml(Path("/dev/zero"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such paths")
def test_settings_come_from_a_pipe() -> None:
    """As a shell gives them to `--config <(…)`."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w") as file:
            file.write("seed = 3")
        assert read_toml(Path(f"/dev/fd/{reading}")) == {"seed": 3}
    finally:
        os.close(reading)


# The list of all settings


def test_every_setting_is_listed_with_its_meaning() -> None:
    listed = list_settings()
    assert [setting.path for setting in listed] == leaves(StudyConfig)
    for setting in listed:
        assert setting.meaning.endswith("."), setting.path
        assert len(setting.meaning) > 10, setting.path
        value = to_dict(StudyConfig())
        for name in setting.path.split("."):
            value = value[name]
        given = setting.default
        if isinstance(given, tuple):
            given = list(given)
        if setting.path == "search.space":
            given = {"learning_rate": list(LEARNING_RATE_GRID)}
        assert value == given, setting.path


def test_flags_are_named_once() -> None:
    flags = [setting.flag for setting in list_settings() if setting.flag]
    assert len(flags) == len(set(flags))


def test_every_setting_of_the_original_has_one_of_ours() -> None:
    """Those that its README lists; `use xla` and the like among them."""
    ours = {setting.original for setting in list_settings()} - {""}
    assert ours == {
        "dataset",
        "objective",
        "latent dims",
        "architecture",
        "activation",
        "batchnorm",
        "learning rate",
        "dropout regularization rate",
        "visualize after epochs",
        "histogram freq",
        "examples frac",
        "epochs",
        "batch size",
        "use xla",
        "use bias",
        "random seed",
        "executions per trial",
        "augmentations",
        "early stopping",
        "save best model",
        "trackers",
    }  # besides "reset training", which is a command rather than a setting


def test_a_mark_before_the_text_is_read_over_and_utf_16_is_told(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes("seed = 3  # ä\n".encode("utf-8-sig"))
    assert read_toml(path) == {"seed": 3}
    for encoding, name in (("utf-16", "16"), ("utf-16-le", "16"), ("utf-32", "32")):
        path.write_bytes("seed = 3\n".encode(encoding))
        with pytest.raises(ConfigError, match=f"is encoded in UTF-{name}; save it in UTF-8"):
            read_toml(path)
