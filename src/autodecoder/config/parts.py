"""The settings of each stage, as frozen dataclasses that check themselves when they are made."""

from dataclasses import dataclass
from pathlib import Path

from autodecoder.config.arch import OWN, Arch, arch_widths, read_arch, read_plain_arch
from autodecoder.config.notation import (
    check_columns,
    check_range,
    check_size,
    parse_columns,
    parse_range,
    parse_size,
)
from autodecoder.config.rules import (
    check_count,
    fraction,
    not_negative,
    number,
    one_of,
    positive_up_to,
    some_of,
)
from autodecoder.config.setting import Settings, setting
from autodecoder.config.sources import DATASETS, split_source
from autodecoder.errors import ConfigError

COLOURS = ("auto", "grey", "rgb")
ALPHAS = ("white", "mask")
SCALERS = ("standard", "zero_one", "identity")
NORMS = ("none", "group", "batch")
ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "tanh",
    "sigmoid",
    "softplus",
    "swish",
    "silu",
    "mish",
)
AUGMENTATIONS = ("brightness", "contrast", "zoom", "translation")
TRACKERS = ("gradients",)
_strength = number(lambda v: 0 < v < 1, "must lie between 0 and 1")


@dataclass(frozen=True)
class DataConfig(Settings):
    """Which images, how many of them, and how their pixels are scaled."""

    dataset: str = setting(
        "digits",
        f"One of {', '.join(DATASETS)}; or images of your own (docs/datasets.md): folder:PATH of "
        "image files, csv:FILE that lists them, tar:FILE of a WebDataset; npz:PATH, npy:PATH or "
        "zarr:PATH of arrays; packed:FOLDER that autodecoder pack wrote; hf:NAME of a Hugging Face "
        "data set.",
        original="dataset",
        check=lambda _, dataset: split_source(dataset),
    )
    data_dir: Path | None = setting(
        None,
        "Folder that holds the published files, or whose subfolder of the data set's name does. "
        "Else $AUTODECODER_DATA and the cache are searched, then the files are downloaded.",
        free=True,
    )
    examples_frac: float = setting(
        0.5,
        "Share of the training and of the validation images to use, by class; 0 and 1 both mean "
        "all. The command line uses all images of your own where no share is given.",
        original="examples frac",
        default_since=8,
        check=number(lambda v: 0 <= v <= 1, "must lie between 0 and 1 (both ends mean all images)"),
    )
    image_size: tuple[int, int] | str | None = setting(
        None,
        "Size to bring images to, N or HEIGHTxWIDTH: cropped around the centre, then scaled; for "
        "folder:, csv:, tar: and hf:. auto chooses a size from the images, as the command line "
        "does where no size is given (docs/datasets.md).",
        check=check_size,
        read=parse_size,
        since=(3, None),
        default_since=8,
    )
    colour: str = setting(
        "auto",
        "Channels of the images of folder:, csv:, tar: and hf:. One of auto, which is grey if all "
        "of them are, grey and rgb.",
        check=one_of(COLOURS),
        since=(3, "auto"),
    )
    pixel_range: tuple[float, float] | None = setting(
        None,
        "Values of black and of white in images of your own, LOW:HIGH, where they are not those of "
        "the type: 0:1 for bytes that are 0 or 1, 0:4095 for 12 bits stored in 16.",
        flag="range",
        called="range",
        check=check_range,
        read=parse_range,
        since=(3, None),
    )
    val_fraction: float = setting(
        0.2,
        "Share of your own images to hold out for validation, by class, drawn by the seed; where "
        "there are no validation images already. 0 is for none: nothing is validated.",
        check=fraction,
        since=(3, 0.2),
    )
    split_by: Path | None = setting(
        None,
        "Table of the names of your own images (paths below the folder, or rows, from 0), with a "
        "column of parts, train or val, or of groups that stay together when val_fraction is held "
        "out (docs/datasets.md).",
        since=(3, None),
    )
    columns: tuple[str, ...] | str = setting(
        "all",
        "Further columns of csv:, tar:, hf: and packed: that travel with names and labels, to "
        "pages and tables: all, none, or their names joined by commas (docs/datasets.md).",
        check=check_columns,
        read=parse_columns,
        free=True,
        since=(9, "none"),
    )
    mask: Path | None = setting(
        None,
        "Which pixels of the images of npy: and npz: are known: an .npy, or an .npz with an array "
        "mask, of booleans, for every image or one for all. Missing pixels count nowhere "
        "(docs/datasets.md).",
        since=(4, None),
    )
    alpha: str = setting(
        "white",
        "Transparent pixels of images of your own: white, shown on white; or mask, missing where "
        "they are more transparent than not.",
        check=one_of(ALPHAS),
        since=(4, "white"),
    )
    strict: bool = setting(
        False,
        "Stop at image files that cannot be read, instead of leaving them out with a warning.",
        free=True,
        since=(3, False),
    )
    scaler: str = setting(
        "standard",
        "Pixel scaling: standard is [-1, 1] with output tanh, zero_one [0, 1] with sigmoid, "
        "identity 0 to 255 and linear.",
        check=one_of(SCALERS),
    )


@dataclass(frozen=True)
class DecoderConfig(Settings):
    """The decoder: its kind, its widths from the latents to the last hidden layer, and the rest."""

    arch: tuple[int, ...] | Arch | str = setting(
        (128, 256, 512),
        "Widths of the hidden layers, from latents to image, joined by hyphens; conv:64-32-16 of "
        "convolutions, the channels at each doubling of a grid; resconv:64-32-16 with a residual "
        "block at each; conv:256/64-32-16 with a dense layer before.",
        original="architecture",
        read=read_plain_arch,
        tunable=True,
    )
    latent_dims: int = setting(
        2,
        "Length of each latent vector.",
        original="latent dims",
        check=positive_up_to(100_000),
        tunable=True,
    )
    activation: str = setting(
        "leaky_relu",
        f"One of {', '.join(ACTIVATIONS)}.",
        original="activation",
        check=one_of(ACTIVATIONS),
        tunable=True,
    )
    batch_norm: bool = setting(
        False,
        "Batch normalisation of the hidden layers; on by default in recipe original.",
        original="batchnorm",
        recipe={"original": True},  # its noise costs `fast` a tenth of its error
        tunable=True,
        default_since=3,
    )
    norm: str | None = setting(
        None,
        "Normalisation of the hidden layers: none, group (of the channels of each image by itself) "
        "or batch; by default as batch_norm says.",
        check=one_of(NORMS),
        tunable=True,
        since=(3, None),
    )
    norm_groups: int = setting(
        8,
        "Groups of channels that group normalisation takes together; must divide each width.",
        flag=None,
        since=(3, 8),
    )
    use_bias: bool = setting(True, "Biases in dense layers.", original="use bias", tunable=True)
    dropout_rate: float = setting(
        0.0,
        "Share of units dropped in training; 0 is none.",
        original="dropout regularization rate",
        check=fraction,
        tunable=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "arch", read_arch(self.arch))
        if self.arch == ():
            raise ConfigError("arch must name at least one hidden layer, for example 500-500.")
        if self.norm is not None:
            if self.batch_norm and self.norm != "batch":
                raise ConfigError(f"norm must be batch with batch_norm, got {self.norm}.")
            object.__setattr__(self, "batch_norm", self.norm == "batch")
        if self.normalisation == "group":
            for width in arch_widths(self.arch):
                if width % self.norm_groups:
                    raise ConfigError(
                        f"norm_groups must divide each width of arch, got {self.norm_groups} "
                        f"groups and a width of {width}."
                    )

    def check_drawn(self) -> None:
        """Refuse a decoder of the user's own, which no settings describe.

        Raises
        ------
        ConfigError
            If it is one.
        """
        if self.arch == OWN:
            raise ConfigError(
                "arch own stands for a decoder of your own, which is given from Python: "
                "fit_model(images, decoder=module)."
            )

    @property
    def normalisation(self) -> str:
        """One of `NORMS`."""
        return self.norm or ("batch" if self.batch_norm else "none")


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """Random changes of the training images, drawn anew at every visit; none unless enabled."""

    _within = "augment."

    enabled: tuple[str, ...] = setting(
        (),
        f"Augmentations of the training images: some of {', '.join(AUGMENTATIONS)}. Repeatable.",
        flag="augmentation",
        original="augmentations",
        called="augmentation",
        check=some_of(AUGMENTATIONS),
    )
    brightness: float = setting(
        0.2, "Largest shift, as a share of the pixel range.", flag=None, check=_strength
    )
    contrast: float = setting(
        0.1,
        "Largest change of the factor 1 on the distance from the image's mean.",
        flag=None,
        check=_strength,
    )
    zoom: float = setting(
        0.2, "Largest change of the side lengths, as a share of them.", flag=None, check=_strength
    )
    translation: float = setting(
        0.2, "Largest shift along each side, as a share of its length.", flag=None, check=_strength
    )


@dataclass(frozen=True)
class EarlyStoppingConfig(Settings):
    """When a run ends before its last epoch: the rule of Keras' `EarlyStopping`.

    From `start_epoch` on, epochs without an improvement of the objective by more than `min_delta`
    are counted; the run ends when there are as many in a row as its patience.
    """

    _within = "early_stopping."

    enabled: bool = setting(
        False,
        "End a run when the objective has ceased to improve.",
        flag="use_early_stopping",
        original="early stopping",
    )
    min_delta: float = setting(
        1e-4,
        "Least change of the objective that counts as improvement.",
        flag=None,
        check=not_negative,
    )
    patience: float | None = setting(
        None,
        "Epochs without improvement after which a run ends, as a share of num_epochs; by default "
        "0.1 for a training objective, 0.2 for a validation one.",
        flag=None,
        check=number(lambda v: 0 < v <= 1, "is a share of num_epochs and must lie between 0 and 1"),
    )
    start_epoch: int | None = setting(
        None,
        "Epoch from which on they are counted; by default 50 for a training objective, 100 for a "
        "validation one.",
        flag=None,
        check=check_count,
    )


@dataclass(frozen=True)
class LogConfig(Settings):
    """What is written while a study runs, and how often; without influence on its results."""

    tensorboard: bool = setting(True, "Write TensorBoard files.", free=True)
    trackers: tuple[str, ...] = setting(
        (),
        "What to track besides: gradients, the L2 norms of the gradients of every layer and of "
        "the latents. Repeatable.",
        flag="tracker",
        original="trackers",
        called="tracker",
        check=some_of(TRACKERS),
        free=True,
    )
    histogram_freq: int = setting(
        20,
        "Epochs between histograms of weights and latents; 0 for none.",
        original="histogram freq",
        check=check_count,
        free=True,
    )
    visualize_freq: int = setting(
        20,
        "Epochs between pictures of the latent space and of reconstructions; 0 for none.",
        original="visualize after epochs",
        check=check_count,
        free=True,
    )
    svg: bool = setting(
        False, "Write the pictures as SVG too, beside PNG.", free=True, since=(3, False)
    )
    checkpoint_every: int = setting(
        20,
        "Epochs between checkpoints, more where writing would take over a tenth of the time; at "
        "least every 60 seconds one is written in any case.",
        free=True,
    )
    save_best_model: bool = setting(
        True,
        "Keep the model of the best run in best/: its decoder and latents after the objective's "
        "best epoch.",
        original="save best model",
        free=True,
    )
