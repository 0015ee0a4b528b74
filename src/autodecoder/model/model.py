"""A trained decoder with its latents: decoding, inference, interpolation, and sampling."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from autodecoder.brief import brief
from autodecoder.config import InferConfig
from autodecoder.config.rules import as_plain, check_positive_int, check_seed
from autodecoder.core.blocks import by_blocks
from autodecoder.core.decoders import Decoder, decode
from autodecoder.core.infer import Inference, InferencePlan, plan_inference
from autodecoder.core.losses import Criterion
from autodecoder.core.scaling import to_unit
from autodecoder.core.switches import own_switches
from autodecoder.core.training import Training
from autodecoder.data.carriers import as_array
from autodecoder.data.pixels import PixelRange, as_numbers
from autodecoder.errors import DataError
from autodecoder.model.density import Density
from autodecoder.model.generated import Generated, Trace
from autodecoder.model.inference import as_latent, infer_samples
from autodecoder.model.paths import latent_path
from autodecoder.model.programs import limit_programs
from autodecoder.model.tables import Standardization, unstandardize

if TYPE_CHECKING:
    from autodecoder.measures.evaluation import Evaluation

#: Size of blocks in decoding. It is fixed, so that an image has the same bits in any batch.
_DECODED_AT_ONCE = 256


@brief
@dataclass(frozen=True, eq=False)
class Model:
    """A trained decoder with the latents of its training and validation images."""

    decoder: Decoder
    scaler: str
    """The scaling in training: one for pixels, or `standardize` for features."""
    image_shape: tuple[int, int, int]
    """Height, width and channels; (1, n_features, 1) for features."""
    latents: Float[np.ndarray, "n_train dims"]
    """Latents of the training images."""
    val_latents: Float[np.ndarray, "n_val dims"]
    """Latents of the validation images, under the co-trained protocol."""
    labels: Int[np.ndarray, " n_train"] | None = None
    """Classes of the training images, counted from 0; not used in training."""
    val_labels: Int[np.ndarray, " n_val"] | None = None
    """Classes of the validation images."""
    history: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Metrics of the fit by name, one value per epoch; NaN where not measured."""
    standardization: Standardization | None = None
    """Mean and standard deviation of features; `None` for pixels. A sample of features is a row
    `(n_features,)`, in its own units."""
    pixel_range: PixelRange | None = None
    """Values of black and white in images to read. By default 0 and 255 for integers, 0 and 1 for
    floats and booleans."""
    loss: str = "mse"
    """The reconstruction loss of training, which inference minimises too."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Origin of the model, such as data set and settings, as plain values."""
    names: Shaped[np.ndarray, " n_train"] | None = None
    """Names of the training images: paths below their folder, or rows of their file."""
    val_names: Shaped[np.ndarray, " n_val"] | None = None
    """Names of the validation images."""
    training: Training | None = None
    """Training state, with which `fit_model(images, start=model)` continues bit for bit."""

    _plans: dict[tuple[object, ...], InferencePlan] = field(
        default_factory=dict, init=False, repr=False
    )
    """Cache of the last inference plan."""

    def __getstate__(self) -> dict[str, Any]:
        """The state for copies and pickles, without caches."""
        state = self.__dict__ | {"_plans": {}}
        state.pop("density", None)
        return state

    @property
    def latent_dims(self) -> int:
        """Number of latent dimensions."""
        return self.decoder.config.latent_dims

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a decoded sample: (height, width, channels), or (n_features,) for features."""
        return self.image_shape if self.standardization is None else self.image_shape[1:2]

    @own_switches()
    def decode(self, latents: Any) -> Float[np.ndarray, "n ..."]:
        """Decode latents to images.

        Parameters
        ----------
        latents : (n, latent_dims)

        Returns
        -------
        (n, height, width, channels) float32
            Pixels from 0 to 1; for features (n, n_features), in their own units. NaN for a latent
            that is not finite. A latent's result is the same, bit for bit, in any batch.

        Raises
        ------
        DataError
            If the latents have a wrong shape.
        """
        latents = as_numbers("latents", latents)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dims:
            raise DataError(f"latents must be (n, {self.latent_dims}), got {tuple(latents.shape)}.")
        images = np.empty((len(latents), math.prod(self.sample_shape)), np.float32)
        by_blocks(
            lambda rows, _: self._decode(latents[rows]),
            np.arange(len(latents)),
            _DECODED_AT_ONCE,
            images,
        )
        return images.reshape(-1, *self.sample_shape)

    def infer(
        self,
        images: Any,
        mask: Any = None,
        *,
        config: InferConfig | None = None,
        given: Any = None,
        seed: int = 0,
    ) -> Inference:
        """Find the latents whose reconstructions are nearest to images, under the frozen decoder.

        The search starts from latents of training images; of many, from some that `seed` selects.

        Parameters
        ----------
        images : array-like
            `(n, height, width, channels)`, `(n, height, width)` for one channel, or
            `(n, pixels)`: integers from 0 to 255, floats or booleans from 0 to 1, or values in
            `pixel_range`; masked pixels may have any value. May be a memory map. For features
            `(n, n_features)`, in their own units. Arrays, frames, tensors and lists are accepted,
            see `fit_model`. Missing values such as NaN are ignored.
        mask : array, optional
            True where a pixel counts, or weights, 0 or more; one mask per image or one for all. An
            image without a pixel that counts has errors of NaN and start -1.
        config : InferConfig, optional
            Method, starts, steps and prior.
        given : (n, m, latent_dims), optional
            Further starts for each image, in addition to those of `config`.
        seed : int
            From 0 to 4294967295; determines candidates and random starts.

        Returns
        -------
        Inference
            Errors are measured in the scaled space, over the pixels that count.

        Raises
        ------
        DataError
            If images, mask or given starts have a wrong shape, dtype or range.
        ConfigError
            If more candidates are configured than there are latents; if the seed is out of range.
        """
        return infer_samples(self, images, mask, config, given, seed, None)

    def trace(
        self,
        image: Any,
        mask: Any = None,
        *,
        config: InferConfig | None = None,
        given: Any = None,
        seed: int = 0,
    ) -> Trace:
        """Infer the latent of one image, and record the course of the search.

        Parameters
        ----------
        image : array
            One image as for `infer`, without the first axis.
        mask : array, optional
            Mask with the shape of the image.
        config, seed
            See `infer`.
        given : (m, latent_dims), optional
            Further starts.

        Returns
        -------
        Trace
            The course from the only start; with several starts, from where the best was selected.

        Raises
        ------
        DataError, ConfigError
            See `infer`.
        """
        way: list[np.ndarray] = []
        found = infer_samples(
            self,
            as_array("image", image, may_miss=True)[None],
            None if mask is None else as_array("mask", mask)[None],
            config,
            None if given is None else as_numbers("given", given)[None],
            seed,
            lambda latents: way.append(latents[0]),
        )
        return Trace(np.stack(way), found)

    def reconstruct(
        self, images: Any, mask: Any = None, *, config: InferConfig | None = None, seed: int = 0
    ) -> Float[np.ndarray, "n ..."]:
        """Reconstruct images, including pixels that a mask hides; see `infer`.

        Returns
        -------
        (n, height, width, channels) float32
            Pixels from 0 to 1; NaN for an image without a pixel that counts. For features
            (n, n_features), in their own units.
        """
        return self.decode_inferred(self.infer(images, mask, config=config, seed=seed))

    def decode_inferred(self, found: Inference) -> Float[np.ndarray, "n ..."]:
        """Decode a result of `infer` to reconstructions, as `reconstruct` returns them."""
        images = self.decode(found.latents)
        images[np.isnan(found.errors.loss)] = np.nan
        return images

    def interpolate(
        self,
        a: Any,
        b: Any,
        n: int = 10,
        *,
        path: str = "linear",
        config: InferConfig | None = None,
        seed: int = 0,
    ) -> Generated:
        """Decode latents on a path from one latent or image to another.

        Parameters
        ----------
        a, b : (latent_dims,) or an image
            A vector of `latent_dims` numbers is a latent. For an image, as for `infer`, the latent
            is inferred.
        n : int
            Number of latents, including both ends.
        path : str
            `linear`, `spherical` (around the mean latent; Shoemake 1985) or `data` (through dense
            regions of the training latents; Groisman et al. 2022).
        config, seed
            Used to infer the latents of images.

        Returns
        -------
        Generated
            `n` latents and their decoded images.

        Raises
        ------
        DataError
            If an end is neither a latent nor an image, or is not finite.
        ConfigError
            If there is no such path, or `n` is below 2.
        """
        ends = [as_latent(self, name, end, config, seed) for name, end in (("a", a), ("b", b))]
        latents = latent_path(ends[0], ends[1], as_plain(n), path, self.latents)
        return Generated(latents, self.decode(latents))

    def sample(self, n: int, *, seed: int = 0) -> Generated:
        """Draw latents from `density` and decode them to new images.

        Parameters
        ----------
        n : int
        seed : int
            From 0 to 4294967295.

        Raises
        ------
        DataError
            If there are fewer than two training latents to fit a density to.
        ConfigError
            If `n` is below 1, or the seed is out of range.
        """
        n, seed = as_plain(n), as_plain(seed)
        check_positive_int("n", n)
        check_seed("seed", seed)
        latents = self.density.sample(n, seed)
        return Generated(latents, self.decode(latents))

    def evaluate(
        self,
        images: Any,
        labels: Any = None,
        mask: Any = None,
        *,
        train_images: Any = None,
        train_labels: Any = None,
        config: InferConfig | None = None,
        n_images: int = 10_000,
        n_subset: int = 5_000,
        seed: int = 0,
        report: Callable[[str], None] = lambda _: None,
    ) -> "Evaluation":
        """Measure reconstructions of images, the structure of their latents, and new samples.

        `docs/evaluate.md` has the definition of each measure. A measure that the images do not
        allow is left out, with the reason in `left_out`.

        Parameters
        ----------
        images, mask
            Images that were not trained on, as for `infer`.
        labels : (n,) int, optional
            Their classes, counted as `self.labels`.
        train_images, train_labels : optional
            Images and labels (by default `self.labels`) to train a small classifier on. Without
            them it is trained on a random half of `images`, and the other half is compared.
        config
            Used to infer the latents of `images`.
        n_images : int
            Most images that are evaluated; of more, so many are drawn at random.
        n_subset : int
            Most images for measures whose cost grows with their square, and most samples.
        seed : int
            Determines which images are used, samples, the classifier, and the candidates of
            inference.
        report : callable
            Called with the name of each step when it begins.

        Raises
        ------
        DataError
            See `infer`; if labels or training images do not match; if the reconstructions are not
            finite.
        ConfigError
            See `infer`; if a number is below 1.
        """
        from autodecoder.model.evaluate import evaluate_model

        return evaluate_model(
            *(self, images, labels, mask),
            train_images=train_images,
            train_labels=train_labels,
            config=config,
            n_images=n_images,
            n_subset=n_subset,
            seed=seed,
            report=report,
        )

    @cached_property
    def density(self) -> Density:
        """The mixture of Gaussians for the training latents, fitted at first use."""
        return Density(self.latents)

    def _decode(self, latents: Float[np.ndarray, "n dims"]) -> Any:
        if self.standardization is None:
            return _decode_pixels(self.decoder, latents, self.scaler)
        return unstandardize(np.asarray(decode(self.decoder, latents)), self.standardization)

    def plan(self, config: InferConfig, seed: int) -> InferencePlan:
        """The inference plan for a configuration and a seed of the starts, from a cache."""
        # Plans with the same key differ at most in their configuration, which is replaced below.
        key = (config.starts, config.n_starts, config.n_candidates, seed)
        plan = self._plans.get(key)
        if plan is None:
            limit_programs()
            plan = plan_inference(
                self.decoder,
                self.latents,
                scaler=self.scaler,
                config=config,
                key=jax.random.key(seed),
                criterion=Criterion(self.loss, self.image_shape),
            )
            self._plans.clear()
            self._plans[key] = plan
        return replace(plan, config=config)


@jax.jit(static_argnames="scaler")
def _decode_pixels(decoder: Decoder, latents: Array, scaler: str) -> Array:
    return to_unit(decoder.decode(latents), scaler)
