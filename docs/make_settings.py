"""Write docs/settings.md, the table of all settings, from the settings themselves."""

from pathlib import Path

from autodecoder.config import TUNABLE, Range, Setting, format_arch, list_settings

PAGE = Path(__file__).with_name("settings.md")

HEAD = """# Settings

<!-- Made by `make reference` from the configuration; a test fails where it is stale. -->

Every setting of a study: its flag of `autodecoder train`, its default, its meaning, and what the
original calls it. Settings stand in a TOML file, given by `--config`, under the name of the first
column: `decoder.latent_dims` is `latent_dims` in the table `[decoder]`. Flags win over the file,
and the file over the recipe (`recipe = "…"` at the top of the file, or `--recipe`).

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
Flags of the command that are no settings of the study: `--lr` (`learning_rate` in the search space,
held fixed), `--recipe`, `--config`, `--out` (the study's folder), `--storage` (a database for the
trials), `--reset_training` (the original's *reset training*: remove the study in the folder first,
though no other files), `--wait` (for other processes that run the same study) and `--yes`.
"""


def page() -> str:
    """The whole page."""
    names = ", ".join(f"`{name}`" for name in TUNABLE)
    return HEAD.replace("TUNABLE", names) + "".join(map(_row, list_settings())) + TAIL


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
    if default is None or default == ():
        return "none"
    if isinstance(default, tuple):
        is_arch = setting.path == "decoder.arch"
        return format_arch(default) if is_arch else ", ".join(default)
    if isinstance(default, bool):
        return "yes" if default else "no"
    return str(default)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
