"""`autodecoder evaluate`: how good a model is, in numbers."""

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from autodecoder.cli.flags import Json, path_flag, whole_number
from autodecoder.cli.inputs import (
    ModelFolder,
    Resize,
    Seed,
    TrainedOn,
    data_of_model,
    open_all,
    open_model,
)
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.text import legible

if TYPE_CHECKING:
    import numpy as np

    from autodecoder.data import ImageSet
    from autodecoder.model import Model


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class _Named(TrainedOn):
    """The images of the training, or the known pixels of others."""

    mask: Annotated[
        Path | None,
        path_flag(help="Known pixels of the images of --images or --dataset, as for `train`."),
    ] = None


_NOT_NAMED = _Named()


class _Chosen(NamedTuple):
    """A model and what it is evaluated on, as arguments of `Model.evaluate`."""

    model: "Model"
    images: "np.ndarray"
    rest: dict[str, Any]
    name: str
    """What the images are, for people."""


def evaluate(
    model: ModelFolder,
    /,
    *,
    images: Annotated[
        str | None,
        Parameter(
            help="Images that were not trained on, as `reconstruct` takes them. By default the "
            "validation images of the training, if they are available."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        path_flag(
            help="Classes of those images, with the same numbers as in the training: .npy, .npz "
            "with an array `labels`, .csv of one column, or an IDX file like those of MNIST."
        ),
    ] = None,
    resize: Resize = False,
    named: _Named = _NOT_NAMED,
    n_images: Annotated[
        int,
        Parameter(
            converter=whole_number, help="Largest number of images; of more, a random part is used."
        ),
    ] = 10_000,
    n_subset: Annotated[
        int,
        Parameter(
            converter=whole_number,
            help="Largest number of images for measures whose cost grows with its square, and of "
            "samples.",
        ),
    ] = 5_000,
    out: Annotated[
        Path | None,
        path_flag(
            help="File of the result as JSON, by default evaluation.json in the folder of the "
            "model, where `report` finds it."
        ),
    ] = None,
    seed: Seed = 0,
    json_: Json = False,
) -> bool:
    """Evaluate a model: its reconstructions, the structure of its latents, and its samples.

    docs/evaluate.md defines each measure. Measures that need labels, or more images, are left out,
    with the reason. With --images, --mask says which pixels of these images are known.

    Example: autodecoder evaluate runs/mine/best
    """
    from autodecoder.cli.console import aside, console, print_json
    from autodecoder.cli.progress import stepped
    from autodecoder.cli.tables import print_evaluation
    from autodecoder.config.rules import check_seed
    from autodecoder.measures.evaluation import FILE, write_evaluation

    if images is None and labels is not None:
        raise ConfigError("labels must come with images, whose classes they are.")
    if images is not None and replace(named, mask=None):
        raise ConfigError("images and dataset name different images: give one of them.")
    check_seed("seed", seed)
    path = model / FILE if out is None else out
    begin, before = time.perf_counter(), _identity(model)
    with aside(json_), stepped() as report:
        if images is None:
            chosen = _validation(model, named, n_images, seed)
        else:
            chosen = _given(model, images, labels, named.mask, resize=resize)
        found = chosen.model.evaluate(
            chosen.images,
            **chosen.rest,
            n_images=n_images,
            n_subset=n_subset,
            seed=seed,
            report=report,
        )
    found = replace(found, images=chosen.name)
    if out is None and _identity(model) != before:
        raise OutputError(
            f"{legible(model)} was replaced by another model while it was evaluated: evaluate it "
            "again."
        )
    write_evaluation(found, path)
    if json_:
        print_json({"out": str(path), **found.to_dict()})
        return False
    print_evaluation(found)
    seconds = time.perf_counter() - begin
    console.print(f"Results in {path}; {seconds:.0f} s", highlight=False)
    return False


def _identity(folder: Path) -> bytes | None:
    """What tells a model from others: its description, with the checksums of its files."""
    from autodecoder.model.saving import model_file

    with contextlib.suppress(OSError):
        return model_file(folder, "config.json").read_bytes()
    return None  # there is no model, or none that can be read, which is told later


def _given(
    folder: Path, images: str, labels: Path | None, mask: Path | None, *, resize: bool
) -> _Chosen:
    """Images that the user names."""
    from autodecoder.data.given import open_labels

    model, given, seen = open_all(folder, images, mask, resize=resize)
    classes = None if labels is None else open_labels(labels)
    return _Chosen(model, given.samples, {"labels": classes, "mask": seen}, legible(images))


def _validation(folder: Path, named: TrainedOn, n_images: int, seed: int) -> _Chosen:
    """The validation images of the training; the classifier is trained on its training images."""
    from autodecoder.model.evaluate import MOST_LEARNT

    model = open_model(folder)
    try:
        dataset = data_of_model(model, named)
    except DataError as error:
        if named:
            raise
        raise DataError(f"{str(error).removesuffix('.')}; or name images by --images.") from error
    name = legible(dataset.name)
    if not len(dataset.val):
        raise DataError(f"{name} has no validation images; name others by --images.")
    val = _thinned(dataset.val, n_images, seed)
    train = _thinned(dataset.train, MOST_LEARNT, seed)
    rest = {
        "labels": val.labels,
        "train_images": _images(train),
        "train_labels": train.labels,
    }
    # Images are bytes here, whatever the range of the file they were read from.
    return _Chosen(replace(model, pixel_range=None), _images(val), rest, f"{name}, validation")


def _thinned(images: "ImageSet", most: int, seed: int) -> "ImageSet":
    """The images that are evaluated, so that no others are read."""
    from autodecoder.model.evaluate import draw_rows

    return images.take(draw_rows(len(images), max(1, most), seed))


def _images(images: "ImageSet") -> "np.ndarray":
    """Images in memory; their missing pixels are masked."""
    import numpy as np

    pixels = np.asarray(images.images)
    return pixels if images.mask is None else np.ma.masked_array(pixels, ~images.mask)
