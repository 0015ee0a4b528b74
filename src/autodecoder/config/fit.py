"""The settings of the joint fit, and the recipes, which are named sets of their values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from autodecoder.config.arch import Arch, arch_kind
from autodecoder.config.rules import (
    check_choice,
    check_count,
    check_learning_rate,
    number,
    one_of,
    positive_up_to,
)
from autodecoder.config.setting import Settings, recipe_values, setting
from autodecoder.errors import ConfigError

LATENT_STARTS = ("zeros", "normal", "pca", "som", "neighbours", "auto")
#: Starts that are computed from the images, and scaled by the spread.
STARTS_FROM_IMAGES = ("pca", "som", "neighbours")
SCHEDULES = ("constant", "cosine", "linear")
LOSSES = ("mse", "bce", "laplacian")
SECOND_MOMENTS = ("coordinate", "row")
FIRST_MOMENT_DTYPES = ("float32", "bfloat16")
PRIORS = ("none", "gaussian", "mixture")
CODES = ("point", "gaussian")

#: Recipes, with the learning rate of each (see `learning_rate_for`).
_LEARNING_RATES: Mapping[str, float] = MappingProxyType({"fast": 5e-3, "original": 1e-3})
#: Learning rates of recipe `fast` for kinds of decoders that allow larger ones (docs/recipes.md).
_LEARNING_RATES_OF_KINDS: Mapping[str, float] = MappingProxyType({"conv": 1e-2, "resconv": 1e-2})
#: Most latent dimensions for a self-organising map and for a neighbour layout, and the most for
#: which the map is the default.
_MAP_DIMS = 3
_AUTO_MAP_DIMS = 2
#: Default spreads of the latents. A decoder draws sharper images from latents that lie further
#: apart, as networks fit low frequencies of their inputs first (Rahaman et al. 2019).
_MAP_SPREAD = 10.0
_PCA_SPREAD = 3.0
#: Largest norm of latents that start at principal components: long ones that lie further apart
#: describe training images as well, but others worse (docs/experiments.md).
_PCA_NORM = 12.0
_WIDEST = 1e6
#: Bytes of uint8 images that are shuffled together by default.
_BUFFER_BYTES = 2**28
_above_zero = number(lambda v: 0 < v <= _WIDEST, f"must be above 0 and at most {_WIDEST:g}")


class Length(NamedTuple):
    """Length of a fit whose number of epochs follows from the number of images."""

    steps: int
    """Steps of the fit, rounded up to whole epochs."""
    least: int
    """Least number of epochs."""
    most: int
    """Largest number of epochs."""

    def epochs_for(self, n_images: int, batch_size: int) -> int:
        """The number of epochs of a fit to `n_images` images.

        Examples
        --------
        >>> LONG.epochs_for(60_000, 128), LONG.epochs_for(64, 128)
        (20, 500)
        """
        n_batches = max(1, n_images // batch_size)
        return min(max(-(-self.steps // n_batches), self.least), self.most)


#: Lengths of a full fit and of a fit for a first picture.
LONG, SHORT = Length(5000, 20, 500), Length(1500, 8, 500)


@dataclass(frozen=True)
class FitConfig(Settings):
    """The joint fit of decoder and latents. A search varies learning rates separately."""

    num_epochs: int = setting(
        300,
        "Passes over the training images. For your own images, the command line chooses the number "
        f"that makes {LONG.steps:,} steps, from {LONG.least} to {LONG.most}.",
        original="epochs",
        check=positive_up_to(1_000_000),
        default_since=8,
    )
    batch_size: int = setting(
        128,
        "Images per step. If you have fewer images of your own, the command line uses all of them.",
        original="batch size",
        tunable=True,
        default_since=8,
    )
    latent_start: str = setting(
        "auto",
        "Initial latents: zeros; normal, drawn with standard deviation 0.1; pca, principal "
        "component scores of the images; som, positions on a self-organising map of the images, "
        "for up to 3 dimensions; neighbours, a t-SNE layout of the images, for up to 3 dimensions "
        "(it needs the extra neighbours); auto, som for up to 2 dimensions, otherwise pca.",
        check=one_of(LATENT_STARTS),
        recipe={"original": "zeros"},
        tunable=True,
    )
    latent_spread: float | None = setting(
        None,
        "Root mean square of the initial latents; by default 10 for som and neighbours, 3 for pca. "
        "Of more than 16 dimensions, pca has 12 over the square root of their number.",
        check=_above_zero,
        recipe={"original": 1.0},
        tunable=True,
        since=(3, 1.0),
        default_since=11,
    )
    bias_spread: float = setting(
        0.5,
        "Hidden biases are drawn uniformly between minus and plus this value, divided by the "
        "square root of the layer's inputs. 0: zero biases.",
        check=number(lambda v: 0 <= v <= _WIDEST, f"must lie between 0 and {_WIDEST:g}"),
        recipe={"original": 0.0},
        tunable=True,
        since=(3, 0.0),
    )
    latent_learning_rate: float | None = setting(
        0.05,
        "Learning rate of the latents. Recipe original uses that of the decoder.",
        flag="latent_lr",
        check=check_learning_rate,
        recipe={"original": None},
        tunable=True,
        traced=True,
    )
    latent_second_moment: str = setting(
        "coordinate",
        "Second moment in the latents' Adam: coordinate, one per coordinate; row, one per latent, "
        "the mean over its coordinates, as in row-wise Adam.",
        check=one_of(SECOND_MOMENTS),
        tunable=True,
        since=(6, "coordinate"),
    )
    latent_first_moment_dtype: str = setting(
        "float32",
        "Type of the first moment in the latents' Adam: float32, or bfloat16, which needs half "
        "the memory. The arithmetic is in float32.",
        check=one_of(FIRST_MOMENT_DTYPES),
        tunable=True,
        since=(6, "float32"),
    )
    schedule: str = setting(
        "linear",
        "Schedule of the learning rates: constant; cosine or linear, which fall to 0 over the fit.",
        check=one_of(SCHEDULES),
        recipe={"original": "constant"},
        tunable=True,
    )
    warmup_steps: int = setting(
        500,
        "Steps over which the learning rates rise to their full values; at most a fifth of the "
        "fit.",
        check=check_count,
        recipe={"original": 0},
        tunable=True,
        since=(3, 0),
    )
    base_width: int | None = setting(
        500,
        "Number of inputs up to which a decoder layer uses the full learning rate. With more "
        "inputs the rate falls in proportion.",
        recipe={"original": None},
        tunable=True,
        since=(3, None),
    )
    clip_norm: float | None = setting(
        0.3,
        "Largest L2 norm of the decoder's gradient over all layers. Longer gradients are scaled "
        "down to it.",
        check=_above_zero,
        recipe={"original": None},
        tunable=True,
        since=(3, None),
    )
    nesterov: bool = setting(
        True,
        "Nesterov momentum in the decoder's Adam.",
        recipe={"original": False},
        tunable=True,
        since=(3, False),
    )
    drop_last: bool = setting(
        True,
        "Leave out the images of an epoch that do not fill a batch. They differ in each epoch.",
        recipe={"original": True},
        tunable=True,
    )
    shards: int = setting(
        64,
        "Number of equal shards into which the images are divided in stored order. Each batch "
        "takes the same number of images from each. If the number of shards does not divide the "
        "batch size, their greatest common divisor is used. 1: plain shuffling.",
        recipe={"original": 1},
        tunable=True,
        since=(5, 1),
    )
    shuffle_buffer: int | None = setting(
        None,
        "Images that are shuffled together in an epoch of a larger set; by default the largest "
        "power of two that fits into 256 MiB. 0: all images, which must then be in memory.",
        check=check_count,
        recipe={"original": 0},
        since=(7, 0),
    )
    loss: str = setting(
        "mse",
        "Reconstruction loss of the fit and of latent inference: mse, the mean squared error; bce, "
        "the binary cross entropy, for the scaler zero_one; laplacian, the L1 distance of "
        "Laplacian pyramids, which keeps edges.",
        check=one_of(LOSSES),
        since=(4, "mse"),
    )

    prior: str = setting(
        "none",
        "Density of the latents, fitted during the training, which pulls the latents towards it: "
        "none; gaussian, one Gaussian; mixture, a mixture of Gaussians.",
        check=one_of(PRIORS),
        tunable=True,
        since=(9, "none"),
    )
    n_components: int = setting(
        16,
        "Number of Gaussians in the prior mixture.",
        check=positive_up_to(4096),
        tunable=True,
        since=(9, 16),
    )
    prior_weight: float = setting(
        1.0,
        "Weight of the prior: 1 for the most probable latents, if the errors of pixels are "
        "independent.",
        check=_above_zero,
        tunable=True,
        since=(9, 1.0),
    )
    codes: str = setting(
        "point",
        "What each image owns: point, a latent; gaussian, the mean and variance of a latent, which "
        "is drawn in every step, as in a variational autoencoder. Needs a prior.",
        check=one_of(CODES),
        tunable=True,
        since=(10, "point"),
    )

    def count_components(self) -> int:
        """The number of Gaussians in the prior; 0 without a prior."""
        return {"none": 0, "gaussian": 1}.get(self.prior, self.n_components)

    def check_codes(self) -> None:
        """Check that codes have the prior that they need.

        Raises
        ------
        ConfigError
            If they do not.
        """
        if self.codes == "gaussian" and self.prior == "none":
            raise ConfigError("codes gaussian needs a prior: gaussian or mixture, got none.")

    def check_components(self, n_images: int, n_held: int = 0) -> None:
        """Check the number of components against that of the training images, of which some may be
        held out.

        Raises
        ------
        ConfigError
            If the prior has more components than there are images.
        """
        left = n_images - n_held
        if (n := self.count_components()) > left:
            words = f"{left} without the {n_held} held out" if n_held else f"{left}"
            raise ConfigError(
                f"n_components must not exceed the number of training images, {words}, got {n}."
            )

    def count_together(self, n_pixels: int) -> int | None:
        """Images of `n_pixels` pixels that are shuffled together; `None` means all."""
        if self.shuffle_buffer is None:
            return 2 ** (max(1, _BUFFER_BYTES // n_pixels).bit_length() - 1)
        return self.shuffle_buffer or None

    def start_for(self, latent_dims: int) -> str:
        """The start of latents of this length: `latent_start` with `auto` resolved.

        Raises
        ------
        ConfigError
            If latents of this length cannot start this way.
        """
        if self.latent_start in ("som", "neighbours") and latent_dims > _MAP_DIMS:
            raise ConfigError(
                f"latent_start: {self.latent_start} is for latents of up to {_MAP_DIMS} "
                f"dimensions, got {latent_dims}."
            )
        if self.latent_start != "auto":
            return self.latent_start
        return "som" if latent_dims <= _AUTO_MAP_DIMS else "pca"

    def spread_for(self, latent_dims: int) -> float:
        """Root mean square of initial latents of this length, for `STARTS_FROM_IMAGES`."""
        if self.latent_spread is not None:
            return self.latent_spread
        if self.start_for(latent_dims) in ("som", "neighbours"):
            return _MAP_SPREAD
        return min(_PCA_SPREAD, _PCA_NORM / math.sqrt(latent_dims))


#: Values of the fit's settings in each recipe.
RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: MappingProxyType(recipe_values(FitConfig, name)) for name in _LEARNING_RATES}
)


def check_loss(loss: str, scaler: str) -> None:
    """Refuse a loss that does not fit the scaler.

    Raises
    ------
    ConfigError
            If they do not fit.
    """
    if loss == "bce" and scaler != "zero_one":
        raise ConfigError(f"loss bce is for values from 0 to 1: the scaler zero_one, got {scaler}.")
    if loss == "laplacian" and scaler == "standardize":
        raise ConfigError("loss laplacian is for images: a scaler other than standardize.")


def learning_rate_for(recipe: str, arch: tuple[int, ...] | Arch | str) -> float:
    """The default learning rate of a single fit, by recipe and architecture.

    Raises
    ------
    ConfigError
        If no recipe has that name.
    """
    check_choice("recipe", recipe, RECIPES)
    rate = _LEARNING_RATES[recipe]
    return _LEARNING_RATES_OF_KINDS.get(arch_kind(arch), rate) if recipe == "fast" else rate


def fit_config(recipe: str, **values: Any) -> FitConfig:
    """Build a `FitConfig` from a recipe; values given by name override the recipe's.

    Raises
    ------
    ConfigError
        If no recipe has that name, or a value breaks its rule.
    """
    check_choice("recipe", recipe, RECIPES)
    return FitConfig(**{**RECIPES[recipe], **values})
