"""A page about compared methods: their errors, curves, and maps side by side."""

from collections.abc import Sequence
from pathlib import Path

from autodecoder._version import __version__
from autodecoder.compare import Comparison
from autodecoder.compare.result import tabulate
from autodecoder.model.card import title_of_dataset
from autodecoder.report.comparison import maps_context, write_side_by_side
from autodecoder.report.curves import pack_methods
from autodecoder.report.plane import shown_part
from autodecoder.text import legible


def write_methods_page(
    compared: Comparison, path: Path | str, *, ours: str | None = None, notes: Sequence[str] = ()
) -> Path:
    """Write a page about compared methods.

    Parameters
    ----------
    compared : Comparison
    path : path
        The file, which is replaced if it exists. It needs no other files.
    ours : str, optional
        The row that the others are compared with.
    notes : sequence of str
        Sentences below the table.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    settings = compared.settings
    head, lines = tabulate(compared, ours)
    # Refined rows share the decoder of the row before.
    shown = {
        row.title: compared.models[row.name]
        for row in compared.rows
        if row.name in compared.models and not row.name.endswith("-refined")
    }
    dataset = title_of_dataset(str(settings["dataset"]))
    context = {
        "title": f"Methods compared: {legible(dataset)}",
        "lead": f"{settings['n_train']:,} training images, {settings['n_unseen']:,} unseen ones. "
        f"autodecoder {__version__}.",
        "table_title": "Results",
        "nav_title": "Results",
        "columns": [line[0] for line in lines],
        "rows": [(name, [line[k] for line in lines]) for k, name in enumerate(head) if k],
        "n_results": -1,
        "without_map": [],
        "notes": notes,
        **maps_context([(title, shown_part(model)) for title, model in shown.items()], linked=True),
    }
    return write_side_by_side(context, pack_methods(compared.rows), path)
