"""Initial latents of a fit that are computed from its images."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, Num, PRNGKeyArray
from threadpoolctl import threadpool_limits

from autodecoder.config import STARTS_FROM_IMAGES, RunConfig
from autodecoder.core.codes import start_codes
from autodecoder.core.embedding import fit_layout
from autodecoder.core.fit import LatentStarts
from autodecoder.core.incomplete import fill_missing, fit_incomplete
from autodecoder.core.latents import MANY_ROWS, draw_normal, fit_pca, pca_scores, start_latents
from autodecoder.core.population import compiler_options
from autodecoder.core.runs import Images
from autodecoder.core.som import fit_map, map_positions

#: Maps images `(k, pixels)` to initial latents `(k, dims)`, before scaling by the spread.
Place = Callable[[Num[np.ndarray, "k pixels"]], Float[np.ndarray, "k dims"]]


def find_starts(images: Images, config: RunConfig) -> LatentStarts | None:
    """Compute initial latents of training and validation images, if the start uses the images.

    These are the starts `pca`, `som` and `neighbours`. For other starts the result is `None`. All
    runs share the result. Components, map or layout are fitted to the training images only. Missing
    pixels are first filled in by principal components of the training images. NumPy uses one
    thread, since its rounding depends on the number of threads, and workers of a search have fewer
    threads than a single process.
    """
    if not _follow_from_images(config):
        return None
    train, val = np.asarray(images.train), np.asarray(images.val)
    with threadpool_limits(1, user_api="blas"):
        train, val = _complete(train, val, images)
        place = _fit_place(train, config)
        return place(train), place(val)


def _follow_from_images(config: RunConfig) -> bool:
    return config.fit.start_for(config.decoder.latent_dims) in STARTS_FROM_IMAGES


def _fit_place(train: Any, config: RunConfig) -> Place:
    dims = config.decoder.latent_dims
    start = config.fit.start_for(dims)
    if start == "pca":
        return partial(pca_scores, fit_pca(train, n_components=dims))
    return partial(map_positions, (fit_map if start == "som" else fit_layout)(train, dims))


def _complete(
    train: Num[np.ndarray, "n_train pixels"], val: Num[np.ndarray, "n_val pixels"], images: Images
) -> tuple[Num[np.ndarray, "n_train pixels"], Num[np.ndarray, "n_val pixels"]]:
    """Fill in the missing pixels of both sets."""
    masks = (images.train_mask, images.val_mask)
    known, val_known = (None if mask is None else np.asarray(mask) for mask in masks)
    if known is None and val_known is None:
        return train, val
    pca = fit_incomplete(train, np.ones(train.shape, bool) if known is None else known)
    if known is not None:
        train = fill_missing(pca, train, known)
    return train, val if val_known is None else fill_missing(pca, val, val_known)


#: Images outside of memory are read as a whole up to this many bytes.
_FEW_BYTES = 2**28


class RowStarts:
    """Initial codes of a set that need not fit into memory, some rows at a time.

    They equal the initial codes of a run in memory, bit for bit up to 262,144 images.

    Parameters
    ----------
    images : Images
        NumPy arrays, or objects that read rows on request.
    config : RunConfig
    """

    def __init__(self, images: Images, config: RunConfig) -> None:
        self._fit, self._dims = config.fit, config.decoder.latent_dims
        self._n = len(images.train)
        self._place: Place | None = None
        self._whole: LatentStarts | None = None
        val = np.asarray(images.val)
        self.val: Float[np.ndarray, "n_val dims"] | None = None
        """Initial latents of the validation images, before scaling; `None` for other starts."""
        if not _follow_from_images(config):
            return
        are_few = self._n <= MANY_ROWS and images.train.nbytes <= _FEW_BYTES
        if are_few or isinstance(images.train, np.ndarray):
            self._whole = find_starts(images, config)
            assert self._whole is not None  # the start uses the images
            self.val = np.asarray(self._whole[1])
        else:
            with threadpool_limits(1, user_api="blas"):
                self._place = _fit_place(images.train, config)
                self.val = self._place(val)

    def take(
        self,
        key: PRNGKeyArray,
        rows: Int[np.ndarray, " k"],
        images: Num[np.ndarray, "k pixels"],
    ) -> Float[np.ndarray, "k width"]:
        """Initial codes of some training images.

        Parameters
        ----------
        key : key
            The key for the run's training latents, see `init_run`.
        rows : (k,)
            Indices of the images.
        images : (k, pixels)
            The images themselves.
        """
        shape = self._n, self._dims
        if self._whole is None and self._place is None:
            if self._fit.start_for(self._dims) == "normal":
                # Compiled with the options of `population.init_population`, for equal bits.
                options = compiler_options(optimised=False)
                draw = jax.jit(draw_normal, static_argnums=2, compiler_options=options)
                return np.asarray(start_codes(draw(key, rows, shape), self._fit))
            return self._codes(key, len(rows), None)
        if self._whole is not None:
            starts = np.asarray(self._whole[0])[rows]
        else:
            assert self._place is not None  # one of the two is there
            with threadpool_limits(1, user_api="blas"):
                starts = self._place(images)
        return self._codes(key, len(rows), starts)

    def _codes(self, key: PRNGKeyArray, n: int, starts: Any) -> Float[np.ndarray, "n width"]:
        latents = start_latents(key, self._fit, (n, self._dims), starts)
        return np.asarray(start_codes(latents, self._fit))
