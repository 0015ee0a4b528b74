"""What commands take and give that work with a model: flags shared, samples in, pictures out."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from autodecoder.cli.flags import path_flag, whole_number
from autodecoder.cli.streams import STDERR
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path

if TYPE_CHECKING:
    import numpy as np

    from autodecoder.config import StudyConfig
    from autodecoder.data import Dataset
    from autodecoder.data.given import Given
    from autodecoder.model import Model

ModelFolder = Annotated[
    Path, path_flag(help="A model's folder: `best` in that of a study with --save_best_model.")
]
Images = Annotated[
    str,
    Parameter(
        help="Images: .npy (read piece by piece, however large), .npz with an array `images`, or "
        "an IDX file as MNIST's; uint8 from 0 to 255, or floats from 0 to 1; folder:PATH of image "
        "files, or one of them. Of features .npy, .npz or .csv."
    ),
]
Resize = Annotated[
    bool,
    Parameter(
        show_default=False,
        help="Crop image files of another size around the centre, and scale them.",
    ),
]
Mask = Annotated[
    Path | None,
    path_flag(
        help="Which pixels count: an .npy of booleans, or of weights, for all images or one for "
        "each. The others are filled in."
    ),
]
Seed = Annotated[int, Parameter(converter=whole_number, help="Of what is drawn.")]
Out = Annotated[
    Path,
    path_flag(
        help="Where the images go: .npy of floats from 0 to 1, .npz of `images` and `latents`, "
        ".png of all in one picture, .gif of one after the other, or, without a suffix, a new or "
        "empty folder of a .png each. Of features .npy, .npz or .csv."
    ),
]


def open_model(folder: Path) -> "Model":
    """A model whose programs are kept on disk."""
    from autodecoder.cli.programs import keep_programs
    from autodecoder.model import load_model

    keep_programs()
    return load_model(folder)


def title_of(model: "Model", folder: Path) -> str:
    """What a page on the model in a folder is called."""
    dataset, name = model.about.get("dataset"), folder.resolve().name
    return f"{dataset}: {name}" if isinstance(dataset, str) else name


def data_of_model(model: "Model") -> "Dataset":
    """The images that a model was trained on and validated with, where they are at hand.

    Raises
    ------
    DataError
        If the model does not say which, or they are not at hand or not as they were.
    ConfigError
        If its settings cannot be read any more.
    """
    from autodecoder.config import study_config

    settings = model.about.get("settings")
    if not isinstance(settings, dict) or "data" not in settings:
        raise DataError("the model does not say what it was trained on.")
    return data_of(study_config(settings), model.about.get("data_fingerprint"))


def data_of(config: "StudyConfig", fingerprint: object) -> "Dataset":
    """The images of a study, where they are at hand: no published data set is downloaded.

    Raises
    ------
    DataError
        If they are not, or not as they were.
    ConfigError
        If settings do not go with them any more.
    """
    from autodecoder.data.overview import list_datasets
    from autodecoder.study import load_study_data

    name = config.data.dataset
    if any(
        found.name == name and not found.is_here for found in list_datasets(config.data.data_dir)
    ):
        raise DataError(f"{name} is not here; `autodecoder datasets --fetch {name}` brings it.")
    dataset = load_study_data(config)
    if dataset.fingerprint != fingerprint:
        raise DataError(f"{dataset.name} is not as it was at the training.")
    return dataset


def open_all(
    folder: Path, images: str, mask: Path | None, *, resize: bool
) -> "tuple[Model, Given, np.ndarray | None]":
    """A model, the samples to place, and which of their pixels count."""
    from autodecoder.data.arrays import open_mask

    model = open_model(folder)
    given = open_samples(model, images, resize=resize)
    return model, given, None if mask is None else open_mask(mask)


def open_samples(model: "Model", source: str, *, resize: bool) -> "Given":
    """Samples for a model, from what `--images` names."""
    from autodecoder.data.given import open_given

    return open_given(
        source,
        model.image_shape,
        is_table=model.standardization is not None,
        resize=resize,
        progress=STDERR.isatty(),
    )


def read_end(model: "Model", name: str, text: str, *, resize: bool, seed: int) -> "np.ndarray":
    """The latent that one end of an interpolation names: by index, by numbers or by an image."""
    text = text.strip()
    kind, colon, index = text.partition(":")
    if colon and kind in ("train", "val"):
        return _indexed(name, index, kind, model.latents if kind == "train" else model.val_latents)
    numbers = _numbers(text)
    if numbers is not None:
        return _latent(model, name, numbers)
    if not user_path(text, name).exists():
        raise DataError(
            f"{name} must be train:INDEX, val:INDEX, a latent as numbers by commas or an image "
            f"file, got {text!r}."
        )
    samples = open_samples(model, text, resize=resize).samples
    if len(samples) != 1:
        raise DataError(f"{name} must be a file of one image, but {text} holds {len(samples)}.")
    return model.infer(samples, seed=seed).latents[0]


def _indexed(name: str, index: str, kind: str, latents: "np.ndarray") -> "np.ndarray":
    if not (index.isascii() and index.isdigit() and len(index) < 19 and int(index) < len(latents)):
        raise ConfigError(
            f"{name} must be {kind}: and an index from 0 to {len(latents) - 1}, got {kind}:{index}."
            if len(latents)
            else f"{name} names latents of {kind}, but the model has none."
        )
    return latents[int(index)]


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def _latent(model: "Model", name: str, numbers: list[float]) -> "np.ndarray":
    import numpy as np

    if len(numbers) != model.latent_dims:
        raise DataError(
            f"{name} must be a latent of {model.latent_dims} numbers, got {len(numbers)}."
        )
    latent = np.array(numbers, np.float32)
    if not np.isfinite(latent).all():
        raise DataError(f"{name} must be a latent of finite numbers, got {_list(numbers)}.")
    return latent


def _list(numbers: list[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def error_means(errors: Any) -> dict[str, float]:
    """The mean of each error over the samples that have one; not a number if none has."""
    import numpy as np

    found = {}
    for name, values in errors._asdict().items():
        known = values[~np.isnan(values)]
        found[name] = float(known.mean(dtype=np.float64)) if len(known) else math.nan
    return found
