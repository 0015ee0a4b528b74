"""The images of a source before their pixels are read: all at once, or shard by shard."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.data.columns import Columns
from autodecoder.data.dataset import Dataset, ImageSet


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class PartPlan:
    """The training or the validation images of a source, not yet read."""

    labels: Int[np.ndarray, " n"]
    names: Shaped[np.ndarray, " n"] | None
    read: Callable[[Int[np.ndarray, " k"]], ImageSet]
    """Reads images by rising indices in the part; images that cannot be read are left out."""
    columns: Columns = field(default_factory=dict)
    """Further columns, see `ImageSet`."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Plan:
    """The images of a source that are used, not yet read."""

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: PartPlan
    val: PartPlan
    notes: tuple[str, ...] = ()
    check: Callable[[], None] = _nothing
    """Raises a `DataError` if the images read so far violate the settings."""
    fingerprint: str | None = None
    """`Dataset.fingerprint`, if it is known without reading the images; else `None`."""
    tell: Callable[[], None] = _nothing
    """Warns of faults in the images read so far, or raises; call it when all are read."""
    notes_without: Callable[[Int[np.ndarray, " classes"]], tuple[str, ...]] | None = None
    """The notes if some images of each class cannot be read; by default `notes`."""

    def load(self) -> Dataset:
        """Read all images.

        Raises
        ------
        DataError
            If they cannot be read.
        """
        train, val = (part.read(np.arange(len(part))) for part in (self.train, self.val))
        self.tell()
        dataset = Dataset(self.name, train, val, self.class_names, self._notes(train, val))
        if self.fingerprint is not None:
            # Stored like the computed value of the cached property, so that a copy with other
            # images or labels computes its own.
            vars(dataset)["fingerprint"] = self.fingerprint
        return dataset

    def _notes(self, train: ImageSet, val: ImageSet) -> tuple[str, ...]:
        if self.notes_without is None:
            return self.notes
        n = len(self.class_names)
        planned, read = (
            sum(np.bincount(part.labels, minlength=n) for part in parts)
            for parts in ((self.train, self.val), (train, val))
        )
        return self.notes_without(np.asarray(planned - read))


def plan_of(dataset: Dataset) -> Plan:
    """Plan for a data set that is in memory, or that reads its images on access."""
    train, val = (_part_of(part) for part in (dataset.train, dataset.val))
    return Plan(dataset.name, dataset.image_shape, dataset.class_names, train, val, dataset.notes)


def _part_of(part: ImageSet) -> PartPlan:
    def read(rows: Int[np.ndarray, " k"]) -> ImageSet:
        return part if len(rows) == len(part) else part.take(rows)

    return PartPlan(part.labels, part.names, read, part.columns)
