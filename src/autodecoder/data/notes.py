"""Notes for people on a data set: its classes, and the share that is used."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

#: Most classes that a note names.
_NAMED = 10


def describe_use(
    labels: Sequence[Int[np.ndarray, "..."]],
    class_names: Sequence[str],
    examples_frac: float,
    lost: Int[np.ndarray, " classes"] | int = 0,
) -> tuple[str, ...]:
    """Describe the classes of all images that were found, without the `lost` ones of each class,
    and the share that is kept."""
    classes = _describe_classes(labels, class_names, lost)
    if examples_frac in (0, 1):
        return (classes,)
    share = "half" if examples_frac == 0.5 else f"{100 * examples_frac:g} %"
    return classes, f"examples_frac {examples_frac:g} keeps {share}"


def _describe_classes(
    parts: Sequence[Int[np.ndarray, "..."]],
    class_names: Sequence[str],
    lost: Int[np.ndarray, " classes"] | int,
) -> str:
    counts = sum(np.bincount(part, minlength=len(class_names)) for part in parts) - lost
    each = [f"{name} {n}" for name, n in zip(class_names, np.asarray(counts), strict=True)]
    if len(each) == 1:
        return f"one class, {each[0]}"
    if len(each) <= _NAMED:
        return f"classes {', '.join(each)}"
    return f"{len(each)} classes: {', '.join(each[:_NAMED])} and others"
