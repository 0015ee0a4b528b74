"""`autodecoder train` and `autodecoder tune`: run a study from flags, and show its results."""

import contextlib
import os
import shlex
import signal
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from autodecoder.cli.flags import Json
from autodecoder.cli.observers import make_observers
from autodecoder.cli.streams import STDERR
from autodecoder.cli.study_flags import GRID, OUTPUT, SEARCH, Asked, StudyFlags, read_flags
from autodecoder.config import TUNABLE_ALIASES, format_value
from autodecoder.errors import SearchError

if TYPE_CHECKING:
    from autodecoder.study import Study
    from autodecoder.study.hosts import Hosts

#: Flags that `tune` omits from its suggested training command: those of the search, and those of
#: the folder, which holds the search.
_LEFT_OUT = (
    *("tune", "sampler", "max_trials", "prune", "out", "storage", "reset_training", "wait", "yes"),
    *("distributed", "coordinator", "num_processes", "process_id", "watchdog"),
)


def train(
    flags: StudyFlags | None = None,
    *,
    lr: Annotated[
        float | None,
        Parameter(
            group=SEARCH,
            name=("lr", "learning_rate"),
            help=f"Learning rate. Without it, {GRID} are searched.",
        ),
    ] = None,
    json_: Annotated[Json, Parameter(group=OUTPUT)] = False,
) -> bool:
    """Train a decoder and its latents. Without --lr, search the learning rate.

    Prints a table of trials, best first, and writes settings, histories, pictures and a page,
    report/index.html. After an interruption, the same command continues.

    Example: autodecoder train --dataset mnist --arch 500-500 --lr 1e-3 --num_epochs 20
    """
    return run_asked(read_flags(flags or StudyFlags(), lr), json_)


def tune(
    flags: StudyFlags | None = None, *, json_: Annotated[Json, Parameter(group=OUTPUT)] = False
) -> bool:
    """Search the learning rate and the settings of --tune, and print a command for the best values.

    It runs train without --lr, then prints the best trial and the command that trains with its
    values.

    Example: autodecoder tune --dataset mnist --tune lr=log:1e-4:1e-1:10 --tune latent_dims=2,8
    """
    flags = flags or StudyFlags()
    return run_asked(read_flags(flags, None), json_, tuned=flags)


def run_asked(
    asked: Asked,
    json_: bool,
    *,
    tuned: StudyFlags | None = None,
    as_map: bool = False,
    opens: bool = False,
) -> bool:
    """Run a study and show its results.

    Parameters
    ----------
    asked : Asked
    json_ : bool
        Print the result as JSON.
    tuned : StudyFlags, optional
        Flags of `tune`; the output then includes a command for the best values.
    as_map : bool
        End with the page instead of the table of trials.
    opens : bool
        Open the page in a browser.

    Returns
    -------
    bool
        Whether it was interrupted.
    """
    # Imported here because they load jax and matplotlib, which --help does not need.
    from autodecoder.cli.console import aside, console, print_json
    from autodecoder.cli.content import study_content
    from autodecoder.cli.tables import print_best
    from autodecoder.study.locks import living_workers, tell_worker

    with contextlib.ExitStack() as stack:
        hosts = None
        if asked.together is not None:
            from autodecoder.study.hosts import join_hosts

            # jax must not run anything before this.
            hosts = stack.enter_context(join_hosts(**asked.together))
            if not hosts.is_leader:
                _follow(asked, hosts)
                return False
        stack.enter_context(aside(json_))
        ran = _run(asked, hosts, quiet=json_, as_map=as_map)
    study, interrupted = ran.study, ran.interrupted
    command = None
    if tuned is not None and study.best_trial is not None:
        command = train_command(tuned, study)
    if json_:
        others = [tell_worker(worker) for worker in living_workers(asked.folder)]
        about: dict[str, Any] = {"interrupted": interrupted, "others": others}
        about |= {"pictures": ran.pictures, "page": ran.page}
        if tuned is not None:
            about["command"] = command
        print_json({**study_content(study), **about})
    elif command is not None:
        print_best(study)
        console.print(f"To train with these values: {command}", highlight=False)
    if ran.given_up is not None:
        raise ran.given_up
    if opens:
        import webbrowser

        webbrowser.open(ran.page.resolve().as_uri())
    return interrupted


class _Ran(NamedTuple):
    """The results of a study."""

    study: "Study"
    page: Path
    pictures: "list[Path]"
    interrupted: bool
    given_up: SearchError | None


def _follow(asked: Asked, hosts: "Hosts") -> None:
    """Take part in a study that another process leads. Only the leader prints."""
    from autodecoder.cli.programs import keep_programs
    from autodecoder.study import load_study_data
    from autodecoder.study.follow import agree_on_settings, follow_study

    for number in (signal.SIGINT, signal.SIGTERM):  # all processes get them; the leader acts
        signal.signal(number, signal.SIG_IGN)
    keep_programs()
    config = agree_on_settings(asked.config, hosts)
    dataset = load_study_data(config, shared=True)
    follow_study(config, dataset, hosts, mesh=asked.where.get("mesh"))


def _run(asked: Asked, hosts: "Hosts | None", *, quiet: bool, as_map: bool) -> _Ran:
    """Run a study, and show it unless `quiet`."""
    from autodecoder.cli.console import (
        console,
        interruptible,
        logged,
        print_start,
        saying,
    )
    from autodecoder.cli.ending import print_ending, print_map
    from autodecoder.cli.programs import keep_programs
    from autodecoder.cli.progress import study_progress
    from autodecoder.cli.tables import print_study
    from autodecoder.report import write_pictures, write_study_page
    from autodecoder.study import load_study, load_study_data, run_study
    from autodecoder.study.follow import agree_on_settings
    from autodecoder.study.results import UNFINISHED

    config, folder, storage, reset, wait, where, _, watched, chosen = asked
    if where.get("engine", "local") != "local":
        # The workers own the GPUs; by default, this process would reserve three quarters of each.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    keep_programs()
    if hosts is not None:
        config = agree_on_settings(config, hosts)  # the seed affects what is loaded
    with logged():
        observers = make_observers(config, watched)
        dataset = load_study_data(
            config,
            progress=STDERR.isatty(),
            memory=where.get("memory"),
            shared=hosts is not None,
        )
    print_start(config, dataset, chosen)
    given_up: SearchError | None = None
    with logged(), interruptible() as should_stop:
        try:
            with study_progress() as report:
                study = run_study(
                    config,
                    dataset,
                    folder,
                    storage=storage,
                    reset=reset,
                    wait=wait,
                    hosts=hosts,
                    **where,
                    observers=observers,
                    report=report,
                    should_stop=should_stop,
                )
        except SearchError as error:
            given_up, study = error, load_study(folder)
        if not (quiet or as_map):
            print_study(study)
        with saying("drawing figures"):
            pictures = write_pictures(study, dataset)
        with saying("writing the page"):
            page = write_study_page(study, dataset=dataset)
        interrupted = should_stop()
    n_open = sum(trial.state == UNFINISHED for trial in study.trials)
    if interrupted:
        console.print(f"Interrupted: {_going_on(folder, reset)}.")
    elif n_open:
        console.print(_left(folder, n_open, reset), highlight=False)
    if as_map:
        print_map(study, page)
    else:
        print_ending(study, page, pictures)
    return _Ran(study, page, pictures, interrupted, given_up)


def _left(folder: Path, n_open: int, reset: bool) -> str:
    """A message about trials that have not ended, if this process found none to run."""
    from autodecoder.study.locks import living_workers, tell_worker
    from autodecoder.text import count

    again = f"run this again{_without_reset(reset)}"
    others = [tell_worker(worker) for worker in living_workers(folder)]
    if not others:
        return f"{count(n_open, 'trial')} did not end, because a process died: {again}."
    which, have = ("Another process", "has") if len(others) == 1 else ("Other processes", "have")
    return (
        f"{which} ({', '.join(others)}) {have} all remaining trials ({n_open}): wait with --wait, "
        f"or {again}."
    )


def _going_on(folder: Path, reset: bool) -> str:
    """How to resume an interrupted study."""
    place = "" if folder.is_absolute() else " in the same folder"
    return f"the same command{_without_reset(reset)}{place} goes on from here"


def _without_reset(reset: bool) -> str:
    """A note to omit the flag that would remove the study."""
    return " without --reset_training" if reset else ""


def train_command(flags: StudyFlags, study: "Study") -> str:
    """The command line that trains with the values of the best trial, and otherwise by `flags`."""
    assert study.best_trial is not None  # checked by the caller
    values = study.best_trial.values
    short = {name: alias for alias, name in TUNABLE_ALIASES.items()}
    given = {f.name: getattr(flags, f.name) for f in fields(flags) if f.name not in _LEFT_OUT}
    given |= {short.get(name, name): value for name, value in values.items()}
    if flags.config is not None and study.config.search.sampler != "grid":
        given["sampler"] = "grid"  # the file's sampler would repeat the same trial
    words = ["autodecoder", "train"]
    for name, value in given.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no{name}")
        elif value is not None and value != ():
            several = value if isinstance(value, tuple) and name != "arch" else (value,)
            for one in several:
                words += [f"--{name}", repr(one) if type(one) is float else format_value(one)]
    return shlex.join(words)
