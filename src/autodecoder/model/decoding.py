"""What a model holds, and decoding."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from autodecoder.core.blocks import by_blocks
from autodecoder.core.decoders import Decoder, decode
from autodecoder.core.plan import InferencePlan
from autodecoder.core.scaling import to_unit
from autodecoder.core.switches import own_switches
from autodecoder.core.training import Training
from autodecoder.data.columns import Columns
from autodecoder.data.pixels import PixelRange, as_numbers
from autodecoder.errors import DataError
from autodecoder.model.tables import Standardization, unstandardize

#: Size of blocks in decoding. It is fixed, so that an image has the same bits in any batch.
_DECODED_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class DecodingModel:
    """The arrays and plain values of a `Model`, and its decoder."""

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
    columns: Columns = field(default_factory=dict)
    """What else is told of the training images: texts, by the name of the column."""
    val_columns: Columns = field(default_factory=dict)
    """What else is told of the validation images."""
    latent_deviations: Float[np.ndarray, "n_train dims"] | None = None
    """Standard deviation of each training image's latent, per dimension, of a fit with `codes`
    gaussian; `latents` are then the means."""
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
        latents = self.as_latents(latents)
        images = np.empty((len(latents), math.prod(self.sample_shape)), np.float32)
        by_blocks(
            lambda rows, _: self._decode(latents[rows]),
            np.arange(len(latents)),
            _DECODED_AT_ONCE,
            images,
        )
        return images.reshape(-1, *self.sample_shape)

    def _decode(self, latents: Float[np.ndarray, "n dims"]) -> Any:
        if self.standardization is None:
            return _decode_pixels(self.decoder, latents, self.scaler)
        return unstandardize(np.asarray(decode(self.decoder, latents)), self.standardization)

    def as_latents(self, latents: Any) -> Float[np.ndarray, "n dims"]:
        """Latents as an array of shape `(n, latent_dims)`, or a `DataError`."""
        latents = as_numbers("latents", latents)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dims:
            raise DataError(f"latents must be (n, {self.latent_dims}), got {tuple(latents.shape)}.")
        return latents


@jax.jit(static_argnames="scaler")
def _decode_pixels(decoder: Decoder, latents: Array, scaler: str) -> Array:
    return to_unit(decoder.decode(latents), scaler)
