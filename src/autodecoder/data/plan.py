"""What a source holds, before its pixels are read: at once to train on, by shards to pack."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.data.dataset import Dataset, ImageSet


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class PartPlan:
    """The training or the validation images of a source, unread."""

    labels: Int[np.ndarray, " n"]
    names: Shaped[np.ndarray, " n"] | None
    read: Callable[[Int[np.ndarray, " k"]], ImageSet]
    """Images by their places in the part, which rise; those that cannot be read are left out."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Plan:
    """The images of a source that are used, unread."""

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: PartPlan
    val: PartPlan
    notes: tuple[str, ...] = ()
    check: Callable[[], None] = _nothing
    """Raises a `DataError` if what was read so far is not as the settings want it."""
    fingerprint: str | None = None
    """That of the data set, where it is known without reading the images."""
    tell: Callable[[], None] = _nothing
    """Warns of what was seen in all that was read; where that is everything, checks it too."""

    def load(self) -> Dataset:
        """Read all images.

        Raises
        ------
        DataError
            If they cannot be read.
        """
        train, val = (part.read(np.arange(len(part))) for part in (self.train, self.val))
        self.tell()
        dataset = Dataset(self.name, train, val, self.class_names, self.notes)
        if self.fingerprint is not None:
            # In the place where it is kept once it is computed, so that a copy with other images or
            # labels computes its own.
            vars(dataset)["fingerprint"] = self.fingerprint
        return dataset


def plan_of(dataset: Dataset) -> Plan:
    """The plan of a data set that is read already, or that reads itself."""
    train, val = (_part_of(part) for part in (dataset.train, dataset.val))
    return Plan(dataset.name, dataset.image_shape, dataset.class_names, train, val, dataset.notes)


def _part_of(part: ImageSet) -> PartPlan:
    return PartPlan(
        part.labels, part.names, lambda rows: part if len(rows) == len(part) else part.take(rows)
    )
