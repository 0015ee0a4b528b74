"""A setting is declared in one place: whatever is said of it elsewhere follows from its field."""

import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import autodecoder
from autodecoder.cli.study_flags import StudyFlags
from autodecoder.config import (
    FREE_SETTINGS,
    RECIPES,
    SCHEMA,
    TRACED,
    TUNABLE,
    TUNABLE_ALIASES,
    Setting,
    StudyConfig,
    list_settings,
    study_config,
)
from autodecoder.config.setting import own_settings, parts_of
from autodecoder.errors import ConfigError

SETTINGS = {setting.path: setting for setting in list_settings()}
#: Flags of the command line that are no settings.
NO_SETTINGS = {
    *("recipe", "config", "out", "storage", "reset_training", "wait", "yes"),
    *("devices", "mesh", "engine", "workers", "worker_cores", "ray_address", "rows", "memory"),
    "auto_batch",
    *("distributed", "coordinator", "num_processes", "process_id", "watchdog"),
    *("mlflow", "wandb"),
}


def name_of(setting: Setting) -> str:
    return setting.path.rpartition(".")[2]


def nested(path: str, value: Any) -> Any:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


#: Settings that may change when a study goes on.
FREE = {
    "data.columns",
    "data.data_dir",
    "data.strict",
    "log.checkpoint_every",
    "log.histogram_freq",
    "log.save_best_model",
    "log.svg",
    "log.tensorboard",
    "log.trackers",
    "log.visualize_freq",
    "search.max_trials",
    "search.runs_at_once",
}


@pytest.mark.parametrize("path", SETTINGS)
def test_what_is_known_of_a_setting_follows_from_its_field(path: str) -> None:
    setting = SETTINGS[path]
    flags = {f.name: f.default for f in fields(StudyFlags)}
    assert setting.flag is None or flags[setting.flag] in (None, ())
    for recipe in RECIPES:
        value: Any = study_config({"recipe": recipe})
        for part in path.split("."):
            value = getattr(value, part)
        assert value == setting.recipe.get(recipe, setting.default)


def test_nothing_is_known_of_other_settings() -> None:
    """Than those that are declared, so that a list elsewhere would be found."""
    settings = SETTINGS.values()
    of_fit = [s for s in settings if s.path.startswith("fit.")]
    assert {f.name for f in fields(StudyFlags)} == {
        s.flag for s in settings if s.flag
    } | NO_SETTINGS
    assert set(FREE_SETTINGS) == FREE
    assert set(TRACED) == {"learning_rate", "latent_learning_rate"}
    assert set(TUNABLE) == {name_of(s) for s in settings if s.tunable} | {"learning_rate"}
    assert {alias for alias in TUNABLE_ALIASES if alias != "lr"} <= {s.flag for s in settings}
    assert SCHEMA == 11
    for values in RECIPES.values():
        assert set(values) == {name_of(s) for s in of_fit if s.recipe}
    assert all(set(s.recipe) <= set(RECIPES) for s in settings)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_is_checked_also_from_python(path: str) -> None:
    part, _, name = path.rpartition(".")
    kind: Any = parts_of(StudyConfig)[part] if part else StudyConfig
    called = own_settings(kind)[name].called or name
    with pytest.raises(ConfigError, match=rf"{called}\b.* must be .*got <object"):
        kind(**{name: object()})
    if SETTINGS[path].optional:
        assert getattr(kind(**{name: None}), name) is None


#: A setting that there is not, as the one line that declares it.
DECLARED = """    shards: int = setting(
        3, "Parts of the images.", check=positive_up_to(9), recipe={"original": 2}, tunable=True,
        free=True, since=(99, 1),
    )
"""
ASKED = """
import importlib.util, sys
from autodecoder import config
from autodecoder.cli.study_flags import StudyFlags, read_flags
from autodecoder.errors import ConfigError

assert config.FitConfig().shards == config.RECIPES["fast"]["shards"] == 3
assert config.fit_config("original").shards == 2
assert config.study_config({"fit": {"shards": 4}}).fit.shards == 4
assert config.parse_tune("shards=1,2") == ("shards", (1, 2))
assert "fit.shards" in config.FREE_SETTINGS
assert config.SCHEMA == 99
old = config.to_dict(config.StudyConfig())
del old["fit"]["shards"]
completed = config.complete_settings(old, 98, whole=True)
assert completed["fit"]["shards"] == 1
assert config.kept_settings(completed, 98)["fit"] == {"shards": 1}
assert read_flags(StudyFlags(shards=5, yes=True), None).config.fit.shards == 5
assert "for batch_norm, latent_start" in (text := help_of("train"))
assert "drop_last, shards, shuffle_buffer:" in text
assert "--shards" in text and "Parts of the images. [default: 3]" in text
try:
    config.FitConfig(shards=10)
except ConfigError as error:
    assert str(error) == "shards must be at most 9, got 10."
spec = importlib.util.spec_from_file_location("make_settings", sys.argv[1])
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)
assert "| `fit.shards` | `--shards` | 3 | Parts of the images. |  |" in page.page()
assert "`shards`" in page.page().partition("A search can vary")[2].partition("\\n")[0]
print("all of it")
"""
HELP_OF = """
import contextlib, io
def help_of(command):
    from autodecoder.cli import main
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([command, "--help"])
    return " ".join(out.getvalue().replace("│", " ").split())
"""


@pytest.mark.thorough
def test_a_field_is_all_that_a_new_setting_takes(tmp_path: Path) -> None:
    source = Path(autodecoder.__file__).parent
    copy = tmp_path / "autodecoder"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "config" / "fit.py"
    text = path.read_text(encoding="utf-8")
    before, loss, after = text.partition("    loss: str = setting(")
    path.write_text(before + DECLARED + loss + after, encoding="utf-8")
    page = source.parents[1] / "docs" / "make_settings.py"
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF + ASKED, page],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "all of it", done.stderr
