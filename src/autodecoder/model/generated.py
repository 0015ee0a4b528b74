"""Results of a model that hold several arrays."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from autodecoder.brief import brief
from autodecoder.core.infer import Inference


@brief
class Generated(NamedTuple):
    """Latents and their decoded images."""

    latents: Float[np.ndarray, "n dims"]
    images: Float[np.ndarray, "n ..."]
    """As `Model.decode` returns them."""


@brief
class Trace(NamedTuple):
    """The course of the latent inference of one image."""

    latents: Float[np.ndarray, "n_places dims"]
    """The latents from start to end, one row per tried step; for Adam only the final latent."""
    found: Inference
    """The result of `infer` for this image."""
