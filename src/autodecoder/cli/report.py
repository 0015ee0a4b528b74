"""`autodecoder report`: a study or a model as one page."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import Json, path_flag
from autodecoder.cli.inputs import (
    NOT_NAMED,
    TrainedOn,
    data_of,
    data_of_model,
    open_model,
    title_of,
)
from autodecoder.errors import ConfigError, DataError
from autodecoder.files import refuse_link


def report(
    folder: Annotated[Path, path_flag(help="A study's folder, or a model's.")],
    /,
    *,
    out: Annotated[
        Path | None,
        path_flag(
            help="The file, of a model; one that exists is replaced. By default "
            "report/index.html in the folder, as always of a study."
        ),
    ] = None,
    umap: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="Add a map of the training latents, made by umap-learn (extra umap), which takes "
            "a while.",
        ),
    ] = False,
    named: TrainedOn = NOT_NAMED,
    json_: Json = False,
) -> bool:
    """Write a page that opens without a network: trials, pictures, and a latent plane to play with.

    Below the pointer the decoder runs in the page itself. It is one file, to be sent as it is.
    Pictures are drawn anew where the images of the training are at hand, and you have trained on
    them, or name them, or they are a published data set.

    Example: autodecoder report runs/mine/best --out digits.html
    """
    from autodecoder.cli.console import aside, console, print_json

    if umap:
        from autodecoder.report.umap import check_umap

        check_umap()
    with aside(json_):
        if out is None:
            refuse_link(folder, "report")
        arrays = ("decoder.safetensors", "latents.safetensors")
        if any((folder / name).exists() for name in arrays):
            target = folder / "report" / "index.html" if out is None else out
            path = _of_model(folder, target, umap, named)
        else:
            path = _of_study(folder, out, umap, named)
    if json_:
        print_json({"out": str(path), "bytes": path.stat().st_size})
    else:
        console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", highlight=False)
    return False


def _of_model(folder: Path, path: Path, umap: bool, named: TrainedOn) -> Path:
    from autodecoder.cli.console import console
    from autodecoder.report import write_model_page

    model, dataset = open_model(folder), None
    try:
        dataset = data_of_model(model, named)
    except (ConfigError, DataError) as error:
        if named:
            raise
        console.print(f"Without reconstructions: {error}", highlight=False)
    title = title_of(model, folder)
    return write_model_page(model, path, title=title, dataset=dataset, umap=umap)


def _of_study(folder: Path, out: Path | None, umap: bool, named: TrainedOn) -> Path:
    from autodecoder.cli.console import console
    from autodecoder.cli.programs import keep_programs
    from autodecoder.report import write_pictures, write_study_page
    from autodecoder.study import load_study

    study, dataset = load_study(folder), None
    if out is not None:
        raise ConfigError("out is for the page of a model: that of a study lies in its folder.")
    keep_programs()
    try:
        of = study.about.get("data_fingerprint"), study.about.get("image_shape")
        dataset = data_of(study.config, *of, named)
    except (ConfigError, DataError) as error:
        if named:
            raise
        console.print(f"With the pictures as they lie there: {error}", highlight=False)
    if dataset is not None:
        write_pictures(study, dataset)
    return write_study_page(study, dataset=dataset, umap=umap)
