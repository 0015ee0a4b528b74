"""The settings of each stage, as frozen dataclasses that check themselves when they are made."""

from dataclasses import dataclass
from pathlib import Path

from autodecoder.config.arch import OWN, Arch, arch_widths, read_arch
from autodecoder.config.notation import check_range, check_size
from autodecoder.config.rules import (
    check_choice,
    check_choices,
    check_count,
    check_number,
    check_positive_int,
    check_switch,
    setting,
    take_plain,
)
from autodecoder.config.sources import DATASETS, split_source
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path

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


@dataclass(frozen=True)
class DataConfig:
    """Which images, how many of them, and how their pixels are scaled."""

    dataset: str = setting(
        "digits",
        f"One of {', '.join(DATASETS)}; or images of your own (docs/datasets.md): folder:PATH of "
        "image files, npz:PATH or npy:PATH of arrays, hf:NAME of a Hugging Face data set.",
        flag="dataset",
        original="dataset",
    )
    data_dir: Path | None = setting(
        None,
        "Folder that holds the published files, or whose subfolder of the data set's name does. "
        "Else $AUTODECODER_DATA and the cache are searched, then the files are downloaded.",
        flag="data_dir",
    )
    examples_frac: float = setting(
        0.5,
        "Share of the training and of the validation images to use, by class; 0 and 1 both mean "
        "all.",
        flag="examples_frac",
        original="examples frac",
    )
    image_size: tuple[int, int] | None = setting(
        None,
        "Size to bring images to, N or HEIGHTxWIDTH: cropped around the centre, then scaled. For "
        "folder: and hf:, whose images must else be of one size.",
        flag="image_size",
    )
    colour: str = setting(
        "auto",
        "Channels of the images of folder: and hf:. One of auto, which is grey if all of them are, "
        "grey and rgb.",
        flag="colour",
    )
    pixel_range: tuple[float, float] | None = setting(
        None,
        "Values of black and of white in images of your own, LOW:HIGH, where they are not those of "
        "the type: 0:1 for bytes that are 0 or 1, 0:4095 for 12 bits stored in 16.",
        flag="range",
    )
    val_fraction: float = setting(
        0.2,
        "Share of your own images to hold out for validation, by class, drawn by the seed; where "
        "there are no validation images already. 0 is for none: nothing is validated.",
        flag="val_fraction",
    )
    split_by: Path | None = setting(
        None,
        "Table of the names of your own images (paths below the folder, or rows, from 0), with a "
        "column of parts, train or val, or of groups that stay together when val_fraction is held "
        "out (docs/datasets.md).",
        flag="split_by",
    )
    mask: Path | None = setting(
        None,
        "Which pixels of the images of npy: and npz: are known: an .npy, or an .npz with an array "
        "mask, of booleans, for every image or one for all. Missing pixels count nowhere "
        "(docs/datasets.md).",
        flag="mask",
    )
    alpha: str = setting(
        "white",
        "Transparent pixels of images of your own: white, shown on white; or mask, missing where "
        "they are more transparent than not.",
        flag="alpha",
    )
    strict: bool = setting(
        False,
        "Stop at image files that cannot be read, instead of leaving them out with a warning.",
        flag="strict",
    )
    scaler: str = setting(
        "standard",
        "Pixel scaling: standard is [-1, 1] with output tanh, zero_one [0, 1] with sigmoid, "
        "identity 0 to 255 and linear.",
        flag="scaler",
    )

    def __post_init__(self) -> None:
        take_plain(self)
        split_source(self.dataset)
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", user_path(self.data_dir, "data_dir"))
        if self.image_size is not None:
            check_size(self.image_size)
        check_choice("colour", self.colour, COLOURS)
        if self.pixel_range is not None:
            check_range(self.pixel_range)
        check_number("val_fraction", self.val_fraction)
        if not 0 <= self.val_fraction < 1:
            raise ConfigError(
                f"val_fraction must be at least 0 and below 1, got {self.val_fraction}."
            )
        check_choice("alpha", self.alpha, ALPHAS)
        check_switch("strict", self.strict)
        check_choice("scaler", self.scaler, SCALERS)
        check_number("examples_frac", self.examples_frac)
        if not 0 <= self.examples_frac <= 1:
            raise ConfigError(
                f"examples_frac must lie between 0 and 1 (both ends mean all images), "
                f"got {self.examples_frac}."
            )


@dataclass(frozen=True)
class DecoderConfig:
    """The decoder: its kind, its widths from the latents to the last hidden layer, and the rest."""

    arch: tuple[int, ...] | Arch | str = setting(
        (128, 256, 512),
        "Widths of the hidden layers, from latents to image, joined by hyphens; conv:64-32-16 of "
        "convolutions, the channels at each doubling of a grid; resconv:64-32-16 with a residual "
        "block at each; conv:256/64-32-16 with a dense layer before.",
        flag="arch",
        original="architecture",
    )
    latent_dims: int = setting(
        2, "Length of each latent vector.", flag="latent_dims", original="latent dims"
    )
    activation: str = setting(
        "leaky_relu",
        f"One of {', '.join(ACTIVATIONS)}.",
        flag="activation",
        original="activation",
    )
    batch_norm: bool = setting(
        False,
        "Batch normalisation of the hidden layers; on by default in recipe original.",
        flag="batch_norm",
        original="batchnorm",
    )
    norm: str | None = setting(
        None,
        "Normalisation of the hidden layers: none, group (of the channels of each image by itself) "
        "or batch; by default as batch_norm says.",
        flag="norm",
    )
    norm_groups: int = setting(
        8, "Groups of channels that group normalisation takes together; must divide each width."
    )
    use_bias: bool = setting(True, "Biases in dense layers.", flag="use_bias", original="use bias")
    dropout_rate: float = setting(
        0.0,
        "Share of units dropped in training; 0 is none.",
        flag="dropout_rate",
        original="dropout regularization rate",
    )

    def __post_init__(self) -> None:
        take_plain(self)
        object.__setattr__(self, "arch", read_arch(self.arch))
        if self.arch == ():
            raise ConfigError("arch must name at least one hidden layer, for example 500-500.")
        check_positive_int("latent_dims", self.latent_dims, most=100_000)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_switch("batch_norm", self.batch_norm)
        if self.norm is not None:
            check_choice("norm", self.norm, NORMS)
            if self.batch_norm and self.norm != "batch":
                raise ConfigError(f"norm must be batch with batch_norm, got {self.norm}.")
            object.__setattr__(self, "batch_norm", self.norm == "batch")
        check_positive_int("norm_groups", self.norm_groups)
        if self.normalisation == "group":
            for width in arch_widths(self.arch):
                if width % self.norm_groups:
                    raise ConfigError(
                        f"norm_groups must divide each width of arch, got {self.norm_groups} "
                        f"groups and a width of {width}."
                    )
        check_switch("use_bias", self.use_bias)
        check_number("dropout_rate", self.dropout_rate)
        if not 0 <= self.dropout_rate < 1:
            raise ConfigError(
                f"dropout_rate must be at least 0 and below 1, got {self.dropout_rate}."
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
class AugmentConfig:
    """Random changes of the training images, drawn anew at every visit; none unless enabled."""

    enabled: tuple[str, ...] = setting(
        (),
        f"Augmentations of the training images: some of {', '.join(AUGMENTATIONS)}. Repeatable.",
        flag="augmentation",
        original="augmentations",
    )
    brightness: float = setting(0.2, "Largest shift, as a share of the pixel range.")
    contrast: float = setting(
        0.1, "Largest change of the factor 1 on the distance from the image's mean."
    )
    zoom: float = setting(0.2, "Largest change of the side lengths, as a share of them.")
    translation: float = setting(0.2, "Largest shift along each side, as a share of its length.")

    def __post_init__(self) -> None:
        take_plain(self)
        check_choices("augmentation", self.enabled, AUGMENTATIONS)
        for name in AUGMENTATIONS:
            check_number(f"augment.{name}", getattr(self, name))
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"augment.{name} must lie between 0 and 1, got {getattr(self, name)}."
                )


@dataclass(frozen=True)
class EarlyStoppingConfig:
    """When a run ends before its last epoch: the rule of Keras' `EarlyStopping`.

    From `start_epoch` on, epochs without an improvement of the objective by more than `min_delta`
    are counted; the run ends when there are as many in a row as its patience.
    """

    enabled: bool = setting(
        False,
        "End a run when the objective has ceased to improve.",
        flag="use_early_stopping",
        original="early stopping",
    )
    min_delta: float = setting(1e-4, "Least change of the objective that counts as improvement.")
    patience: float | None = setting(
        None,
        "Epochs without improvement after which a run ends, as a share of num_epochs; by default "
        "0.1 for a training objective, 0.2 for a validation one.",
    )
    start_epoch: int | None = setting(
        None,
        "Epoch from which on they are counted; by default 50 for a training objective, 100 for a "
        "validation one.",
    )

    def __post_init__(self) -> None:
        take_plain(self)
        check_switch("early_stopping.enabled", self.enabled)
        check_number("early_stopping.min_delta", self.min_delta)
        if self.min_delta < 0:
            raise ConfigError(
                f"early_stopping.min_delta must not be negative, got {self.min_delta}."
            )
        if self.patience is not None:
            check_number("early_stopping.patience", self.patience)
            if not 0 < self.patience <= 1:
                raise ConfigError(
                    "early_stopping.patience is a share of num_epochs and must lie between 0 and "
                    f"1, got {self.patience}."
                )
        if self.start_epoch is not None:
            check_count("early_stopping.start_epoch", self.start_epoch)


@dataclass(frozen=True)
class LogConfig:
    """What is written while a study runs, and how often; without influence on its results."""

    tensorboard: bool = setting(True, "Write TensorBoard files.", flag="tensorboard")
    trackers: tuple[str, ...] = setting(
        (),
        "What to track besides: gradients, the L2 norms of the gradients of every layer and of "
        "the latents. Repeatable.",
        flag="tracker",
        original="trackers",
    )
    histogram_freq: int = setting(
        20,
        "Epochs between histograms of weights and latents; 0 for none.",
        flag="histogram_freq",
        original="histogram freq",
    )
    visualize_freq: int = setting(
        20,
        "Epochs between pictures of the latent space and of reconstructions; 0 for none.",
        flag="visualize_freq",
        original="visualize after epochs",
    )
    svg: bool = setting(False, "Write the pictures as SVG too, beside PNG.", flag="svg")
    checkpoint_every: int = setting(
        20,
        "Epochs between checkpoints, more where writing would take over a tenth of the time; at "
        "least every 60 seconds one is written in any case.",
        flag="checkpoint_every",
    )
    save_best_model: bool = setting(
        False,
        "Keep each execution's decoder and latents of the objective's best epoch, and the best of "
        "all in best/.",
        flag="save_best_model",
        original="save best model",
    )

    def __post_init__(self) -> None:
        take_plain(self)
        check_switch("tensorboard", self.tensorboard)
        check_choices("tracker", self.trackers, TRACKERS)
        check_count("histogram_freq", self.histogram_freq)
        check_count("visualize_freq", self.visualize_freq)
        check_switch("svg", self.svg)
        check_positive_int("checkpoint_every", self.checkpoint_every)
        check_switch("save_best_model", self.save_best_model)
