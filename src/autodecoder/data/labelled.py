"""Numbering the classes that a table or an archive gives as texts."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

#: Class of images without a label, if others have one.
_UNLABELLED = "unlabelled"
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def number_classes(
    values: Sequence[str | None],
) -> tuple[Int32[np.ndarray, " n"], tuple[str, ...]]:
    """Labels counted from 0, and the names of the classes.

    The classes are the sorted values: as integers if all are integers, else as texts. Images
    without a label form a last class. If no image has a label, there is one class.

    Parameters
    ----------
    values : (n,) str or None

    Examples
    --------
    >>> number_classes(["10", "9", "10"])
    (array([1, 0, 1], dtype=int32), ('9', '10'))
    """
    known = {value for value in values if value is not None}
    if not known:
        return np.zeros(len(values), np.int32), ("images",)
    numbered = all(map(_NUMBER.fullmatch, known))
    names: list[str] = sorted(known, key=int if numbered else None)
    places = {name: k for k, name in enumerate(names)}
    labels = [len(names) if value is None else places[value] for value in values]
    if None in values:
        names.append(_UNLABELLED)
    return np.array(labels, np.int32), tuple(names)
