"""A trained decoder with its latents, and what can be done with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from autodecoder.config import InferConfig
from autodecoder.config.rules import check_seed
from autodecoder.core.decoder import Decoder, decode
from autodecoder.core.infer import Inference, InferencePlan, infer_latents, plan_inference
from autodecoder.core.scaling import to_unit
from autodecoder.data.pixels import as_images, as_mask, as_numbers, to_pixels, to_weights
from autodecoder.errors import DataError

#: Images decoded and inferred at once: a bound on memory.
_DECODED_AT_ONCE = 8192
_INFERRED_AT_ONCE = 20_000


@dataclass(frozen=True, eq=False)
class Model:
    """A trained decoder, and the latents of the images that it was trained and validated on."""

    decoder: Decoder
    scaler: str
    """The scaling of pixels that it was trained with."""
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    latents: Float[np.ndarray, "n_train dims"]
    """Of the training images."""
    val_latents: Float[np.ndarray, "n_val dims"]
    """Of the validation images, under the co-trained protocol."""
    labels: Int[np.ndarray, " n_train"] | None = None
    val_labels: Int[np.ndarray, " n_val"] | None = None
    """Classes, counted from 0; decoder and latents know nothing of them."""
    history: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Metrics of the fit, one value an epoch; not a number where they were not measured."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: plain values."""

    _plans: dict[tuple[object, ...], InferencePlan] = field(
        default_factory=dict, init=False, repr=False
    )
    """The last plan of inference, so that image after image is placed without a new one."""

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: all but the plan."""
        return self.__dict__ | {"_plans": {}}

    @property
    def latent_dims(self) -> int:
        """Length of a latent."""
        return self.decoder.config.latent_dims

    def decode(self, latents: Any) -> Float[np.ndarray, "n height width channels"]:
        """Decode latents to images.

        Parameters
        ----------
        latents : (n, latent_dims)

        Returns
        -------
        (n, height, width, channels) float32
            Pixels from 0 to 1.

        Raises
        ------
        DataError
            If the latents are of another shape.
        """
        latents = as_numbers("latents", latents)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dims:
            raise DataError(f"latents must be (n, {self.latent_dims}), got {tuple(latents.shape)}.")
        images = np.empty((len(latents), *self.image_shape), np.float32)
        for start in range(0, len(latents), _DECODED_AT_ONCE):
            rows = slice(start, start + _DECODED_AT_ONCE)
            images[rows] = _decode(self.decoder, latents[rows], self.scaler).reshape(
                -1, *self.image_shape
            )
        return images

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
        images : array
            `(n, height, width, channels)`, `(n, height, width)` for one channel, or
            `(n, pixels)`; uint8 from 0 to 255, or floats from 0 to 1, which may be anything where
            the mask hides them. May be a memory map.
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
        config = InferConfig() if config is None else config
        check_seed("seed", seed)
        images = as_images(images, self.image_shape)
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
        plan = self._plan(config, seed)
        parts = []
        for start in range(0, max(1, len(images)), _INFERRED_AT_ONCE):
            chosen = slice(start, start + _INFERRED_AT_ONCE)
            weights = None if mask is None else to_weights(mask[chosen], start)
            parts.append(
                infer_latents(
                    plan,
                    to_pixels(images[chosen], start, weights),
                    weights=weights,
                    given=None if given is None else given[chosen],
                )
            )
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def reconstruct(
        self, images: Any, mask: Any = None, *, config: InferConfig | None = None, seed: int = 0
    ) -> Float[np.ndarray, "n height width channels"]:
        """Reconstruct images, those pixels too that a mask hides; see `infer`.

        Returns
        -------
        (n, height, width, channels) float32
            Pixels from 0 to 1; not a number for an image without a pixel that counts.
        """
        return self.decode_inferred(self.infer(images, mask, config=config, seed=seed))

    def decode_inferred(self, found: Inference) -> Float[np.ndarray, "n height width channels"]:
        """The reconstructions of what `infer` found, as `reconstruct` returns them."""
        images = self.decode(found.latents)
        images[np.isnan(found.errors.loss)] = np.nan
        return images

    def _plan(self, config: InferConfig, seed: int) -> InferencePlan:
        # All that plans differ in, but for the configuration that they carry.
        key = (config.starts, config.n_starts, config.n_candidates, seed)
        plan = self._plans.get(key)
        if plan is None:
            plan = plan_inference(
                self.decoder,
                self.latents,
                scaler=self.scaler,
                config=config,
                key=jax.random.key(seed),
            )
            self._plans.clear()
            self._plans[key] = plan
        return replace(plan, config=config)


@jax.jit(static_argnames="scaler")
def _decode(decoder: Decoder, latents: Array, scaler: str) -> Array:
    return to_unit(decode(decoder, latents), scaler)
