"""Reading the images of the next window in a thread while the device works on another."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from autodecoder.core.latent_starts import RowStarts
from autodecoder.core.order import Window, Windows
from autodecoder.core.runs import Images
from autodecoder.core.switches import own_switches


class Loaded(NamedTuple):
    """The images of a window, on the device."""

    drawn: Window
    rows: Int[np.ndarray, " k"]
    """Indices of the images; padding of a shard repeats its last image."""
    is_row: Bool[np.ndarray, " k"]
    """False for padding of a shard."""
    images: Num[Array, "k pixels"]
    mask: Bool[Array, "k pixels"] | None
    starts: Float[np.ndarray, "k dims"] | None
    """Initial latents of the images, if requested."""


class WindowReader:
    """Reads one window after another.

    Parameters
    ----------
    images : Images
        The training images as an array, or an object that reads rows on request.
    windows : Windows
    starts : RowStarts
    """

    def __init__(self, images: Images, windows: Windows, starts: RowStarts) -> None:
        self._images: Any = images.train
        self._mask = images.train_mask
        self._windows, self._starts = windows, starts
        self._thread = ThreadPoolExecutor(1, "autodecoder-read")

    def begin(self, draw: Callable[[], Window], start_key: Any = None) -> Future[Loaded]:
        """Begin to read the images of a window.

        Parameters
        ----------
        draw : callable
            Returns the images to read.
        start_key : key, optional
            Key for the initial latents, which are then returned too; given in the first epoch.
        """
        return self._thread.submit(self._read, draw, start_key)

    @own_switches()
    def _read(self, draw: Callable[[], Window], start_key: Any) -> Loaded:
        drawn = draw()
        places, lengths = np.asarray(drawn.rows), self._windows.lengths
        is_row = places < lengths
        rows = (np.minimum(places, lengths - 1) + self._windows.firsts[:, None]).ravel()
        images, starts = self._images[rows], None
        if start_key is not None:
            starts = self._starts.take(start_key, rows, images)
        mask = None if self._mask is None else jnp.asarray(np.asarray(self._mask)[rows])
        # May share memory with the device, since no one else holds this array.
        images = jax.device_put(images)
        return Loaded(drawn, rows, is_row.ravel(), images, mask, starts)

    def close(self) -> None:
        """Stop reading."""
        self._thread.shutdown(cancel_futures=True)
