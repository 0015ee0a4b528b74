"""Named collections of images that the explorer offers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.brief import brief
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

    def __len__(self) -> int:
        return len(self.images)

    def label(self, row: int) -> int | None:
        """Class of an image, if it is known."""
        return None if self.labels is None else int(self.labels[row])

    def called(self, row: int) -> str | None:
        """Name of an image, if it has one."""
        return None if self.names is None else str(self.names[row])

    def find(self, text: str, class_names: Sequence[str]) -> Int[np.ndarray, " k"]:
        """Rows whose number or class equals a text, or whose name contains it; all for no text."""
        wanted = text.strip().lower()
        if not wanted:
            return np.arange(len(self))
        found = np.zeros(len(self), bool)
        if wanted.isdecimal() and int(wanted) < len(self):
            found[int(wanted)] = True
        if self.names is not None:
            found |= np.char.find(np.char.lower(self.names.astype(str)), wanted) >= 0
        if self.labels is not None:
            named = [k for k, name in enumerate(class_names) if name.lower() == wanted]
            found |= np.isin(self.labels, named)
        return np.flatnonzero(found)
