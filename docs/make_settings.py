"""Write docs/settings.md, the table of all settings, from the settings themselves."""

from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

from autodecoder import AutoDecoder, fit_model, load_dataset
from autodecoder.cli.reconstruct import reconstruct
from autodecoder.config import TUNABLE, Range, Setting, format_arch, list_settings

PAGE = Path(__file__).with_name("settings.md")

HEAD = """# Settings

<!-- Made by `make reference` from the configuration; a test fails where it is stale. -->

The table lists every setting of a study with its flag of `autodecoder train`, its default, its
meaning, and its name in the original. `--config` reads settings from a TOML file by the names of
the first column: `decoder.latent_dims` is `latent_dims` in the table `[decoder]`. Flags override
the file, and the file overrides the recipe (`recipe = "…"` at the top of the file, or `--recipe`).

```toml
objective = "val_loss"
executions_per_trial = 3

[fit]
num_epochs = 100

[early_stopping]
enabled = true
patience = 0.05

[augment]
enabled = ["translation"]
translation = 0.1

[search.space]
learning_rate = "log:1e-4:1e-1:10"
latent_dims = [2, 8]
arch = ["500-500", "500-1000"]
```

A search can vary TUNABLE (`--tune`, or `[search.space]`).

| setting | flag | default | meaning | in the original |
|---|---|---|---|---|
"""

TAIL = """
Some flags of the command are not settings of the study. `--lr` fixes `learning_rate` in the search
space. `--out` is the study's folder, and `--storage` a database for the trials. `--reset_training`
(the original's *reset training*) first removes the study in the folder, but no other files.
`--wait` waits for other processes that run the same study. The others are `--recipe`, `--config`,
`--yes`, and flags for devices, workers and trackers ([command line](cli.md)).
"""

IN_PYTHON = """
## Defaults in Python

`StudyConfig` and its parts have the defaults of the table. So do `fit_model`, `load_dataset`,
`AutoDecoder` and `autodecoder reconstruct`, except for the defaults below.
`fit_config("original")` sets the recipe's values of the fit. `fit_model` does not know the recipe:
also pass it `decoder=DecoderConfig(batch_norm=True)` and `learning_rate=1e-3`.
`AutoDecoder(recipe="original")` sets all of them.

| setting | of | default | why |
|---|---|---|---|
"""

#: Functions and commands that take single settings.
TAKERS: dict[str, Callable[..., Any]] = {
    "fit_model": fit_model,
    "load_dataset": load_dataset,
    "AutoDecoder": AutoDecoder,
    "autodecoder reconstruct": reconstruct,
}
#: Settings that have another name there.
OTHER_NAMES = {"learning_rate": "search.space", "random_state": "seed"}
_ONE_FIT = (
    "A single fit searches nothing. By default `learning_rate` is 5e-3, or 1e-2 with convolutions"
)
#: Why a default differs there, by taker and setting.
REASONS = {
    (
        "fit_model",
        "decoder.latent_dims",
    ): "Only for your own decoder; otherwise 2.",
    ("fit_model", "search.space"): f"{_ONE_FIT}.",
    ("fit_model", "data.scaler"): "standard, or the scaler of `start`.",
    ("fit_model", "data.columns"): "The columns themselves, a frame or a mapping.",
    ("load_dataset", "data.examples_frac"): "`load_dataset` loads all images.",
    ("AutoDecoder", "data.scaler"): "standard for pixels, standardize for other features.",
    ("AutoDecoder", "fit.num_epochs"): "The number that makes 5,000 steps, from 20 to 500.",
    ("AutoDecoder", "search.space"): f'{_ONE_FIT}; with `recipe="original"` 1e-3.',
    ("AutoDecoder", "decoder.batch_norm"): "It follows from `recipe`, as in a study.",
    ("AutoDecoder", "fit.latent_start"): "It follows from `recipe`, as in a study.",
    ("AutoDecoder", "seed"): "If `random_state` is not given, it is drawn, as in scikit-learn.",
}


def page() -> str:
    """The whole page."""
    names = ", ".join(f"`{name}`" for name in TUNABLE)
    rows = "".join(map(_row, list_settings()))
    others = "".join(
        f"| `{path}` | `{taker}` | {shown} | {REASONS[taker, path]} |\n"
        for taker, path, shown in other_defaults()
    )
    return HEAD.replace("TUNABLE", names) + rows + TAIL + IN_PYTHON + others


def other_defaults() -> Iterator[tuple[str, str, str]]:
    """Defaults that differ from a study's: taker, path and default."""
    settings = {setting.path.rpartition(".")[2]: setting for setting in list_settings()}
    by_path = {setting.path: setting for setting in settings.values()}
    for taker, function in TAKERS.items():
        for name, parameter in signature(function).parameters.items():
            setting = by_path.get(OTHER_NAMES.get(name, ""), settings.get(name))
            if setting is None or parameter.default is parameter.empty:
                continue
            if (shown := _shown(parameter.default)) != _default(setting):
                yield taker, setting.path, shown


def _row(setting: Setting) -> str:
    flag = f"`--{setting.flag}`" if setting.flag else ""
    if setting.default is True:
        flag += f", `--no{setting.flag}`"
    meaning = setting.meaning.replace("|", "\\|")
    return f"| `{setting.path}` | {flag} | {_default(setting)} | {meaning} | {setting.original} |\n"


def _default(setting: Setting) -> str:
    default = setting.default
    if setting.path == "search.space":
        rates = default["learning_rate"]
        assert not isinstance(rates, Range)
        return "learning_rate " + ", ".join(f"{rate:g}" for rate in rates)
    return _shown(format_arch(default) if setting.path == "decoder.arch" else default)


def _shown(default: Any) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(default) if isinstance(default, tuple) else str(default)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
