"""Image files listed in a table, with a class each: `csv:FILE`."""

from pathlib import Path

import numpy as np

from autodecoder.config import DataConfig
from autodecoder.data.columns import as_text, choose_columns
from autodecoder.data.decode import UnreadableImage
from autodecoder.data.encoded import Pictures
from autodecoder.data.labelled import number_classes
from autodecoder.data.pictures import plan_pictures
from autodecoder.data.plan import Plan
from autodecoder.data.split_file import NAME_COLUMNS, Line, read_lines
from autodecoder.data.walk import shown
from autodecoder.errors import DataError

_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "y")


def plan_table(path: Path, config: DataConfig, *, seed: int, progress: bool) -> Plan:
    """Plan to read the image files that a table lists, in its order.

    Columns are separated by commas, semicolons or tabs. The first line names them: `path`, or
    another usual name, and optionally `label`; further columns travel with the images as
    `config.columns` says. Without such a header, paths are in the first column and labels, if any,
    in the second. Paths are relative to the folder of the table.

    Raises
    ------
    DataError
        If the table cannot be read, is empty, lists a file twice, or lacks a column of
        `config.columns`; see also `plan_pictures`.
    """
    lines = read_lines(path, called="the table of images", width=1)
    column, labels, others = _find_columns(lines, path)
    names = [row[column].strip() for _, row in lines]
    seen: dict[str, int] = {}
    for (line, _), name in zip(lines, names, strict=True):
        if not name or "\0" in name:
            raise DataError(f"{path}: line {line} must have the path of an image, got none.")
        if name in seen:
            raise DataError(
                f"{path} must list each image once, but has {shown(name)} in lines {seen[name]} "
                f"and {line}."
            )
        seen[name] = line
    values = [None if labels is None else row[labels].strip() or None for _, row in lines]
    numbers, class_names = number_classes(values)
    further = choose_columns(config.columns, [name for _, name in others], len(lines), path.name)
    columns = {}
    for own, k in further.items():
        texts = [as_text(row[others[k][0]]) for _, row in lines]
        if any(texts):
            columns[own] = np.array(texts, object)
    folder = path.parent
    given = np.array([shown(name) for name in names], object)

    def source(i: int) -> Path:
        file = folder / names[i]
        try:
            is_special = file.exists() and not file.is_file()
        except OSError as error:  # not a valid file name
            raise UnreadableImage((error.strerror or "no file").lower()) from error
        if is_special:  # reading a pipe would block
            raise UnreadableImage("no file")
        return file

    pictures = Pictures(numbers, lambda i: given[i], source, given, columns)
    return plan_pictures(
        pictures,
        None,
        tuple(map(shown, class_names)),
        config,
        name=shown(path.stem) or "images",
        seed=seed,
        progress=progress,
    )


def _find_columns(lines: list[Line], path: Path) -> tuple[int, int | None, list[tuple[int, str]]]:
    """Columns of the paths and of the labels, and further ones with their names; a header is
    removed from `lines`."""
    header = [cell.strip().lower().replace(" ", "_") for cell in lines[0][1]]
    column = next((k for k, cell in enumerate(header) if cell in NAME_COLUMNS), None)
    if column is None:
        if len(header) > 2:
            raise DataError(
                f"{path} must name its {len(header)} columns in the first line, one of them path."
            )
        return 0, 1 if len(header) == 2 else None, []
    names = lines.pop(0)[1]
    if not lines:
        raise DataError(f"{path} must have a line for each image, but has only a header.")
    labels = next((k for k, cell in enumerate(header) if cell in _LABEL_COLUMNS), None)
    others = [(k, name) for k, name in enumerate(names) if k not in (column, labels)]
    return column, labels, others
