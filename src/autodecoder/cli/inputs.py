"""What commands take and give that work with a model: flags shared, samples in, pictures out."""

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

ModelFolder = Annotated[Path, path_flag(help="A model's folder: `best` in that of a study.")]
Images = Annotated[
    str,
    Parameter(
        help="Images: .npy (read piece by piece, however large), .npz with an array `images`, or "
        "an IDX file as MNIST's; whole numbers from 0 to 255, floats from 0 to 1, or in the range "
        "of the training; folder:PATH of image files, or one of them. Of features .npy, .npz or "
        ".csv."
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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The images of the training, as flags name them."""

    dataset: Annotated[
        str | None,
        Parameter(
            help="The images of the training, as `train` takes them. Needed where they are your "
            "own and this account has not trained on them: what only a file names is not opened."
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        path_flag(help="Folder of published data sets, as `train` takes it, to look for them in."),
    ] = None
    split_by: Annotated[
        Path | None,
        path_flag(help="The table that split them, as `train` takes it, with --dataset."),
    ] = None
    mask: Annotated[
        Path | None,
        path_flag(help="Which of their pixels are known, as `train` takes it, with --dataset."),
    ] = None

    def __bool__(self) -> bool:
        return self != NOT_NAMED


NOT_NAMED = TrainedOn()


def open_model(folder: Path) -> "Model":
    """A model whose programs are kept on disk."""
    from autodecoder.cli.programs import keep_programs
    from autodecoder.model import load_model

    keep_programs()
    return load_model(folder)


def title_of(model: "Model", folder: Path) -> str:
    """What a page on the model in a folder is called: its data set and its decoder."""
    from autodecoder.model.card import describe_decoder, title_of_dataset

    dataset = model.about.get("dataset")
    name = title_of_dataset(dataset) if isinstance(dataset, str) else legible(folder.resolve().name)
    return f"{name}, {describe_decoder(model)}"


def data_of_model(model: "Model", named: TrainedOn = NOT_NAMED) -> "Dataset":
    """The images that a model was trained on and validated with, see `data_of`.

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
    fingerprint, image_shape = model.about.get("data_fingerprint"), list(model.image_shape)
    return data_of(study_config(settings), fingerprint, image_shape, named)


def data_of(
    config: "StudyConfig",
    fingerprint: object,
    image_shape: object,
    named: TrainedOn,
) -> "Dataset":
    """The images of a study, where they are at hand: no published data set is downloaded.

    They are opened where the user names them now, or has trained on them, see
    `autodecoder.data.known`. Else only a published data set is, from where the user keeps those:
    the settings may be a stranger's, and what they name could be anything.

    Raises
    ------
    DataError
        If they are not, or not as they were.
    ConfigError
        If settings do not go with them any more, or a table or a mask is named without the images
        that it is of.
    """
    from autodecoder.config import DATASETS
    from autodecoder.data.known import is_known, remember
    from autodecoder.data.load import load_configured
    from autodecoder.data.overview import list_datasets

    if named.split_by is not None and named.dataset is None:
        raise ConfigError("split_by must come with dataset, the images that it splits.")
    if named.mask is not None and named.dataset is None:
        raise ConfigError("mask must come with dataset, the images of which it hides pixels.")
    name = config.data.dataset if named.dataset is None else named.dataset
    known = is_known(config.data, config.seed, fingerprint)
    if not known and named.dataset is None and name not in DATASETS:
        raise DataError(
            f"the settings name {legible(name)}, which is opened only where this account has "
            "trained on it, or where you name it by --dataset."
        )
    if not known or named:
        split = config.data.split_by if known and named.split_by is None else named.split_by
        mask = config.data.mask if known and named.mask is None else named.mask
        data = replace(
            config.data,
            dataset=name,
            data_dir=named.data_dir,
            split_by=split,
            # Another source may lack those that the settings name.
            columns=config.data.columns if named.dataset is None else "all",
            mask=mask,
        )
        config = replace(config, data=data)
    if any(
        found.name == name and not found.is_here for found in list_datasets(config.data.data_dir)
    ):
        raise DataError(f"{name} is not here; `autodecoder datasets --fetch {name}` brings it.")
    found = load_configured(config.data, seed=config.seed)
    if list(found.image_shape) != image_shape:
        raise DataError(f"{legible(found.name)} has images of another shape than at the training.")
    if found.fingerprint != fingerprint:
        raise DataError(f"{legible(found.name)} is not as it was at the training.")
    remember(config.data, config.seed, found.fingerprint)
    return found


def open_all(
    folder: Path, images: str, mask: Path | None, *, resize: bool
) -> "tuple[Model, Given, np.ndarray | None]":
    """A model, the samples to place, and which of their pixels count: by the mask named, or else by
    the file of the samples."""
    from autodecoder.data.arrays import open_masks

    model = open_model(folder)
    given = open_samples(model, images, resize=resize)
    seen = given.mask if mask is None else open_masks(mask)["mask"]
    return _reader(model, given), given, seen


def open_samples(model: "Model", source: str, *, resize: bool) -> "Given":
    """Samples for a model, from what `--images` names."""
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
    """What transparent pixels were at the training."""
    settings = model.about.get("settings")
    data = settings.get("data") if isinstance(settings, dict) else None
    return "mask" if isinstance(data, dict) and data.get("alpha") == "mask" else "white"


def _reader(model: "Model", given: "Given") -> "Model":
    """The model as it reads those samples: image files are brought to 0 to 255 when decoded."""
    return replace(model, pixel_range=None) if model.pixel_range and given.names else model


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
    given = open_samples(model, text, resize=resize)
    n = len(given.samples)
    if n != 1:
        raise DataError(f"{name} must be a file of one image, but {text} holds {n}.")
    return _reader(model, given).infer(given.samples, given.mask, seed=seed).latents[0]


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
