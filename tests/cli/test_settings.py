"""From flags, a file and a recipe to the settings of a study; and the name of its folder."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from tests.cli.builders import train

from autodecoder import StudyConfig
from autodecoder.cli.study_flags import Asked
from autodecoder.config import LEARNING_RATE_GRID, RECIPES, Range, list_settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Asked]:
    """What the command line would run, which here it does not."""
    calls: list[Asked] = []

    def note(asked: Asked, _json: bool, **_: object) -> bool:
        calls.append(asked)
        return False

    monkeypatch.setattr(importlib.import_module("autodecoder.cli.train"), "run_asked", note)
    monkeypatch.chdir(tmp_path)
    return calls


def ask(asked: list[Asked], *flags: str) -> Asked:
    assert train(*flags) == 0
    return asked.pop()


def differing(config: StudyConfig) -> dict[str, Any]:
    """Settings that are not the default, by path; but for the seed, which is drawn."""
    found = {}
    for setting in list_settings():
        value: Any = config
        for name in setting.path.split("."):
            value = getattr(value, name)
        if value != setting.default and setting.path != "seed":
            found[setting.path] = value
    return found


# Flags


def test_without_flags_every_default_holds(asked: list[Asked]) -> None:
    one = ask(asked)
    assert differing(one.config) == {}
    assert one.config.search.space == {"learning_rate": LEARNING_RATE_GRID}
    assert (one.storage, one.reset) == (None, False)
    assert ask(asked).config.seed != one.config.seed, "drawn"


FLAGS = {
    "data.dataset": ("--dataset=mnist", "mnist"),
    "data.data_dir": ("--data_dir=somewhere", Path("somewhere")),
    "data.examples_frac": ("--examples_frac=.25", 0.25),
    "data.image_size": ("--image_size=48x64", (48, 64)),
    "data.colour": ("--colour=grey", "grey"),
    "data.pixel_range": ("--range=0:4095", (0.0, 4095.0)),
    "data.val_fraction": ("--val_fraction=0.1", 0.1),
    "data.split_by": ("--split_by=/some/where.csv", Path("/some/where.csv")),
    "data.columns": ("--columns=site,age", ("site", "age")),
    "data.mask": ("--mask=/some/mask.npy", Path("/some/mask.npy")),
    "data.alpha": ("--alpha=mask", "mask"),
    "data.strict": ("--strict", True),
    "data.scaler": ("--scaler=zero_one", "zero_one"),
    "augment.enabled": ("--augmentation=zoom", ("zoom",)),
    "decoder.arch": ("--arch=500-500", (500, 500)),
    "decoder.latent_dims": ("--latent_dims=3", 3),
    "decoder.activation": ("--activation=tanh", "tanh"),
    "decoder.batch_norm": ("--batch_norm", True),
    "decoder.norm": ("--norm=group", "group"),
    "decoder.use_bias": ("--nouse_bias", False),
    "decoder.dropout_rate": ("--dropout_rate=0.1", 0.1),
    "fit.num_epochs": ("--num_epochs=7", 7),
    "fit.batch_size": ("--batch_size=64", 64),
    "fit.latent_start": ("--latent_start=pca", "pca"),
    "fit.latent_learning_rate": ("--latent_lr=1e-2", 1e-2),
    "fit.latent_second_moment": ("--latent_second_moment=row", "row"),
    "fit.latent_first_moment_dtype": ("--latent_first_moment_dtype=bfloat16", "bfloat16"),
    "fit.latent_spread": ("--latent_spread=4", 4.0),
    "fit.bias_spread": ("--bias_spread=0", 0.0),
    "fit.prior": ("--prior=mixture", "mixture"),
    "fit.n_components": ("--n_components=8", 8),
    "fit.prior_weight": ("--prior_weight=5", 5.0),
    "fit.codes": ("--codes=gaussian", "gaussian"),
    "fit.schedule": ("--schedule=constant", "constant"),
    "fit.warmup_steps": ("--warmup_steps=7", 7),
    "fit.base_width": ("--base_width=300", 300),
    "fit.clip_norm": ("--clip_norm=2", 2.0),
    "fit.nesterov": ("--nonesterov", False),
    "fit.drop_last": ("--nodrop_last", False),
    "fit.shards": ("--shards=4", 4),
    "fit.shuffle_buffer": ("--shuffle_buffer=5000", 5000),
    "fit.loss": ("--loss=laplacian", "laplacian"),
    "early_stopping.enabled": ("--use_early_stopping", True),
    "use_xla": ("--nouse_xla", False),
    "objective": ("--objective=error", "error"),
    "executions_per_trial": ("--executions_per_trial=1", 1),
    "search.space": ("--tune=lr=1e-3,1e-2", {"learning_rate": (1e-3, 1e-2)}),
    "search.max_trials": ("--max_trials=2", 2),
    "search.prune": ("--prune=median", "median"),
    "search.runs_at_once": ("--runs_at_once=5", 5),
    "log.tensorboard": ("--notensorboard", False),
    "log.trackers": ("--tracker=gradients", ("gradients",)),
    "log.histogram_freq": ("--histogram_freq=0", 0),
    "log.visualize_freq": ("--visualize_freq=5", 5),
    "log.svg": ("--svg", True),
    "infer.fresh_every": ("--fresh_every=5", 5),
    "log.checkpoint_every": ("--checkpoint_every=5", 5),
    "log.save_best_model": ("--nosave_best_model", False),
}


#: What flags need beside them: further flags, and the settings that those set.
NEEDED = {"--codes=gaussian": (("--prior=gaussian",), {"fit.prior": "gaussian"})}


@pytest.mark.parametrize("path", FLAGS)
def test_each_flag_sets_its_setting_alone(asked: list[Asked], path: str) -> None:
    flag, value = FLAGS[path]
    beside, needed = NEEDED.get(flag, ((), {}))
    assert differing(ask(asked, flag, *beside).config) == {path: value, **needed}
    name, equals, rest = flag.partition("=")
    hyphens = "--" + name[2:].replace("_", "-") + equals + rest
    assert differing(ask(asked, hyphens, *beside).config) == {path: value, **needed}


def test_every_flag_of_the_settings_is_one_of_the_command(asked: list[Asked]) -> None:
    flags = {setting.path for setting in list_settings() if setting.flag}
    assert flags == {*FLAGS, "search.sampler", "seed"}
    for setting in list_settings():
        if setting.path in FLAGS:
            assert setting.flag is not None
            assert setting.flag in FLAGS[setting.path][0]
    sampler = ask(asked, "--sampler=tpe", "--max_trials=5").config.search
    assert (sampler.sampler, sampler.max_trials) == ("tpe", 5)
    assert ask(asked, "--seed=7").config.seed == 7


def test_every_switch_can_be_turned_both_ways(asked: list[Asked]) -> None:
    """Also back, over a file that has turned it."""
    switches = [s for s in list_settings() if s.flag and isinstance(s.default, bool)]
    assert len(switches) >= 7
    Path("turned.toml").write_text(
        "".join(f"{s.path} = {str(not s.default).lower()}\n" for s in switches)
    )
    assert len(differing(ask(asked, "--config=turned.toml").config)) == len(switches)
    back = [f"--{s.flag}" if s.default else f"--no{s.flag}" for s in switches]
    assert differing(ask(asked, "--config=turned.toml", *back).config) == {}


def test_flags_may_be_repeated_where_they_make_a_list(asked: list[Asked]) -> None:
    flags = ("--augmentation=zoom", "--augmentation", "contrast", "--tune=latent_dims=2,3")
    config = ask(asked, *flags, "--tune", "arch=16,8-8", "--lr", "1e-3").config
    assert config.augment.enabled == ("zoom", "contrast")
    assert config.search.space == {
        "learning_rate": (1e-3,),
        "latent_dims": (2, 3),
        "arch": ((16,), (8, 8)),
    }


@pytest.mark.parametrize("flag", ["--lr", "--learning_rate", "--learning-rate"])
def test_a_learning_rate_ends_the_search_of_it(asked: list[Asked], flag: str) -> None:
    assert ask(asked, flag, "1e-3").config.search.space == {"learning_rate": (1e-3,)}


def test_storage_and_reset_are_passed_on(asked: list[Asked]) -> None:
    for flag in ("--reset_training", "--reset-training"):
        one = ask(asked, flag, "--storage=sqlite:///x.db", "--out=here")
        assert (one.storage, one.reset) == ("sqlite:///x.db", True)
        assert one.folder == Path("here")
    assert not ask(asked, "--noreset_training").reset


# Flags, file, recipe, defaults

#: Where that recipe departs from the default.
ORIGINAL = {"decoder.batch_norm": True} | {
    f"fit.{name}": value
    for name, value in RECIPES["original"].items()
    if value != RECIPES["fast"][name]
}


def test_flags_win_over_the_file_and_the_file_over_the_recipe(asked: list[Asked]) -> None:
    Path("settings.toml").write_text(
        """
        recipe = "original"
        objective = "loss"
        seed = 5
        [fit]
        num_epochs = 9
        latent_start = "pca"
        [decoder]
        latent_dims = 4
        arch = "16-16"
        [augment]
        enabled = ["zoom"]
        zoom = 0.3
        [search.space]
        learning_rate = [1e-3, 1e-2]
        latent_dims = [2, 3]
        """
    )
    config = ask(asked, "--config=settings.toml").config
    assert differing(config) == {
        "objective": "loss",
        **ORIGINAL,
        "fit.num_epochs": 9,
        "fit.latent_start": "pca",
        "decoder.latent_dims": 4,
        "decoder.arch": (16, 16),
        "augment.enabled": ("zoom",),
        "augment.zoom": 0.3,
        "search.space": {"learning_rate": (1e-3, 1e-2), "latent_dims": (2, 3)},
    }
    assert config.seed == 5
    flags = ("--objective=mae", "--num-epochs=2", "--arch=8", "--augmentation=contrast")
    flags += ("--seed=6", "--lr=1e-1", "--recipe=original", "--latent_start=normal")
    config = ask(asked, "--config=settings.toml", *flags).config
    assert differing(config) == {
        "objective": "mae",
        **ORIGINAL,
        "fit.num_epochs": 2,
        "fit.latent_start": "normal",
        "decoder.latent_dims": 4,
        "decoder.arch": (8,),
        "augment.enabled": ("contrast",),
        "augment.zoom": 0.3,
        "search.space": {"learning_rate": (1e-1,), "latent_dims": (2, 3)},
    }
    assert config.seed == 6


def test_tune_wins_over_a_value_in_the_file(asked: list[Asked]) -> None:
    Path("settings.toml").write_text("decoder.latent_dims = 4\nsearch.space.learning_rate = [1e-3]")
    flags = ("--config=settings.toml", "--tune=latent_dims=2,8", "--tune=lr=1e-2")
    space = {"learning_rate": (1e-2,), "latent_dims": (2, 8)}
    assert ask(asked, *flags).config.search.space == space


def test_a_flag_ends_the_search_of_its_setting_in_the_file(asked: list[Asked]) -> None:
    Path("settings.toml").write_text("search.space = {latent_dims = [2, 3], arch = ['8', '16']}")
    config = ask(asked, "--config=settings.toml", "--latent_dims=4", "--nobatch_norm").config
    assert config.search.space == {
        "learning_rate": LEARNING_RATE_GRID,
        "latent_dims": (4,),
        "arch": ((8,), (16,)),
    }
    config = ask(asked, "--config=settings.toml", "--arch=500-500", "--lr=1").config
    assert config.search.space == {
        "learning_rate": (1.0,),
        "latent_dims": (2, 3),
        "arch": ((500, 500),),
    }


def test_a_recipe_in_the_file_is_a_set_of_values(asked: list[Asked]) -> None:
    Path("settings.toml").write_text('recipe = "original"')
    assert differing(ask(asked, "--config=settings.toml").config) == ORIGINAL
    assert differing(ask(asked, "--recipe=original").config) == ORIGINAL
    assert differing(ask(asked, "--config=settings.toml", "--recipe=fast").config) == {}


def test_the_learning_rate_is_searched_where_nothing_is_said_of_it(asked: list[Asked]) -> None:
    Path("settings.toml").write_text("search.space.latent_dims = [2, 3]")
    space = {"learning_rate": LEARNING_RATE_GRID, "latent_dims": (2, 3)}
    assert ask(asked, "--config=settings.toml").config.search.space == space
    assert ask(asked, "--tune=latent_dims=2,3").config.search.space == space
    Path("range.toml").write_text("search.space.learning_rate = {low = 1e-4, high = 1, log = true}")
    config = ask(asked, "--config=range.toml", "--sampler=random", "--max_trials=3").config
    assert config.search.space == {"learning_rate": Range(1e-4, 1.0, log=True)}


# The folder


NAMED = ["--seed=1", "--lr=1e-3", "--config=one.toml"]
UNNAMED = [
    "--columns=site,age",
    "--data_dir=.",
    "--strict",
    "--max_trials=2",
    "--runs_at_once=5",
    "--checkpoint_every=5",
    "--histogram_freq=0",
    "--visualize_freq=5",
    "--notensorboard",
    "--svg",
    "--nosave_best_model",
    "--tracker=gradients",
    "--storage=sqlite:///x.db",
    "--yes",
    "--wait",
    "--reset_training",
    "--dataset=digits",
    "--examples_frac=0.50",
    "--tune=lr=log:1e-4:1e-1:10",
]


def test_the_same_settings_have_the_same_folder(asked: list[Asked]) -> None:
    """Whatever the seed drawn, and however they are said."""
    folder = ask(asked).folder
    assert folder.parent == Path("runs")
    assert folder.name.startswith("digits-128-256-512-")
    assert ask(asked).folder == folder
    for flag in (*UNNAMED, "--mlflow=http://localhost:5000", "--wandb=mine"):
        assert ask(asked, flag).folder == folder, flag


def test_other_settings_have_another_folder(asked: list[Asked]) -> None:
    """Else the study in it would refuse them."""
    Path("one.toml").write_text("augment.zoom = 0.1")
    flags = NAMED + [flag for flag, _ in FLAGS.values()]
    flags = [flag for flag in flags if flag.partition("=")[0] not in "".join(UNNAMED)]
    given = ["--dataset=digits", *flags]
    folders = [ask(asked, flag, *NEEDED.get(flag, ((), {}))[0]).folder for flag in given]
    assert len({*folders}) == len({*flags}) + 1
    assert ask(asked, "--seed=2").folder != ask(asked, "--seed=1").folder
    assert ask(asked, "--arch=16").folder.name.startswith("digits-16-")


# Huge searches


def test_a_huge_search_is_begun_on_request_only(
    asked: list[Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    huge = ("--tune=lr=lin:1e-4:0.0334:1e-4", "--executions_per_trial=3")
    assert train(*huge) == 2
    assert asked == []
    assert capsys.readouterr().err == (
        "error: the search has 334 trials of 3 executions, 1,002 runs in all; give --yes to start "
        "it.\n"
    )
    assert ask(asked, *huge, "--yes").config.search.n_trials == 334
    assert ask(asked, *huge, "--max_trials=333").config.search.n_trials == 333
    assert ask(asked, "--tune=lr=lin:1e-4:0.1:1e-4", "--executions_per_trial=1").reset is False


def test_combinations_are_counted(asked: list[Asked], capsys: pytest.CaptureFixture[str]) -> None:
    names = ("lr", "latent_lr", "dropout_rate")
    assert train(*(f"--tune={name}=lin:0.01:0.08:0.01" for name in names)) == 2
    assert asked == []
    assert "512 trials of 3 executions, 1,536 runs in all" in capsys.readouterr().err
