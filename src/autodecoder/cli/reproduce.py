"""`autodecoder reproduce`: repeat a study, and compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import Json, path_flag
from autodecoder.cli.inputs import NOT_NAMED, TrainedOn
from autodecoder.config.rules import check_number
from autodecoder.errors import ConfigError, ReproductionError

if TYPE_CHECKING:
    from autodecoder.study import Reproduction


def reproduce(
    study: Annotated[Path, path_flag(help="Folder of a study.")],
    /,
    *,
    out: Annotated[
        Path | None,
        path_flag(
            help="Folder of the repetition, by default STUDY-again. An interrupted "
            "repetition goes on there."
        ),
    ] = None,
    every: Annotated[
        bool, Parameter(help="Repeat all trials that have ended, not the best one alone.")
    ] = False,
    named: TrainedOn = NOT_NAMED,
    devices: Annotated[str | None, Parameter(help="As in `train`.")] = None,
    tolerance: Annotated[
        float,
        Parameter(help="Largest relative difference of the objective that counts as reproduced."),
    ] = 0.02,
    json_: Json = False,
) -> bool:
    """Repeat a study from its config.json, and compare all epochs and the best models.

    On the same machine with the same versions all bits are the same. Elsewhere sums round
    otherwise, and the differences grow while training. Images must be the same. The command fails
    if a run is not within the tolerance.

    Example: autodecoder reproduce runs/mine
    """
    from autodecoder.cli.console import aside, console, interruptible, logged, print_json
    from autodecoder.cli.programs import keep_programs
    from autodecoder.cli.progress import study_progress
    from autodecoder.cli.study_flags import absolute_source
    from autodecoder.cli.tables import print_reproduction, tell_difference
    from autodecoder.study import reproduce_study

    check_number("tolerance", tolerance)
    if tolerance < 0:
        raise ConfigError(f"tolerance must be 0 or more, got {tolerance:g}.")
    keep_programs()
    place = study.resolve().with_name(f"{study.resolve().name}-again") if out is None else out
    with aside(json_), logged(), interruptible() as should_stop:
        with study_progress() as report:
            found = reproduce_study(
                study,
                place,
                every=every,
                dataset=None if named.dataset is None else absolute_source(named.dataset),
                data_dir=named.data_dir,
                split_by=None if named.split_by is None else named.split_by.absolute(),
                mask=None if named.mask is None else named.mask.absolute(),
                devices=devices,
                report=report,
                should_stop=should_stop,
            )
        interrupted = should_stop()
    if json_:
        print_json({**_content(found), "folder": str(place), "interrupted": interrupted})
    elif not interrupted:
        print_reproduction(found)
    if interrupted:
        console.print("Interrupted: the same command goes on from here.")
        return True
    if found.difference > tolerance:
        most, allowed = map(tell_difference, (found.difference, tolerance))
        raise ReproductionError(
            f"the study was not reproduced: the largest difference is {most}, and the tolerance "
            f"{allowed}."
        )
    return False


def _content(found: "Reproduction") -> dict[str, object]:
    from autodecoder.study.space import to_parameter

    return {
        "study": str(found.study.folder),
        "exact": found.is_exact,
        "difference": found.difference,
        "changed": {name: list(pair) for name, pair in found.changed.items()},
        "runs": [
            {
                "values": {name: to_parameter(value) for name, value in run.values.items()},
                "execution": run.execution,
                "before": run.before,
                "now": run.now,
                "difference": run.difference,
                "differs_from": run.differs_from,
                "differs_in": list(run.differs_in),
            }
            for run in found.runs
        ],
    }
