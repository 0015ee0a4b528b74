"""`autodecoder datasets`: list the published data sets, and download them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import Json, path_flag
from autodecoder.cli.streams import STDERR
from autodecoder.config import DATASETS
from autodecoder.config.rules import check_choice


def datasets(
    *,
    fetch: Annotated[
        tuple[str, ...],
        Parameter(
            help="Download a data set into the cache if it is missing. Repeatable.",
            show_default=False,
        ),
    ] = (),
    data_dir: Annotated[
        Path | None,
        path_flag(help="Folder to search first, and its subfolders named after the data sets."),
    ] = None,
    json_: Json = False,
) -> bool:
    """List the published data sets: their images, their folder, or the size of their download.

    Your own images need no entry here: see docs/datasets.md.

    Example: autodecoder datasets --fetch mnist
    """
    from autodecoder.cli.console import print_json
    from autodecoder.cli.tables import print_datasets
    from autodecoder.data.catalogue import fetch_published
    from autodecoder.data.overview import list_datasets

    for name in fetch:
        check_choice("fetch", name, DATASETS)
    for found in list_datasets(data_dir):
        if found.name in fetch and not found.is_here:
            fetch_published(found.name, data_dir=data_dir, progress=STDERR.isatty())
    listed = list_datasets(data_dir)
    if json_:
        content = [
            {
                "name": found.name,
                "n_train": found.n_train,
                "n_val": found.n_val,
                "image_shape": list(found.image_shape),
                "n_classes": found.n_classes,
                "is_here": found.is_here,
                "folder": None if found.folder is None else str(found.folder),
                "download_megabytes": found.megabytes,
            }
            for found in listed
        ]
        print_json(content)
    else:
        print_datasets(listed)
    return False
