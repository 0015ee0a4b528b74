"""Shared flags, inputs and outputs of commands that use a model."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from autodecoder.cli.flags import path_flag, whole_number
from autodecoder.cli.streams import STDERR
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path
from autodecoder.text import legible

if TYPE_CHECKING:
    import numpy as np

    from autodecoder.config import StudyConfig
    from autodecoder.data import Dataset
    from autodecoder.data.given import Given
    from autodecoder.model import Model

ModelFolder = Annotated[Path, path_flag(help="Folder of a model, such as `best` in a study.")]
Images = Annotated[
    str,
    Parameter(
        help="Images: .npy (read in pieces, of any size), .npz with an array `images`, or an IDX "
        "file like MNIST's; folder:PATH with image files, or one image file. Pixels are whole "
        "numbers from 0 to 255, floats from 0 to 1, or in the range of the training. Features: "
        ".npy, .npz or .csv."
    ),
]
Resize = Annotated[
    bool,
    Parameter(
        show_default=False,
        help="Crop image files of another size around the centre, then scale them.",
    ),
]
Mask = Annotated[
    Path | None,
    path_flag(
        help="Pixels that count: an .npy of booleans or of weights, for all images or for each. "
        "The other pixels are filled in."
    ),
]
Seed = Annotated[int, Parameter(converter=whole_number, help="Seed of the random draws.")]
Out = Annotated[
    Path,
    path_flag(
        help="Output: .npy with floats from 0 to 1; .npz with `images` and `latents`; .png with "
        "all images in one picture; .gif with one frame per image; or, without a suffix, a new or "
        "empty folder for one .png per image. Features: .npy, .npz or .csv."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The images of the training, as flags name them."""

    dataset: Annotated[
        str | None,
        Parameter(
            help="The images of the training, in the notation of `train`. It is required for your "
            "own images if this account has not trained on them: names from a file are not trusted."
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        path_flag(help="Folder of published data sets, as for `train`."),
    ] = None
    split_by: Annotated[
        Path | None,
        path_flag(help="The table of their split, as for `train`; needs --dataset."),
    ] = None
    mask: Annotated[
        Path | None,
        path_flag(help="Their known pixels, as for `train`; needs --dataset."),
    ] = None

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())


NOT_NAMED = TrainedOn()


def open_model(folder: Path) -> "Model":
    """Open a model, and keep its compiled programs on disk."""
    from autodecoder.cli.programs import keep_programs
    from autodecoder.model import load_model

    keep_programs()
    return load_model(folder)


def title_of(model: "Model", folder: Path) -> str:
    """The title of a page about a model: its data set and its decoder."""
    from autodecoder.model.card import describe_decoder, title_of_dataset

    dataset = model.about.get("dataset")
    name = title_of_dataset(dataset) if isinstance(dataset, str) else legible(folder.resolve().name)
    return f"{name}, {describe_decoder(model)}"


def data_of_model(model: "Model", named: TrainedOn = NOT_NAMED) -> "Dataset":
    """The training and validation images of a model (see `data_of`).

    Raises
    ------
    DataError
        If the model does not name them, or they are missing or have changed.
    ConfigError
        If its settings are no longer valid.
    """
    from autodecoder.config import study_config

    settings = model.about.get("settings")
    if not isinstance(settings, dict) or "data" not in settings:
        raise DataError("the model does not say what it was trained on.")
    fingerprint, image_shape = model.about.get("data_fingerprint"), list(model.image_shape)
    return data_of(study_config(settings), fingerprint, image_shape, named)


def data_of(
    config: "StudyConfig",
    fingerprint: object,
    image_shape: object,
    named: TrainedOn,
) -> "Dataset":
    """The images of a study, if they are on this machine. Published data sets are not downloaded.

    The images are opened if the user names them now or has trained on them. Otherwise only a
    published data set is opened, from the user's own folder of data sets, because the settings may
    come from a stranger and name any file (see `autodecoder.data.known.trusted_source`).

    Raises
    ------
    DataError
        If the images are missing or have changed.
    ConfigError
        If settings no longer fit the images, or a table or a mask is named without the images.
    """
    from autodecoder.data.known import remember, trusted_source
    from autodecoder.data.load import load_configured
    from autodecoder.data.overview import list_datasets

    data = trusted_source(config.data, config.seed, fingerprint, **vars(named))
    name = data.dataset
    if any(found.name == name and not found.is_here for found in list_datasets(data.data_dir)):
        raise DataError(f"{name} is not here; `autodecoder datasets --fetch {name}` downloads it.")
    found = load_configured(data, seed=config.seed)
    if list(found.image_shape) != image_shape:
        raise DataError(f"the images of {legible(found.name)} have another shape than in training.")
    if found.fingerprint != fingerprint:
        raise DataError(f"{legible(found.name)} has changed since the training.")
    remember(data, config.seed, found.fingerprint)
    return found


def open_all(
    folder: Path, images: str, mask: Path | None, *, resize: bool
) -> "tuple[Model, Given, np.ndarray | None]":
    """A model, the samples to infer, and the mask of their pixels: the named one, or that of the
    file of the samples."""
    from autodecoder.data.arrays import open_masks

    model = open_model(folder)
    given = open_samples(model, images, resize=resize)
    seen = given.mask if mask is None else open_masks(mask)["mask"]
    return _reader(model, given), given, seen


def open_samples(model: "Model", source: str, *, resize: bool) -> "Given":
    """Open the samples that `--images` names, for a model."""
    from autodecoder.cli.console import aside, logged
    from autodecoder.data.given import open_given

    with aside(True), logged():
        return open_given(
            source,
            model.image_shape,
            is_table=model.standardization is not None,
            resize=resize,
            progress=STDERR.isatty(),
            pixel_range=model.pixel_range,
            alpha=_alpha_of(model),
        )


def _alpha_of(model: "Model") -> str:
    """The meaning of transparent pixels in the training."""
    settings = model.about.get("settings")
    data = settings.get("data") if isinstance(settings, dict) else None
    return "mask" if isinstance(data, dict) and data.get("alpha") == "mask" else "white"


def _reader(model: "Model", given: "Given") -> "Model":
    """The model with the pixel range of these samples: image files are decoded to 0 to 255."""
    return replace(model, pixel_range=None) if model.pixel_range and given.names else model


def read_end(model: "Model", name: str, text: str, *, resize: bool, seed: int) -> "np.ndarray":
    """The latent at one end of an interpolation, given by index, by numbers, by an image or by the
    name of an image of the model."""
    text = text.strip()
    kind, colon, index = text.partition(":")
    if colon and kind in ("train", "val"):
        return _indexed(name, index, kind, model.latents if kind == "train" else model.val_latents)
    numbers = _numbers(text)
    if numbers is not None:
        return _latent(model, name, numbers)
    if not user_path(text, name).exists():
        return _named(model, name, text)
    given = open_samples(model, text, resize=resize)
    n = len(given.samples)
    if n != 1:
        raise DataError(f"{name} must be a file of one image, but {text} holds {n}.")
    return _reader(model, given).infer(given.samples, given.mask, seed=seed).latents[0]


def _named(model: "Model", name: str, text: str) -> "np.ndarray":
    """The latent of the image of the model that has this name."""
    sets = (("train", model.names, model.latents), ("val", model.val_names, model.val_latents))
    found = [
        (f"{kind}:{k}", latents[k])
        for kind, names, latents in sets
        if names is not None
        for k, one in enumerate(names.tolist())
        if one == text
    ]
    if len(found) > 1:
        some = ", ".join(place for place, _ in found[:3])
        raise DataError(f"{name} must name one image, but {text!r} names {len(found)}: {some}.")
    if not found:
        raise DataError(
            f"{name} must be train:INDEX, val:INDEX, the name of an image of the model, a latent "
            f"as comma-separated numbers, or an image file, got {text!r}."
        )
    return found[0][1]


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
    """The mean of each error over the samples that have one; NaN if none has."""
    import numpy as np

    found = {}
    for name, values in errors._asdict().items():
        known = values[~np.isnan(values)]
        found[name] = float(known.mean(dtype=np.float64)) if len(known) else math.nan
    return found
