"""`autodecoder report`: write a page about a study or a model, or figures for print."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from autodecoder.text import count

if TYPE_CHECKING:
    from autodecoder.data import Dataset
    from autodecoder.model import Model
    from autodecoder.study import Study


def report(
    folder: Annotated[Path, path_flag(help="Folder of a study or a model.")],
    /,
    *,
    out: Annotated[
        Path | None,
        path_flag(
            help="With --figures, the folder of the figures; by default report/figures in the "
            "folder. Otherwise the file of a model's page; by default report/index.html in the "
            "folder. A study's page is always there. Existing files are replaced."
        ),
    ] = None,
    figures: Annotated[
        Literal["pdf", "svg", "png"] | None,
        Parameter(
            help="Write figures of this kind instead of a page, each with its data as a CSV file. "
            "Figures have no title. PDF and SVG are vector graphics, except for the images in "
            "them."
        ),
    ] = None,
    umap: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="Add a UMAP of the training latents. It is slow and needs the extra umap.",
        ),
    ] = False,
    named: TrainedOn = NOT_NAMED,
    json_: Json = False,
) -> bool:
    """Write a page that works without a network, or, with --figures, figures for a paper.

    The page shows trials, pictures, and an interactive map: the decoder runs in the page and draws
    the image at the pointer. The page is one file; a study's pictures are also PNG files beside it.
    With --figures they are PDF, SVG or PNG for print. Reconstructions and errors need
    the images of the training. These must be on this machine, and be a published data set, named by
    --dataset, or known from your own training.

    Example: autodecoder report runs/mine --figures pdf --out thesis/figures
    """
    from autodecoder.cli.console import aside, console, logged, print_json, saying

    if umap and figures is not None:
        raise ConfigError("umap adds a map to a page and cannot be combined with figures.")
    if umap:
        from autodecoder.report.umap import check_umap

        check_umap()
    captions = {}
    with aside(json_), logged(), saying("drawing figures, writing the page"):
        if out is None:
            for written in ("report",) if figures is None else ("report", "report/figures"):
                refuse_link(folder, folder / written)
        is_model = any((folder / f"{name}.safetensors").exists() for name in ("decoder", "latents"))
        if figures is not None:
            path = folder / "report" / "figures" if out is None else out
            captions = _write_figures(folder, path, figures, named, is_model=is_model)
        elif is_model:
            path = folder / "report" / "index.html" if out is None else out
            _of_model(folder, path, umap, named)
        else:
            path = _of_study(folder, out, umap, named)
    if json_ and captions:
        print_json({"out": str(path), "figures": captions})
    elif json_:
        print_json({"out": str(path), "bytes": path.stat().st_size})
    elif captions:
        width = max(map(len, captions))
        for name, caption in captions.items():
            console.print(f"{name:{width}}  {caption}", highlight=False)
        console.print(
            f"{path}: {count(len(captions), 'figure')}, each with its data as CSV", highlight=False
        )
    else:
        console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", highlight=False)
    return False


def _write_figures(
    folder: Path, out: Path, kind: str, named: TrainedOn, *, is_model: bool
) -> dict[str, str]:
    """Write the figures of a study or a model; returns their names with captions."""
    from autodecoder.cli.programs import keep_programs
    from autodecoder.report import write_figures
    from autodecoder.study import load_study

    keep_programs()
    shown = open_model(folder) if is_model else load_study(folder)
    dataset = _images_of(shown, named, "Without reconstructions")
    written = write_figures(shown, out, kind, dataset=dataset)
    if not written:
        raise DataError(f"the study in {folder} has nothing to draw yet.")
    return {path.name: caption for path, caption in written.items()}


def _images_of(shown: "Study | Model", named: TrainedOn, without: str) -> "Dataset | None":
    """The images of a study or a model, if available; otherwise print the reason."""
    from autodecoder.cli.console import console
    from autodecoder.model import Model

    try:
        if isinstance(shown, Model):
            return data_of_model(shown, named)
        about = shown.about
        of = about.get("data_fingerprint"), about.get("image_shape")
        return data_of(shown.config, *of, named)
    except (ConfigError, DataError) as error:
        if named:
            raise
        console.print(f"{without}: {error}", highlight=False)
    return None


def _of_model(folder: Path, path: Path, umap: bool, named: TrainedOn) -> None:
    from autodecoder.measures.evaluation import FILE, read_evaluation
    from autodecoder.report import write_model_page

    model = open_model(folder)
    evaluation = read_evaluation(folder / FILE) if (folder / FILE).is_file() else None
    dataset = _images_of(model, named, "Without reconstructions")
    title = title_of(model, folder)
    write_model_page(model, path, title=title, dataset=dataset, umap=umap, evaluation=evaluation)


def _of_study(folder: Path, out: Path | None, umap: bool, named: TrainedOn) -> Path:
    from autodecoder.cli.programs import keep_programs
    from autodecoder.report import write_pictures, write_study_page
    from autodecoder.study import load_study

    study = load_study(folder)
    if out is not None:
        raise ConfigError("out is for a model's page; a study's page is always in its folder.")
    keep_programs()
    dataset = _images_of(study, named, "The pictures are not drawn again")
    if dataset is not None:
        write_pictures(study, dataset)
    return write_study_page(study, dataset=dataset, umap=umap)
