"""A small classifier, trained on the spot, whose last hidden layer is a space of features."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray

from autodecoder.core.switches import own_switches

#: Widths of the hidden layers; the last one holds the features.
_WIDTHS = (128, 64)
N_FEATURES = _WIDTHS[-1]
#: Images a step, steps, and the learning rate, which falls linearly to 0.
_BATCH, _STEPS, _RATE = 128, 1_500, 2e-3

#: Weights and offsets of each layer.
_Layers = list[tuple[Array, Array]]


class Classifier:
    """A dense network of two hidden layers of 128 and 64 rectified units.

    It is trained on the cross entropy by 1,500 steps of Adam (Kingma & Ba 2015).

    Parameters
    ----------
    images : (n, values)
        Pixels in [0, 1], or standardised features.
    labels : (n,)
        Their classes, counted from 0.
    seed : int
        Determines initial weights and the images of each step.
    """

    @own_switches()
    def __init__(
        self, images: Float32[np.ndarray, "n values"], labels: Int[np.ndarray, " n"], seed: int
    ) -> None:
        widths = (images.shape[1], *_WIDTHS, int(labels.max()) + 1)
        key, draw_key = jax.random.split(jax.random.key(seed))
        layers: _Layers = [
            (jax.random.normal(k, (n, m)) * np.sqrt(2 / n), jnp.zeros(m))
            for k, n, m in zip(jax.random.split(key, 3), widths[:-1], widths[1:], strict=True)
        ]
        self._layers = _train(layers, images, labels, draw_key)

    @own_switches()
    def classify(self, images: Float32[np.ndarray, "n values"]) -> Int[np.ndarray, " n"]:
        """The most likely class of each image."""
        weights, offsets = self._layers[-1]
        return np.asarray((_features(self._layers, images) @ weights + offsets).argmax(axis=1))

    @own_switches()
    def features(self, images: Float32[np.ndarray, "n values"]) -> Float32[np.ndarray, "n _"]:
        """Values of the last hidden layer, `(n, 64)`."""
        return np.asarray(_features(self._layers, images))


@jax.jit
def _features(layers: _Layers, images: Any) -> Float[Array, "n features"]:
    values = images
    for weights, offsets in layers[:-1]:
        values = jax.nn.relu(values @ weights + offsets)
    return values


@jax.jit
def _train(layers: _Layers, images: Any, labels: Any, key: PRNGKeyArray) -> _Layers:
    adam = optax.adam(optax.linear_schedule(_RATE, 0, _STEPS))

    def loss(layers: _Layers, rows: Array) -> Array:
        weights, offsets = layers[-1]
        outputs = _features(layers, images[rows]) @ weights + offsets
        entropy = optax.softmax_cross_entropy_with_integer_labels(outputs, labels[rows])
        return entropy.mean()

    def step(carry: Any, key: PRNGKeyArray) -> Any:
        layers, state = carry
        rows = jax.random.randint(key, (_BATCH,), 0, len(images))
        updates, state = adam.update(jax.grad(loss)(layers, rows), state)
        return (optax.apply_updates(layers, updates), state), None

    keys = jax.random.split(key, _STEPS)
    return jax.lax.scan(step, (layers, adam.init(layers)), keys)[0][0]
