"""Named collections of images that the explorer offers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int, Shaped

from autodecoder.brief import brief
from autodecoder.data.columns import Columns
from autodecoder.data.pixels import PixelRange


@brief
@dataclass(frozen=True, eq=False)
class Shelf:
    """Images to pick from: some that the model was trained on or validated with, or others."""

    images: Shaped[np.ndarray, "n ..."]
    labels: Int[np.ndarray, " n"] | None = None
    pixel_range: PixelRange | None = None
    """Values of black and white, see `Model`."""
    names: Shaped[np.ndarray, " n"] | None = None
    """Names of the images: paths, or rows of a file."""
    mask: Shaped[np.ndarray, "..."] | None = None
    """True where a pixel is known, see `Model.infer`."""
    columns: Columns = field(default_factory=dict)
    """Further columns, see `ImageSet`."""

    def __len__(self) -> int:
        return len(self.images)

    def label(self, row: int) -> int | None:
        """Class of an image, if it is known."""
        return None if self.labels is None else int(self.labels[row])

    def called(self, row: int) -> str | None:
        """Name of an image, if it has one."""
        return None if self.names is None else str(self.names[row])

    def further(self, row: int) -> dict[str, str]:
        """Values of an image in the further columns, without blank ones."""
        return {name: values[row] for name, values in self.columns.items() if values[row]}

    def find(self, text: str, class_names: Sequence[str]) -> Int[np.ndarray, " k"]:
        """Rows whose number or class equals a text, or whose name, or value of a further column,
        contains it; all for no text."""
        wanted = text.strip().lower()
        if not wanted:
            return np.arange(len(self))
        found = np.zeros(len(self), bool)
        if wanted.isdecimal() and int(wanted) < len(self):
            found[int(wanted)] = True
        if self.names is not None:
            found |= _contain(self.names, wanted)
        for values in self.columns.values():
            found |= _contain(values, wanted)
        if self.labels is not None:
            named = [k for k, name in enumerate(class_names) if name.lower() == wanted]
            found |= np.isin(self.labels, named)
        return np.flatnonzero(found)


def _contain(words: Shaped[np.ndarray, " n"], wanted: str) -> Bool[np.ndarray, " n"]:
    return np.char.find(np.char.lower(words.astype(str)), wanted) >= 0
