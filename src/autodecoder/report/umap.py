"""UMAP maps of latents of many dimensions, by umap-learn if it is installed."""

import warnings
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int

from autodecoder.errors import ConfigError, DataError

#: Most latents that are mapped; they are drawn at random.
_MOST = 10_000
_LEAST = 20


def check_umap() -> None:
    """Check that umap-learn is installed.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if find_spec("umap") is None:
        raise ConfigError("umap-learn is not installed; pip install 'autodecoder[umap]' brings it.")


def map_latents(
    latents: Float[np.ndarray, "n dims"],
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k 2"]]:
    """Map latents to two dimensions; returns the rows that are mapped, and their places.

    Raises
    ------
    ConfigError
        If umap-learn is not installed.
    DataError
        If there are fewer than 20 latents.

    References
    ----------
    McInnes, Healy & Melville 2018, "UMAP: Uniform manifold approximation and projection for
    dimension reduction".
    """
    check_umap()
    finite = np.flatnonzero(np.isfinite(latents).all(axis=1))
    if len(finite) < _LEAST:
        raise DataError(f"UMAP needs {_LEAST} latents at least, got {len(finite)}.")
    rows = np.sort(np.random.default_rng(0).permutation(finite)[:_MOST])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its libraries, and that a seed means one thread
        from umap import UMAP  # pyright: ignore[reportMissingImports]

        places = UMAP(random_state=0).fit_transform(latents[rows])
    return rows, np.asarray(places, np.float64)
