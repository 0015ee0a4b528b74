"""Collecting the measures of an evaluation, and the reasons for those that are left out."""

from collections.abc import Iterable, Mapping

import numpy as np

from autodecoder.measures.evaluation import TITLES, Evaluation
from autodecoder.text import count

#: The reason for measures that compare whole images.
MISSING = "pixels of the images are missing or weighted"


class Record:
    """Measures taken so far."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.features = ""
        self.classifier_accuracy: float | None = None
        self.class_shares: dict[str, dict[str, float]] = {}
        self._values: dict[str, dict[str, int | float]] = {
            group: {} for group in (*TITLES, "floor")
        }
        self._left_out: dict[str, str] = {}

    def take(self, group: str, values: Mapping[str, int | float]) -> None:
        """Record measures of a group; those that are not finite are left out."""
        for name, value in values.items():
            if np.isfinite(value):
                self._values[group][name] = value
            else:
                self._left_out[name] = "the result is not a finite number"

    def leave(self, names: Iterable[str], reason: str) -> None:
        """Record why measures are left out; the reason completes "left out, since …"."""
        self._left_out |= dict.fromkeys(names, reason)

    def finish(self) -> Evaluation:
        return Evaluation(
            **self._values,  # pyright: ignore[reportArgumentType]  (one for each group)
            class_shares=self.class_shares,
            features=self.features,
            classifier_accuracy=self.classifier_accuracy,
            left_out=self._left_out,
            sizes=self.sizes,
        )


def too_few(n: int, needed: int) -> str:
    """The reason for leaving out a measure that needs more images than there are."""
    return f"{count(needed, 'image')} are needed, got {n:,}"
