"""A small classifier, trained on the spot, whose last hidden layer is a space of features."""

import math
import warnings

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

#: Widths of the hidden layers; the last one holds the features.
_WIDTHS = (128, 64)
#: Images a step, and steps in all; training ends earlier once the loss does not fall any more.
_BATCH, _STEPS = 128, 1_200

N_FEATURES = _WIDTHS[-1]


class Classifier:
    """A dense network of two hidden layers of 128 and 64 rectified units, trained by Adam.

    Parameters
    ----------
    images : (n, values)
        Pixels in [0, 1], or standardised features.
    labels : (n,)
        Their classes, at least two different ones.
    seed : int
        Determines initial weights and order of the images.
    """

    def __init__(
        self, images: Float[np.ndarray, "n values"], labels: Int[np.ndarray, " n"], seed: int
    ) -> None:
        batch_size = min(_BATCH, len(images))
        network = MLPClassifier(
            _WIDTHS,
            batch_size=batch_size,  # pyright: ignore[reportArgumentType]
            max_iter=math.ceil(_STEPS / math.ceil(len(images) / batch_size)),
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(images, labels)
        self._network = network

    def classify(self, images: Float[np.ndarray, "n values"]) -> Int[np.ndarray, " n"]:
        """The most likely class of each image."""
        return np.asarray(self._network.predict(images))

    def features(self, images: Float[np.ndarray, "n values"]) -> Float[np.ndarray, "n features"]:
        """Values of the last hidden layer, `(n, 64)`."""
        values = images
        layers = zip(self._network.coefs_[:-1], self._network.intercepts_[:-1], strict=True)
        for weights, offsets in layers:
            values = np.maximum(values @ weights + offsets, 0)
        return values
