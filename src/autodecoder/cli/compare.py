"""`autodecoder compare`: other methods on the same images, under equal conditions."""

import hashlib
import math
import time
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from autodecoder.cli.flags import Json, flag, path_flag
from autodecoder.cli.study_flags import OUTPUT, SEARCH, OtherFlags, StudyFlags, read_flags
from autodecoder.config import list_settings
from autodecoder.errors import ConfigError

_Number = TypeVar("_Number", int, float)

#: Groups of settings with flags here, and those of them that do not apply.
_GROUPS = ("data.", "decoder.", "fit.")
_WITHOUT = ("fit.num_epochs", "fit.shuffle_buffer")
_OTHERS = ("recipe",)
_SHARE, _ALL = "data.examples_frac", "Share of the images to use, by class. [default: 1]"


def _fields() -> list[tuple[str, Any, Any]]:
    found = [
        flag(replace(setting, meaning=_ALL, default=None) if setting.path == _SHARE else setting)
        for setting in list_settings()
        if setting.flag is not None
        and setting.path.startswith(_GROUPS)
        and setting.path not in _WITHOUT
    ]
    others = {f.name: (f.name, f.type, f.default) for f in fields(OtherFlags)}
    return [*found, *(others[name] for name in _OTHERS)]


_ALL_FLAGS: Any = make_dataclass("_ALL_FLAGS", _fields(), frozen=True, kw_only=True)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CompareFlags(_ALL_FLAGS):
    """The flags of `train` that a comparison uses; `None` and () mean not given."""


def compare_(
    flags: CompareFlags | None = None,
    *,
    methods: Annotated[
        str,
        Parameter(
            group=SEARCH,
            help="Methods, joined by commas: pca, principal components; ae, an autoencoder; vae, a "
            "variational one; gon, a gradient origin network; ae-refined, vae-refined and "
            "gon-refined, where latent inference improves their latents; auto-decoder.",
        ),
    ] = "pca,ae,ae-refined,vae,gon,auto-decoder",
    budget: Annotated[
        str,
        Parameter(
            group=SEARCH,
            help="Length of each fit: epochs=N, or seconds=N of training, for which each method "
            "has its own number of epochs.",
        ),
    ] = "epochs=20",
    lr: Annotated[
        str,
        Parameter(
            group=SEARCH,
            name=("lr", "learning_rate"),
            help="Learning rates that are tried for each method, joined by commas; the best on "
            "held-out training images is used. One rate: no search.",
        ),
    ] = "1e-3,2e-3,5e-3,1e-2",
    seeds: Annotated[
        str, Parameter(group=SEARCH, help="Seeds, joined by commas: a fit of each method for each.")
    ] = "0,1,2",
    out: Annotated[
        Path | None,
        path_flag(
            group=OUTPUT,
            help="Folder of the comparison: a new one, or one to resume or to extend by methods, "
            "rates and seeds. By default a folder in runs/ named after the settings.",
        ),
    ] = None,
    json_: Annotated[Json, Parameter(group=OUTPUT)] = False,
) -> bool:
    """Compare the auto-decoder with other methods on the same images, under equal conditions.

    All methods have the same decoder, latent dimensions, batches, optimiser and budget, and their
    learning rates are searched alike. Errors are those of the validation images, which are used for
    nothing else. Prints a table and writes results.json and a page, index.html. After an
    interruption, the same command continues.

    Example: autodecoder compare --dataset mnist --arch 500-500 --budget epochs=20
    """
    from autodecoder.cli.console import aside, console, print_json
    from autodecoder.cli.programs import keep_programs
    from autodecoder.cli.progress import stepped
    from autodecoder.cli.tables import print_methods
    from autodecoder.compare import compare_methods
    from autodecoder.compare.comparison import OURS
    from autodecoder.compare.measure import measure_structure
    from autodecoder.compare.result import explain, to_content
    from autodecoder.files import write_json
    from autodecoder.report import write_methods_page
    from autodecoder.study import load_study_data

    given = {f.name: getattr(flags, f.name) for f in fields(flags)} if flags else {}
    unit, amount = _read_budget(budget)
    epochs = int(amount) if unit == "epochs" else 20
    rates = _read_numbers("lr", lr, float)
    if given.get("examples_frac") is None:
        given["examples_frac"] = 1.0  # a comparison is of all images
    asked = read_flags(StudyFlags(**given, num_epochs=epochs, seed=0), None)
    config = asked.config
    folder = _default_folder(asked.folder, budget) if out is None else out
    begin = time.perf_counter()
    with aside(json_), stepped() as report:
        keep_programs()
        dataset = load_study_data(config)
        compared = compare_methods(
            dataset,
            methods=tuple(_split(methods)),
            decoder=config.decoder,
            fit=config.fit,
            rates=rates,
            seeds=_read_numbers("seeds", seeds, int),
            seconds=amount if unit == "seconds" else None,
            scaler=config.data.scaler,
            measures=measure_structure,
            folder=folder,
            report=lambda what, done, total: report(f"{what}: epoch {done:,} of {total:,}"),
        )
        ours = OURS if OURS in _split(methods) else None
        content = to_content(compared, ours)
        write_json(folder / "results.json", content)
        notes = explain(compared, ours)
        page = write_methods_page(compared, folder / "index.html", ours=ours, notes=notes)
    if json_:
        print_json({"page": page, **content})
        return False
    print_methods(compared, ours)
    for note in notes:
        console.print(note, highlight=False)
    seconds = time.perf_counter() - begin
    console.print(f"Results in {folder / 'results.json'}; {seconds:.0f} s", highlight=False)
    console.print(f"Page: {page}", highlight=False)
    return False


def _read_budget(budget: str) -> tuple[str, float]:
    """Unit and number of a budget."""
    unit, equals, text = budget.replace(" ", "").partition("=")
    if unit not in ("epochs", "seconds") or not equals:
        raise ConfigError(f"budget must be epochs=N or seconds=N, got {budget!r}.")
    kind = int if unit == "epochs" else float
    try:
        amount = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"budget must have {what}, got {budget!r}.") from None
    if not 0 < amount < math.inf:
        raise ConfigError(f"budget must be above 0, got {budget!r}.")
    return unit, amount


def _read_numbers(name: str, text: str, kind: type[_Number]) -> tuple[_Number, ...]:
    try:
        return tuple(kind(part) for part in _split(text))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"{name} must be {what} joined by commas, got {text!r}.") from None


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _default_folder(study: Path, *asked: str) -> Path:
    """A folder for the same settings and the same budget."""
    digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()
    return Path("runs") / f"compare-{study.name}-{digest[:8]}"
