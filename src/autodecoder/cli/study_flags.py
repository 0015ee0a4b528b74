"""The flags of a study, shared by `train` and `tune`, and the settings made from them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from autodecoder.cli.chosen import choose, tell
from autodecoder.cli.flags import GROUPS, flag, merge, nest, path_flag
from autodecoder.cli.observers import ObserverFlags
from autodecoder.cli.study_folder import kept_defaults, name_folder, recorded_seed
from autodecoder.config import (
    LEARNING_RATE_GRID,
    RECIPES,
    DataConfig,
    StudyConfig,
    list_settings,
    parse_tune,
    read_toml,
    split_hub,
    split_source,
    study_config,
)
from autodecoder.config.setting import own_settings
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path
from autodecoder.text import count

SEARCH, OUTPUT = GROUPS["Search"], GROUPS["Output"]
GRID = ", ".join(f"{rate:g}" for rate in LEARNING_RATE_GRID)
#: A search with more runs needs --yes.
_MANY_RUNS = 1000

#: Flags for the place where a study runs.
WHERE = (
    *("devices", "mesh", "engine", "workers", "worker_cores", "ray_address"),
    *("rows", "memory", "auto_batch"),
)

#: Flags of processes that share each fit.
HOSTS = ("coordinator", "num_processes", "process_id", "watchdog")

_SETTINGS = [setting for setting in list_settings() if setting.flag is not None]
_BY_RECIPE = ", ".join(setting.path.rpartition(".")[2] for setting in _SETTINGS if setting.recipe)


@dataclass(frozen=True, kw_only=True)
class OtherFlags:
    """Flags that are not settings."""

    recipe: Annotated[
        str | None,
        Parameter(
            group=GROUPS["Joint fit"],
            help=f"Named set of values for {_BY_RECIPE}: one of {', '.join(RECIPES)}. A setting "
            "given separately overrides it. [default: fast]",
        ),
    ] = None
    config: Annotated[
        Path | None,
        path_flag(group=OUTPUT, help="TOML file with settings, which flags override."),
    ] = None
    out: Annotated[
        Path | None,
        path_flag(
            group=OUTPUT,
            help="Folder of the study: a new one, or one to resume. By default a folder in runs/ "
            "named after the settings.",
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
            help="Remove the study in the folder, but no other files, and start over.",
        ),
    ] = False
    wait: Annotated[
        bool,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help="If other processes run all remaining trials, wait until these have ended, and "
            "take over those of a process that dies.",
        ),
    ] = False
    devices: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help="Number of devices of this machine to use, or all; 1 by default. Runs that train "
            "together are placed on devices first; devices beyond their number share the images "
            "of each run.",
        ),
    ] = None
    mesh: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Devices that share images and runs, instead of --devices, for example "
            "data=4,runs=2.",
        ),
    ] = None
    engine: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Where trials run: local, one group of one shape after another; processes, which "
            "share the cores or GPUs of this machine; ray, on a cluster. [default: local]",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Parameter(
            group=OUTPUT,
            help="Groups that run at once with the engines processes and ray; by default as many "
            "as there are cores or GPUs.",
        ),
    ] = None
    worker_cores: Annotated[
        int | None,
        Parameter(
            group=OUTPUT,
            help="CPU cores per group; by default 1 on a cluster, and an equal share of the cores "
            "on one machine.",
        ),
    ] = None
    ray_address: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Cluster for the engine ray: HOST:PORT, or auto, the cluster of this machine; by "
            "default a new cluster on this machine alone.",
        ),
    ] = None
    rows: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Storage of latents and their moments: device; host, in memory; disk, in files of "
            "the study; auto, the first of these with enough room. With host and disk, images are "
            "read window by window. [default: auto]",
        ),
    ] = None
    memory: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="Memory limit of the process, for example 2GB; by default the free memory.",
        ),
    ] = None
    auto_batch: Annotated[
        bool | None,
        Parameter(
            group=OUTPUT,
            negative="",
            help="Halve batch_size until the fit has enough memory. Results differ from those of "
            "the given batch_size.",
        ),
    ] = None
    distributed: Annotated[
        bool,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help="Share each fit among the processes of a launcher: SLURM, Open MPI, Kubernetes. "
            "Each process runs the same command.",
        ),
    ] = False
    coordinator: Annotated[
        str | None,
        Parameter(
            group=OUTPUT,
            help="HOST:PORT of process 0, without a launcher; needs --num_processes and "
            "--process_id.",
        ),
    ] = None
    num_processes: Annotated[
        int | None, Parameter(group=OUTPUT, help="Number of processes that share each fit.")
    ] = None
    process_id: Annotated[
        int | None, Parameter(group=OUTPUT, help="Index of this process, from 0.")
    ] = None
    watchdog: Annotated[
        float | None,
        Parameter(
            group=OUTPUT,
            help="Seconds after which all processes end if one sends no sign of life or does not "
            "reach a step in which the others wait. [default: 300]",
        ),
    ] = None
    yes: Annotated[
        bool,
        Parameter(
            group=OUTPUT,
            show_default=False,
            help=f"Allow a search of more than {_MANY_RUNS} runs.",
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
    """All flags except `--lr`; `None` and () mean not given."""


class Asked(NamedTuple):
    """A study to run, and how to run it."""

    config: StudyConfig
    folder: Path
    storage: str | None
    reset: bool
    wait: bool = False
    where: Mapping[str, Any] = MappingProxyType({})
    """Arguments of `run_study` for the place where the study runs."""
    together: Mapping[str, Any] | None = None
    """Arguments of `join_hosts`, if several processes share each fit."""
    watched: ObserverFlags = ObserverFlags()
    """Flags for logging the runs."""
    chosen: str | None = None
    """A sentence with the settings chosen from the images."""


def read_flags(flags: StudyFlags, learning_rate: float | None, *, for_map: bool = False) -> Asked:
    """Read the requested study from flags and their file.

    Settings that they do not give are chosen by `chosen.choose`, or keep their defaults.

    Raises
    ------
    ConfigError
        If a value breaks its rule, or two values conflict.
    DataError
        If the images must be inspected and cannot be found.
    """
    values = {setting.path: getattr(flags, str(setting.flag)) for setting in _SETTINGS}
    # The search space is assembled below.
    given = nest({**values, "search.space": None, "recipe": flags.recipe})
    settings = merge({} if flags.config is None else read_toml(flags.config), given)
    if flags.out is not None and not flags.reset_training:
        settings = merge(kept_defaults(flags.out), settings)
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
    study = replace(study, data=replace(study.data, dataset=absolute_source(study.data.dataset)))
    for name, setting in own_settings(DataConfig).items():
        path = getattr(study.data, name)
        if setting.kind is Path and not setting.free and path is not None:
            whole = Path(os.path.abspath(path))  # noqa: PTH100 (as below)
            study = replace(study, data=replace(study.data, **{name: whole}))
    folder = flags.out or Path("runs") / name_folder(study, "seed" in settings)
    if "seed" not in settings:
        study = replace(study, seed=recorded_seed(folder, flags.reset_training))
    n_runs = study.search.n_trials * study.executions_per_trial
    if n_runs > _MANY_RUNS and not flags.yes:
        raise ConfigError(
            f"the search has {count(study.search.n_trials, 'trial')} of "
            f"{count(study.executions_per_trial, 'execution')}, {n_runs:,} runs in all; give --yes "
            "to start it."
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
            f"{next(iter(given))} is for several processes: give --distributed or --coordinator."
        )
    patience = given.pop("watchdog", None)
    return given if patience is None else {**given, "patience": patience}


def _searched(settings: dict[str, Any]) -> Mapping[str, Any]:
    """The search space in a file; empty if it is invalid, which a later check reports."""
    search = settings.get("search", {})
    space = search.get("space", {}) if isinstance(search, dict) else {}
    return space if isinstance(space, dict) else {}


def _default_space(settings: dict[str, Any]) -> dict[str, Any]:
    """The default search of the learning rate."""
    space = settings.get("search", {})
    if not isinstance(space, dict) or not isinstance(space.get("space", {}), dict):
        return {}  # the later check of settings reports the error
    return {"search": {"space": {"learning_rate": list(LEARNING_RATE_GRID)}}}


def _space(fixed: Mapping[str, Any], tune: Sequence[str], searched: Any) -> dict[str, Any] | None:
    """The part of the search space that flags set: the values of --tune, and the single value of a
    setting that has its own flag although the file or the default searches it."""
    tuned: dict[str, Any] = {}
    for text in tune:
        name, values = parse_tune(text)
        if name in tuned:
            raise ConfigError(f"{name} is given twice, by --tune {text} and another --tune.")
        if name in fixed:
            raise ConfigError(f"{name} is given twice, by --tune {text} and its own flag.")
        tuned[name] = values
    if not isinstance(searched, dict):
        return None  # the later check of settings reports the error
    held = {name: (value,) for name, value in fixed.items() if name in searched}
    return {**held, **tuned} or None


def absolute_source(dataset: str) -> str:
    """Make the path of users' own images absolute, so that the study is the same in any folder."""
    kind, place = split_source(dataset)
    if not place:
        return dataset
    folder, *_ = split_hub(place) if kind == "hf" else (place,)
    path = user_path(folder, "dataset")
    if kind == "hf" and not path.is_dir():  # a name on the hub
        return dataset
    return f"{kind}:{os.path.abspath(path)}{place.removeprefix(folder)}"  # noqa: PTH100 (a link keeps the name it is given by)
