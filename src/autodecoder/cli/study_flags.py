"""The flags of a study, which `train` and `tune` share, and the settings that they make."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from autodecoder.cli.chosen import choose, tell
from autodecoder.cli.flags import GROUPS, flag, merge, nest, path_flag
from autodecoder.cli.observers import ObserverFlags
from autodecoder.config import (
    FREE_SETTINGS,
    LEARNING_RATE_GRID,
    RECIPES,
    SCHEMA,
    DataConfig,
    StudyConfig,
    format_arch,
    kept_settings,
    list_settings,
    parse_tune,
    read_toml,
    split_hub,
    split_source,
    study_config,
    to_dict,
)
from autodecoder.config.setting import own_settings
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path
from autodecoder.text import count

SEARCH, OUTPUT = GROUPS["Search"], GROUPS["Output"]
GRID = ", ".join(f"{rate:g}" for rate in LEARNING_RATE_GRID)
#: More runs than this are not begun without --yes.
_MANY_RUNS = 1000

#: Flags that say on what a study runs.
WHERE = (
    *("devices", "mesh", "engine", "workers", "worker_cores", "ray_address"),
    *("rows", "memory"),
)

#: Flags of processes that share each fit.
HOSTS = ("coordinator", "num_processes", "process_id", "watchdog")

_SETTINGS = [setting for setting in list_settings() if setting.flag is not None]
_BY_RECIPE = ", ".join(setting.path.rpartition(".")[2] for setting in _SETTINGS if setting.recipe)


@dataclass(frozen=True, kw_only=True)
class OtherFlags:
    """Flags that stand for no setting."""

    recipe: Annotated[
        str | None,
        Parameter(
            group=GROUPS["Joint fit"],
            help=f"Named values of {_BY_RECIPE}: one of {', '.join(RECIPES)}. A setting given by "
            "itself wins. [default: fast]",
        ),
    ] = None
    config: Annotated[
        Path | None,
        path_flag(group=OUTPUT, help="TOML file of settings, which flags win over."),
    ] = None
    out: Annotated[
        Path | None,
        path_flag(
            group=OUTPUT,
            help="Folder of the study: a new one, or one to go on with. By default one below runs/ "
            "that is named after the settings.",
        ),
    ] = None
    storage: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="URL of a database for the trials, for example postgresql://user@host/name; by "
            "default a file in the folder.",
        ),
    ] = None
    reset_training: Annotated[
        bool,
        Parameter(
            group=OUTPUT,
            negative="--noreset_training",
            show_default=False,
            help="Remove the study in the folder, though no other files, and start over.",
        ),
    ] = False
    wait: Annotated[
        bool,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help="Where other processes have all trials that are left, wait until they have ended, "
            "and take over those of a process that dies.",
        ),
    ] = False
    devices: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help="Devices of this machine to use, or all; 1 by default. As many runs as there are "
            "move at once; the devices that are left share the images of each.",
        ),
    ] = None
    mesh: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Says instead how many devices share images and runs, for example data=4,runs=2.",
        ),
    ] = None
    engine: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Where trials run: local, one group of one shape after the other; processes, "
            "which share the cores or GPUs of this machine; ray, on a cluster. [default: local]",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Parameter(
            group=OUTPUT,
            help="Groups that run at once with the engines processes and ray; by default as many "
            "as there are cores or GPUs for.",
        ),
    ] = None
    worker_cores: Annotated[
        int | None,
        Parameter(
            group=OUTPUT,
            help="CPU cores of each group; by default 1 on a cluster, and on one machine its share "
            "of all.",
        ),
    ] = None
    ray_address: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Cluster for the engine ray: HOST:PORT, or auto, the one that this machine is "
            "part of; by default a new one of this machine alone.",
        ),
    ] = None
    rows: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Where latents and their moments lie: device; host, in memory; disk, in files of "
            "the study; auto, in the first of these that has room. On host and disk images come "
            "window by window. [default: auto]",
        ),
    ] = None
    memory: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Memory that the process should keep below, for example 2GB; by default what is "
            "free.",
        ),
    ] = None
    distributed: Annotated[
        bool,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help="Several processes share each fit, those of the launcher: SLURM, Open MPI, "
            "Kubernetes. Each runs the same command.",
        ),
    ] = False
    coordinator: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="HOST:PORT of process 0, where there is no launcher; with --num_processes and "
            "--process_id.",
        ),
    ] = None
    num_processes: Annotated[
        int | None, Parameter(group=OUTPUT, help="How many processes share each fit.")
    ] = None
    process_id: Annotated[
        int | None, Parameter(group=OUTPUT, help="Which of them this is, counted from 0.")
    ] = None
    watchdog: Annotated[
        float | None,
        Parameter(
            group=OUTPUT,
            help="Seconds after which a process that is not heard of, or a step that does not end, "
            "ends all of them. [default: 300]",
        ),
    ] = None
    yes: Annotated[
        bool,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help=f"Do not stop at a search of more than {_MANY_RUNS} runs.",
        ),
    ] = False


_ALL_FLAGS: Any = make_dataclass(
    "_ALL_FLAGS",
    map(flag, _SETTINGS),
    bases=(OtherFlags, ObserverFlags),
    frozen=True,
    kw_only=True,
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyFlags(_ALL_FLAGS):
    """All flags but `--lr`; `None` and () are not given."""


class Asked(NamedTuple):
    """What is to be run."""

    config: StudyConfig
    folder: Path
    storage: str | None
    reset: bool
    wait: bool = False
    where: Mapping[str, Any] = MappingProxyType({})
    """Arguments of `run_study` that say on what the study runs."""
    together: Mapping[str, Any] | None = None
    """Arguments of `join_hosts`, where several processes share each fit."""
    watched: ObserverFlags = ObserverFlags()
    """Where runs are logged."""
    chosen: str | None = None
    """Which settings were chosen from the images, for people."""


def read_flags(flags: StudyFlags, learning_rate: float | None, *, for_map: bool = False) -> Asked:
    """The study that flags, and the file that they name, ask for.

    What they leave open is chosen as `chosen.choose` says, and else the default.

    Raises
    ------
    ConfigError
        If a value breaks its rule, or two of them go ill together.
    DataError
        If images are to be looked at, and cannot be found.
    """
    values = {setting.path: getattr(flags, str(setting.flag)) for setting in _SETTINGS}
    # What is searched is put together below.
    given = nest({**values, "search.space": None, "recipe": flags.recipe})
    settings = merge({} if flags.config is None else read_toml(flags.config), given)
    if flags.out is not None and not flags.reset_training:
        settings = merge(_kept(flags.out), settings)
    given_rate = () if learning_rate is None else ("learning_rate",)
    searched = {*_searched(settings), *given_rate, *(parse_tune(text)[0] for text in flags.tune)}
    chosen = choose(settings, searched, for_map=for_map)
    settings = merge(nest(chosen), settings)
    settings = merge(_default_space(settings), settings)
    fixed = {
        **given.get("decoder", {}),
        **given.get("fit", {}),
        **nest({"learning_rate": learning_rate}),
    }
    space = _space(fixed, flags.tune, settings["search"]["space"])
    settings = merge(settings, nest({"search.space": space}))
    study = study_config(settings)
    study = replace(study, data=replace(study.data, dataset=_absolute(study.data.dataset)))
    for name, setting in own_settings(DataConfig).items():
        path = getattr(study.data, name)
        if setting.kind is Path and not setting.free and path is not None:
            whole = Path(os.path.abspath(path))  # noqa: PTH100 (as below)
            study = replace(study, data=replace(study.data, **{name: whole}))
    folder = flags.out or Path("runs") / _name(study, "seed" in settings)
    if "seed" not in settings:
        study = replace(study, seed=_recorded_seed(folder, flags.reset_training))
    n_runs = study.search.n_trials * study.executions_per_trial
    if n_runs > _MANY_RUNS and not flags.yes:
        raise ConfigError(
            f"the search has {count(study.search.n_trials, 'trial')} of "
            f"{count(study.executions_per_trial, 'execution')}, {n_runs:,} runs in all; give --yes "
            "to begin it."
        )
    where = {name: getattr(flags, name) for name in WHERE if getattr(flags, name) is not None}
    together = _together(flags)
    told = tell(chosen) if chosen else None
    started = flags.reset_training, flags.wait
    asked = Asked(study, folder, flags.storage, *started, where, together)
    return asked._replace(watched=flags, chosen=told)


def _together(flags: StudyFlags) -> dict[str, Any] | None:
    given = {name: getattr(flags, name) for name in HOSTS if getattr(flags, name) is not None}
    if not flags.distributed and not given:
        return None
    if not flags.distributed and "coordinator" not in given:
        raise ConfigError(
            f"{next(iter(given))} is for several processes: give --distributed, or --coordinator."
        )
    patience = given.pop("watchdog", None)
    return given if patience is None else {**given, "patience": patience}


def _searched(settings: dict[str, Any]) -> Mapping[str, Any]:
    """The search space of a file; nothing where it is none, which is told where it is checked."""
    search = settings.get("search", {})
    space = search.get("space", {}) if isinstance(search, dict) else {}
    return space if isinstance(space, dict) else {}


def _default_space(settings: dict[str, Any]) -> dict[str, Any]:
    """The learning rate is searched where nothing else is said of it."""
    space = settings.get("search", {})
    if not isinstance(space, dict) or not isinstance(space.get("space", {}), dict):
        return {}  # the error is told where settings are checked
    return {"search": {"space": {"learning_rate": list(LEARNING_RATE_GRID)}}}


def _space(fixed: Mapping[str, Any], tune: Sequence[str], searched: Any) -> dict[str, Any] | None:
    """What flags change of the search: the values of --tune, and a single one of each setting that
    a flag gives although the file, or the default, searches it."""
    tuned: dict[str, Any] = {}
    for text in tune:
        name, values = parse_tune(text)
        if name in tuned:
            raise ConfigError(f"{name} is given twice, by --tune {text} and before it.")
        if name in fixed:
            raise ConfigError(f"{name} is given twice, by --tune {text} and a flag of its own.")
        tuned[name] = values
    if not isinstance(searched, dict):
        return None  # the error is told where settings are checked
    held = {name: (value,) for name, value in fixed.items() if name in searched}
    return {**held, **tuned} or None


def _absolute(dataset: str) -> str:
    """Users' own images by their whole path, so that the study is the same from any folder."""
    kind, place = split_source(dataset)
    if not place:
        return dataset
    folder, *_ = split_hub(place) if kind == "hf" else (place,)
    path = user_path(folder, "dataset")
    if kind == "hf" and not path.is_dir():  # a name on the hub
        return dataset
    return f"{kind}:{os.path.abspath(path)}{place.removeprefix(folder)}"  # noqa: PTH100 (a link keeps the name it is given by)


def _name(study: StudyConfig, seed_given: bool) -> str:
    """The default folder's name: the same for the same settings."""
    settings = to_dict(study)
    for path in (*FREE_SETTINGS, *(() if seed_given else ("seed",))):
        *tables, name = path.split(".")
        table = settings
        for part in tables:
            table = table[part]
        del table[name]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    name = Path(study.data.dataset.partition(":")[2] or study.data.dataset).name
    name = re.sub(r"[^\w.]+", "-", name).strip("-.")[:40] or "images"
    return f"{name}-{format_arch(study.decoder.arch)}-{digest[:8]}"


def _kept(folder: Path) -> dict[str, Any]:
    """What a study that an earlier version began holds of settings whose default is another now."""
    if not (folder / "config.json").exists():
        return {}
    from autodecoder.study import read_about

    about = read_about(folder) or {}
    settings = about.get("settings")
    return kept_settings(settings, about.get("began", SCHEMA)) if isinstance(settings, dict) else {}


def _recorded_seed(folder: Path, reset: bool) -> int:
    """The seed of the study that the folder holds, else a new one."""
    path = folder / "config.json"
    if path.exists() and not reset:
        from autodecoder.study import read_about

        settings = (read_about(folder) or {}).get("settings")
        seed = settings.get("seed") if isinstance(settings, dict) else None
        if isinstance(seed, int):
            return seed
    return secrets.randbits(32)
