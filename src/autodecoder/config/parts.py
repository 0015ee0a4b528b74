"""The settings of each stage, as frozen dataclasses that are checked when they are made."""

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
    """Source of the images, their number, and the scaling of their pixels."""

    dataset: str = setting(
        "digits",
        f"One of {', '.join(DATASETS)}; or your own images (docs/datasets.md): folder:PATH with "
        "image files, csv:FILE that lists them, tar:FILE of a WebDataset; npz:PATH, npy:PATH or "
        "zarr:PATH with arrays; packed:FOLDER written by autodecoder pack; hf:NAME of a Hugging "
        "Face data set.",
        original="dataset",
        check=lambda _, dataset: split_source(dataset),
    )
    data_dir: Path | None = setting(
        None,
        "Folder of the published files, or the parent of a folder with the data set's name. "
        "Without it, $AUTODECODER_DATA and the cache are searched; then the files are downloaded.",
        free=True,
    )
    examples_frac: float = setting(
        0.5,
        "Share of the training and validation images to use, by class; 0 and 1 both mean all. "
        "For your own images, the command line uses all by default.",
        original="examples frac",
        default_since=8,
        check=number(lambda v: 0 <= v <= 1, "must lie between 0 and 1 (both ends mean all images)"),
    )
    image_size: tuple[int, int] | str | None = setting(
        None,
        "Size of encoded images (folder:, csv:, tar:, hf:), N or HEIGHTxWIDTH. They are cropped "
        "around the centre, then scaled. auto chooses a size from the images and is the default "
        "of the command line (docs/datasets.md).",
        check=check_size,
        read=parse_size,
        since=(3, None),
        default_since=8,
    )
    colour: str = setting(
        "auto",
        "Channels of encoded images (folder:, csv:, tar:, hf:): grey; rgb; or auto, which is grey "
        "if all images are.",
        check=one_of(COLOURS),
        since=(3, "auto"),
    )
    pixel_range: tuple[float, float] | None = setting(
        None,
        "Values of black and white in your own images, LOW:HIGH, if they differ from the limits of "
        "the type: 0:1 for bytes that are 0 or 1, 0:4095 for 12 bits stored in 16.",
        flag="range",
        called="range",
        check=check_range,
        read=parse_range,
        since=(3, None),
    )
    val_fraction: float = setting(
        0.2,
        "Share of your own images to hold out for validation, by class, drawn by the seed. It has "
        "no effect if there are validation images already. 0: no validation.",
        check=fraction,
        since=(3, 0.2),
    )
    split_by: Path | None = setting(
        None,
        "Table with the names of your own images (paths below the folder, or row numbers from 0) "
        "and a second column. The column holds parts, train or val, or groups that stay together "
        "when val_fraction is held out (docs/datasets.md).",
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
        "Known pixels of the images of npy: and npz:, as an .npy file, or an .npz file with an "
        "array mask, of booleans. It holds one mask per image or one for all. Missing pixels are "
        "ignored in training, inference and metrics (docs/datasets.md).",
        since=(4, None),
    )
    alpha: str = setting(
        "white",
        "Transparent pixels of your own images: white, on a white background; or mask, missing if "
        "they are more than half transparent.",
        check=one_of(ALPHAS),
        since=(4, "white"),
    )
    strict: bool = setting(
        False,
        "Stop at image files that cannot be read. By default they are left out with a warning.",
        free=True,
        since=(3, False),
    )
    scaler: str = setting(
        "standard",
        "Pixel scaling and output of the decoder: standard, [-1, 1] and tanh; zero_one, [0, 1] and "
        "sigmoid; identity, 0 to 255 and linear.",
        check=one_of(SCALERS),
    )


@dataclass(frozen=True)
class DecoderConfig(Settings):
    """The decoder: its architecture, the length of its latents, and its layers' options."""

    arch: tuple[int, ...] | Arch | str = setting(
        (128, 256, 512),
        "Widths of the hidden layers, from latents to image, joined by hyphens. conv:64-32-16 for "
        "convolutions, with the channels at each doubling of the grid; resconv:64-32-16 adds a "
        "residual block at each; conv:256/64-32-16 puts a dense layer first.",
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
        f"Activation of the hidden layers: one of {', '.join(ACTIVATIONS)}.",
        original="activation",
        check=one_of(ACTIVATIONS),
        tunable=True,
    )
    batch_norm: bool = setting(
        False,
        "Batch normalisation of the hidden layers. It is on in recipe original.",
        original="batchnorm",
        recipe={"original": True},  # its noise raises the error of `fast` by a tenth
        tunable=True,
        default_since=3,
    )
    norm: str | None = setting(
        None,
        "Normalisation of the hidden layers: none; group, over groups of channels of one image; "
        "or batch. By default it follows batch_norm.",
        check=one_of(NORMS),
        tunable=True,
        since=(3, None),
    )
    norm_groups: int = setting(
        8,
        "Number of groups of channels in group normalisation; must divide each width.",
        flag=None,
        since=(3, 8),
    )
    use_bias: bool = setting(True, "Biases in dense layers.", original="use bias", tunable=True)
    dropout_rate: float = setting(
        0.0,
        "Share of units dropped in training.",
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
        """Refuse the architecture `own`, which no settings describe.

        Raises
        ------
        ConfigError
            If the architecture is `own`.
        """
        if self.arch == OWN:
            raise ConfigError(
                "arch own stands for your own decoder, which must be given from Python: "
                "fit_model(images, decoder=module)."
            )

    @property
    def normalisation(self) -> str:
        """One of `NORMS`."""
        return self.norm or ("batch" if self.batch_norm else "none")


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """Random changes of the training images, drawn anew at every visit. By default none."""

    _within = "augment."

    enabled: tuple[str, ...] = setting(
        (),
        f"Augmentations of the training images: any of {', '.join(AUGMENTATIONS)}. Repeatable.",
        flag="augmentation",
        original="augmentations",
        called="augmentation",
        check=some_of(AUGMENTATIONS),
    )
    brightness: float = setting(
        0.2, "Largest brightness shift, as a share of the pixel range.", flag=None, check=_strength
    )
    contrast: float = setting(
        0.1,
        "Largest deviation from 1 of the factor on the distance to the image's mean.",
        flag=None,
        check=_strength,
    )
    zoom: float = setting(
        0.2, "Largest relative change of the side lengths.", flag=None, check=_strength
    )
    translation: float = setting(
        0.2, "Largest shift along each side, as a share of its length.", flag=None, check=_strength
    )


@dataclass(frozen=True)
class EarlyStoppingConfig(Settings):
    """End of a run before its last epoch, by the rule of Keras' `EarlyStopping`.

    From `start_epoch` on, the run counts epochs in a row in which the objective does not improve by
    more than `min_delta`. It ends when the count reaches its patience.
    """

    _within = "early_stopping."

    enabled: bool = setting(
        False,
        "End a run when the objective stops improving.",
        flag="use_early_stopping",
        original="early stopping",
    )
    min_delta: float = setting(
        1e-4,
        "Least change of the objective that counts as an improvement.",
        flag=None,
        check=not_negative,
    )
    patience: float | None = setting(
        None,
        "Epochs without improvement after which a run ends, as a share of num_epochs; by default "
        "0.1 for a training objective, 0.2 for a validation objective.",
        flag=None,
        check=number(lambda v: 0 < v <= 1, "is a share of num_epochs and must lie between 0 and 1"),
    )
    start_epoch: int | None = setting(
        None,
        "First epoch that is counted; by default 50 for a training objective, 100 for a validation "
        "objective.",
        flag=None,
        check=check_count,
    )


@dataclass(frozen=True)
class LogConfig(Settings):
    """Files that a study writes while it runs, and how often. They do not change its results."""

    tensorboard: bool = setting(True, "Write TensorBoard files.", free=True)
    trackers: tuple[str, ...] = setting(
        (),
        "Extra records: gradients, the L2 norms of the gradients of every layer and of the "
        "latents. Repeatable.",
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
    svg: bool = setting(False, "Also write the pictures as SVG.", free=True, since=(3, False))
    checkpoint_every: int = setting(
        20,
        "Epochs between checkpoints. A checkpoint is also due after 60 seconds. The interval is "
        "longer if writing would take over a tenth of the time.",
        free=True,
    )
    save_best_model: bool = setting(
        True,
        "Keep the model of the best run in best/: its decoder and latents after the best epoch "
        "of the objective.",
        original="save best model",
        free=True,
    )
