"""What a model gives beside arrays."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from autodecoder.brief import brief
from autodecoder.core.infer import Inference


@brief
class Generated(NamedTuple):
    """Latents, and the images that they decode to."""

    latents: Float[np.ndarray, "n dims"]
    images: Float[np.ndarray, "n ..."]
    """As `Model.decode` returns them."""


@brief
class Trace(NamedTuple):
    """How the latent of an image was found."""

    latents: Float[np.ndarray, "n_places dims"]
    """From the start to the end, a row a step that was tried; of Adam the end alone."""
    found: Inference
    """What `infer` returns, of one image."""
