"""Names and further columns of images, packed for the script of a page."""

import json
from typing import Any

import numpy as np

from autodecoder.data.columns import Columns, as_text
from autodecoder.model import Model
from autodecoder.report.packing import pack

#: Most characters of names in a page, and most bytes of further columns.
_MOST_NAMED, _MOST_OF_COLUMNS = 4_000_000, 2_000_000


def pack_known(model: Model) -> dict[str, Any]:
    """Names, further columns and numbers of images by set, as the script of a page reads them."""
    return {
        **pack_named(model),
        "columns": pack_columns(model),
        "counts": pack_counts(model),
    }


def pack_counts(model: Model) -> dict[str, dict[str, int]]:
    """Numbers of shown images and of all images, by set (see `shown_part`)."""
    sets = {"train": len(model.latents), "val": len(model.val_latents)}
    total = model.about.get("n_train")
    return {
        name: {
            "shown": n,
            "total": total if name == "train" and isinstance(total, int) and total > n else n,
        }
        for name, n in sets.items()
    }


def pack_named(model: Model) -> dict[str, Any]:
    """The names of images, and whether numbers among them are rows of the source of a study."""
    return {"names": pack_names(model), "are_rows": "settings" in model.about}


def pack_names(model: Model) -> dict[str, list[Any] | None]:
    """The names of the images of each set, by row; `None` if they are unknown, or too long for a
    page."""
    sets = {"train": model.names, "val": model.val_names}
    known = {
        name: [] if names is None or _are_rows(names) else names.tolist()
        for name, names in sets.items()
    }
    fits = sum(len(str(name)) for names in known.values() for name in names) <= _MOST_NAMED
    return {name: names if names and fits else None for name, names in known.items()}


def pack_columns(model: Model) -> dict[str, Any]:
    """The further columns of the images, as many as fit into 2 MB.

    Returns
    -------
    dict
        `columns`, a list: of each its `name`, and for each set that has it, in `sets`, the distinct
        `values` and the number among them of each image's value, `codes`, uint16 or, by `bits`,
        uint32 in base64. `left_out`: names of the columns that do not fit.
    """
    columns, left_out, room = [], [], _MOST_OF_COLUMNS
    for name in dict.fromkeys([*model.columns, *model.val_columns]):
        sets = {"train": model.columns, "val": model.val_columns}
        packed = {
            "name": name,
            "sets": {part: _pack_column(of, name) for part, of in sets.items() if name in of},
        }
        size = len(json.dumps(packed))
        if size <= room:
            columns.append(packed)
            room -= size
        else:
            left_out.append(name)
    return {"columns": columns, "left_out": left_out}


def _pack_column(columns: Columns, name: str) -> dict[str, Any]:
    texts = [as_text(value) for value in columns[name]]
    places = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    bits = 16 if len(places) <= 2**16 else 32
    codes = np.array([places[text] for text in texts], np.int64)
    return {"values": [*places], "bits": bits, "codes": pack(codes, f"<u{bits // 8}")}


def _are_rows(names: np.ndarray) -> bool:
    """Whether names are only the row numbers."""
    return names.dtype.kind in "iu" and np.array_equal(names, np.arange(len(names)))
