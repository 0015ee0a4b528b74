"""`autodecoder report`: a study or a model as one page."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import Json
from autodecoder.cli.inputs import title_of


def report(
    folder: Annotated[Path, Parameter(help="A study's folder, or a model's.")],
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(
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
    json_: Json = False,
) -> bool:
    """Write a page that opens without a network: trials, pictures, and a latent plane to play with.

    Below the pointer the decoder runs in the page itself. It is one file, to be sent as it is.

    Example: autodecoder report runs/mine/best --out digits.html
    """
    from autodecoder.cli.console import console, print_json
    from autodecoder.errors import ConfigError
    from autodecoder.model import load_model
    from autodecoder.report import write_model_page, write_study_page
    from autodecoder.study import load_study

    if umap:
        from autodecoder.report.umap import check_umap

        check_umap()
    if (folder / "decoder.safetensors").is_file():
        model = load_model(folder)
        path = folder / "report" / "index.html" if out is None else out
        path = write_model_page(model, path, title=title_of(model, folder), umap=umap)
    else:
        study = load_study(folder)
        if out is not None:
            raise ConfigError("out is for the page of a model: that of a study lies in its folder.")
        path = write_study_page(study, umap=umap)
    if json_:
        print_json({"out": str(path), "bytes": path.stat().st_size})
    else:
        console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", highlight=False)
    return False
