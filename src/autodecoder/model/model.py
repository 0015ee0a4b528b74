"""A trained decoder with its latents, and what can be done with it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from autodecoder.brief import brief
from autodecoder.config import InferConfig
from autodecoder.config.rules import as_plain, check_positive_int, check_seed
from autodecoder.core.blocks import by_blocks
from autodecoder.core.decoders import Decoder, decode
from autodecoder.core.infer import (
    Inference,
    InferencePlan,
    OnLatents,
    infer_latents,
    plan_inference,
)
from autodecoder.core.losses import Criterion
from autodecoder.core.scaling import to_unit
from autodecoder.core.switches import own_switches
from autodecoder.core.training import Training
from autodecoder.data.carriers import as_array
from autodecoder.data.pixels import PixelRange, as_mask, as_numbers, to_weights
from autodecoder.errors import DataError
from autodecoder.model.density import Density
from autodecoder.model.generated import Generated, Trace
from autodecoder.model.inference import infer_apart, join_inferences
from autodecoder.model.paths import latent_path
from autodecoder.model.programs import limit_programs, one_inference
from autodecoder.model.samples import check_samples, doubt_range, to_rows
from autodecoder.model.tables import Standardization, unstandardize

#: Images decoded at once, be there as many or not: so an image has the same bits beside others.
_DECODED_AT_ONCE = 256
#: Images inferred at once: a bound on memory.
_INFERRED_AT_ONCE = 20_000


@brief
@dataclass(frozen=True, eq=False)
class Model:
    """A trained decoder, and the latents of the images that it was trained and validated on."""

    decoder: Decoder
    scaler: str
    """The scaling that it was trained with: of pixels, or `standardize`, of any features."""
    image_shape: tuple[int, int, int]
    """Height, width and channels; of features (1, n_features, 1)."""
    latents: Float[np.ndarray, "n_train dims"]
    """Of the training images."""
    val_latents: Float[np.ndarray, "n_val dims"]
    """Of the validation images, under the co-trained protocol."""
    labels: Int[np.ndarray, " n_train"] | None = None
    val_labels: Int[np.ndarray, " n_val"] | None = None
    """Classes, counted from 0; decoder and latents know nothing of them."""
    history: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Metrics of the fit, one value an epoch; not a number where they were not measured."""
    standardization: Standardization | None = None
    """Of the features, where these are no pixels; then images are rows of a table, `(n_features,)`,
    in their own units."""
    pixel_range: PixelRange | None = None
    """Values of black and of white in images that it reads, as in those that it was trained on;
    by default whole numbers lie between 0 and 255, floats and booleans between 0 and 1."""
    loss: str = "mse"
    """The reconstruction loss that it was trained with, which inference minimises too."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: plain values."""
    names: Shaped[np.ndarray, " n_train"] | None = None
    val_names: Shaped[np.ndarray, " n_val"] | None = None
    """What images are known by: paths below their folder, or rows of their file."""
    training: Training | None = None
    """What `fit_model(images, start=model)` needs to go on as if the fit had not ended."""

    _plans: dict[tuple[object, ...], InferencePlan] = field(
        default_factory=dict, init=False, repr=False
    )
    """The last plan of inference, so that image after image is placed without a new one."""

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: not what is made at first use."""
        state = self.__dict__ | {"_plans": {}}
        state.pop("density", None)
        return state

    @property
    def latent_dims(self) -> int:
        """Length of a latent."""
        return self.decoder.config.latent_dims

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one image, as `decode` returns it: (height, width, channels), or of features
        (n_features,)."""
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
            Pixels from 0 to 1; of features (n, n_features), in their own units. Not a number for a
            latent that is not finite. The same bits for a latent alone and beside others.

        Raises
        ------
        DataError
            If the latents are of another shape.
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

        The latents of training images are the candidates from which the search starts; of many,
        some drawn by `seed`.

        Parameters
        ----------
        images : array-like
            `(n, height, width, channels)`, `(n, height, width)` for one channel, or
            `(n, pixels)`: whole numbers from 0 to 255, or floats or booleans from 0 to 1, or what
            `pixel_range` says; anything where the mask hides them. May be a memory map. Of
            features `(n, n_features)`, in their own units. Arrays, frames, tensors and lists are
            read alike, see `fit_model`; missing values, as not a number, count nowhere.
        mask : array, optional
            True where a pixel counts, or weights, 0 or more; for every image or one for all. An
            image without a pixel that counts has losses that are not a number and start -1.
        config : InferConfig, optional
            Method, starts, steps and prior.
        given : (n, m, latent_dims), optional
            Starts of each image, beside those of the configuration.
        seed : int
            Of candidates and random starts; from 0 to 4294967295.

        Returns
        -------
        Inference
            Errors are measured in the scaled space, over the pixels that count.

        Raises
        ------
        DataError
            If images, mask or given starts are of another shape, dtype or range.
        ConfigError
            If the configuration asks for more candidates than there are, or for a start that
            latents of this length do not have; if the seed is out of range.
        """
        return self._infer(images, mask, config, given, seed, None)

    def trace(
        self,
        image: Any,
        mask: Any = None,
        *,
        config: InferConfig | None = None,
        given: Any = None,
        seed: int = 0,
    ) -> Trace:
        """Infer the latent of one image, and keep the way that the search takes to it.

        Parameters
        ----------
        image : array
            One image, see `infer`: without the first axis.
        mask : array, optional
            Of its shape.
        config, seed
            See `infer`.
        given : (m, latent_dims), optional
            Further starts.

        Returns
        -------
        Trace
            Of several starts the way of the one that wins the race, from there on.

        Raises
        ------
        DataError, ConfigError
            As `infer`.
        """
        way: list[np.ndarray] = []
        found = self._infer(
            as_array("image", image, may_miss=True)[None],
            None if mask is None else as_array("mask", mask)[None],
            config,
            None if given is None else as_numbers("given", given)[None],
            seed,
            lambda latents: way.append(latents[0]),
        )
        return Trace(np.stack(way), found)

    @own_switches()
    def _infer(
        self,
        images: Any,
        mask: Any,
        config: InferConfig | None,
        given: Any,
        seed: int,
        watch: OnLatents | None,
    ) -> Inference:
        config = InferConfig() if config is None else config
        seed = as_plain(seed)
        check_seed("seed", seed)
        by = self.standardization
        images = check_samples(images, self.image_shape, by)
        if mask is not None:
            mask = as_mask(mask, len(images), self.image_shape)
        dims = self.latent_dims
        if given is not None:
            given = as_numbers("given", given)
            if given.ndim != 3 or given.shape[::2] != (len(images), dims):
                raise DataError(
                    f"given must be ({len(images)}, m, {dims}), got {tuple(given.shape)}."
                )
            if not np.isfinite(given).all():
                raise DataError("given holds values that are not finite.")
        parts = []
        for start in range(0, max(1, len(images)), _INFERRED_AT_ONCE):
            chosen = slice(start, start + _INFERRED_AT_ONCE)
            hidden = None if mask is None else to_weights(mask[chosen], start)
            doubt_range(images[chosen], by, self.pixel_range)
            rows, weights = to_rows(images[chosen], start, hidden, by, self.pixel_range)
            mine = None if given is None else given[chosen]
            find = infer_apart if mask is None else infer_latents
            with one_inference:
                plan = self.plan(config, seed)
                parts.append(find(plan, rows, weights=weights, given=mine, watch=watch))
        return join_inferences(parts)

    def reconstruct(
        self, images: Any, mask: Any = None, *, config: InferConfig | None = None, seed: int = 0
    ) -> Float[np.ndarray, "n ..."]:
        """Reconstruct images, those pixels too that a mask hides; see `infer`.

        Returns
        -------
        (n, height, width, channels) float32
            Pixels from 0 to 1; not a number for an image without a pixel that counts. Of features
            (n, n_features), in their own units.
        """
        return self.decode_inferred(self.infer(images, mask, config=config, seed=seed))

    def decode_inferred(self, found: Inference) -> Float[np.ndarray, "n ..."]:
        """The reconstructions of what `infer` found, as `reconstruct` returns them."""
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
        """Images on the way from one latent or image to another.

        Parameters
        ----------
        a, b : (latent_dims,) or an image
            A vector of `latent_dims` numbers is a latent; of an image, see `infer`, the latent is
            inferred.
        n : int
            How many, both ends among them.
        path : str
            `linear`, `spherical` (around the mean latent; Shoemake 1985) or `data` (from one
            training latent to the next where they lie dense; Groisman et al. 2022).
        config, seed
            Of the inference of images.

        Returns
        -------
        Generated
            `n` latents, and the images that they decode to.

        Raises
        ------
        DataError
            If an end is neither a latent nor an image, or is not finite.
        ConfigError
            If there is no such path, or `n` is below 2.
        """
        ends = [self._as_latent(name, end, config, seed) for name, end in (("a", a), ("b", b))]
        latents = latent_path(ends[0], ends[1], as_plain(n), path, self.latents)
        return Generated(latents, self.decode(latents))

    def sample(self, n: int, *, seed: int = 0) -> Generated:
        """Draw new images: latents from `density`, decoded.

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
            If `n` is below 1, or the seed out of range.
        """
        n, seed = as_plain(n), as_plain(seed)
        check_positive_int("n", n)
        check_seed("seed", seed)
        latents = self.density.sample(n, seed)
        return Generated(latents, self.decode(latents))

    @cached_property
    def density(self) -> Density:
        """The mixture of Gaussians fitted to the training latents; made at first use."""
        return Density(self.latents)

    def _decode(self, latents: Float[np.ndarray, "n dims"]) -> Any:
        if self.standardization is None:
            return _decode_pixels(self.decoder, latents, self.scaler)
        return unstandardize(np.asarray(decode(self.decoder, latents)), self.standardization)

    def _as_latent(
        self, name: str, end: Any, config: InferConfig | None, seed: int
    ) -> Float[np.ndarray, " dims"]:
        end = as_array(name, end)
        if end.shape == (self.latent_dims,):
            latent = as_numbers(name, end)
            if not np.isfinite(latent).all():
                raise DataError(f"{name} is a latent with values that are not finite.")
            return latent
        shapes = {self.sample_shape, (math.prod(self.sample_shape),)}
        if self.sample_shape[2:] == (1,):
            shapes.add(self.sample_shape[:2])
        if end.shape not in shapes:
            raise DataError(
                f"{name} must be a latent of {self.latent_dims} numbers or an image of "
                f"{' × '.join(map(str, self.sample_shape))}, got {end.shape}."
            )
        return self.infer(end[None], config=config, seed=seed).latents[0]

    def plan(self, config: InferConfig, seed: int) -> InferencePlan:
        """What inference by this model needs, made once (`plan_inference`); `seed`: of starts."""
        # All that plans differ in, but for the configuration that they carry.
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
