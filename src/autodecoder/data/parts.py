"""Recognising images, labels and masks in an .npz by the names of its arrays."""

import re
from collections.abc import Iterable, Mapping

from autodecoder.data.words import TEST, TRAIN, VALIDATION

#: Words for the parts of a data set, and for the content of an array.
_PARTS = {"train": TRAIN, "val": VALIDATION, "test": TEST}
_CONTENTS = {
    "images": ("images", "image", "imgs", "img", "x", "data", "pixels", "samples"),
    "labels": ("labels", "label", "targets", "target", "y", "classes", "class", "digits", "digit"),
    # Not "masks", which usually are segmentations.
    "mask": ("mask",),
}
_OF_WORD = {
    word: name for names in (_PARTS, _CONTENTS) for name, words in names.items() for word in words
}


def find_parts(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Recognise images, labels and masks for training and validation by their names.

    The names `images`, `labels`, `mask`, `val_images`, `val_labels` and `val_mask` take precedence
    over names of similar words: `x_train`, `train_label`, `Targets`, `validation_images`. Test
    arrays are used for validation if there are no validation images.

    Parameters
    ----------
    names : iterable of str
        Names of all arrays.

    Returns
    -------
    found : dict
        Names of the arrays that were recognised, by the six keys above.
    others : list of str
        The remaining names.
    """
    names = list(names)
    told: dict[tuple[str, str], str] = {}
    for name in sorted(names, key=lambda name: name not in _KEYS.values()):
        kind = ("train", "images") if names == ["arr_0"] else _tell(name)
        if kind is not None:
            told.setdefault(kind, name)
    val = "val" if ("val", "images") in told or ("test", "images") not in told else "test"
    found = {
        key: told[(val if part == "val" else part, content)]
        for (part, content), key in _KEYS.items()
        if (val if part == "val" else part, content) in told
    }
    return found, [name for name in names if name not in found.values()]


def find_images(names: Iterable[str]) -> dict[str, str]:
    """The entries `images` and `mask` of `find_parts`."""
    return {key: name for key, name in find_parts(names)[0].items() if key in ("images", "mask")}


def find_labels(names: Iterable[str]) -> dict[str, str]:
    """The entry `labels` of `find_parts`."""
    return {key: name for key, name in find_parts(names)[0].items() if key == "labels"}


def find_masks(names: Iterable[str]) -> dict[str, str]:
    """The entries `mask` and `val_mask` of `find_parts`."""
    return {key: name for key, name in find_parts(names)[0].items() if key.endswith("mask")}


_KEYS: Mapping[tuple[str, str], str] = {
    ("train", "images"): "images",
    ("train", "labels"): "labels",
    ("val", "images"): "val_images",
    ("val", "labels"): "val_labels",
    ("train", "mask"): "mask",
    ("val", "mask"): "val_mask",
}


def _tell(name: str) -> tuple[str, str] | None:
    """Part and content that a name stands for; `None` if it contains other words."""
    # Split X_train, xTrain, xtrain and train-images into words.
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]
    if len(words) == 1 and (joined := re.fullmatch("([xy])([a-z]+)|([a-z]+)([xy])", words[0])):
        pair = [word for word in joined.groups() if word]
        words = pair if all(word in _OF_WORD for word in pair) else words
    kinds = [_OF_WORD.get(word, "") for word in words]
    parts = [kind for kind in kinds if kind in _PARTS]
    contents = [kind for kind in kinds if kind in _CONTENTS]
    if "" in kinds or not kinds or len(parts) > 1 or len(contents) > 1:
        return None
    return (parts or ["train"])[0], (contents or ["images"])[0]
