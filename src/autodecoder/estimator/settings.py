"""What the parameters of an estimator mean for its samples, as `fit_model` takes it."""

import math
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Shaped
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from autodecoder.config import (
    ACTIVATIONS,
    CODES,
    LATENT_STARTS,
    LONG,
    OWN,
    PRIORS,
    RECIPES,
    DecoderConfig,
    fit_config,
    learning_rate_for,
    parse_range,
    read_arch,
    recipe_values,
)
from autodecoder.data.pixels import PixelRange
from autodecoder.errors import ConfigError
from autodecoder.estimator.samples import find_pixel_range, read_image_shape
from autodecoder.model import Model

#: Values that the parameters may have, in scikit-learn's form.
CONSTRAINTS: dict[str, list[Any]] = {
    "latent_dims": [Interval(Integral, 1, None, closed="left")],
    "arch": [str, "array-like"],
    "decoder": [eqx.Module, None],
    "image_shape": ["array-like", None],
    "scaler": [StrOptions({"auto", "standard", "zero_one", "identity", "standardize"})],
    "pixel_range": ["array-like", None],
    "num_epochs": [Interval(Integral, 1, None, closed="left"), None],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
    "recipe": [StrOptions(set(RECIPES))],
    "latent_start": [StrOptions(set(LATENT_STARTS)), None],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "batch_norm": ["boolean", None],
    "dropout_rate": [Interval(Real, 0, 1, closed="left")],
    "prior": [StrOptions(set(PRIORS))],
    "codes": [StrOptions(set(CODES))],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "callback": [callable, None],
    "verbose": ["verbose"],
}
#: One in so many epochs of a fit is enough to go on with further samples.
_SHARE_OF_MORE = 10


def count_epochs(
    estimator: Any, samples: Shaped[np.ndarray, "n ..."], *, goes_on: bool = False
) -> int:
    """Passes over samples: those asked for, or what `LONG` gives; fewer where a fit goes on."""
    if estimator.num_epochs is not None:
        n = int(estimator.num_epochs)
    else:
        n = LONG.epochs_for(len(samples), int(estimator.batch_size))
    return max(1, n // _SHARE_OF_MORE) if goes_on else n


def fit_settings(
    estimator: Any, samples: Shaped[np.ndarray, "n ..."], start: Model | None, num_epochs: int
) -> dict[str, Any]:
    """Arguments of `fit_model` from the parameters of an `AutoDecoder`.

    Parameters
    ----------
    estimator : AutoDecoder
    samples : (n, ...)
    start : Model, optional
        That the fit goes on from, with decoder, scaler and range of its own.
    num_epochs : int
        Of the whole fit.
    """
    arch = read_arch(estimator.arch) if estimator.decoder is None else OWN
    rate = _or(estimator.learning_rate, learning_rate_for(estimator.recipe, arch))
    is_own = estimator.decoder is not None and start is None
    scaler = _choose_scaler(estimator, samples)
    fit = fit_config(
        estimator.recipe,
        num_epochs=num_epochs,
        batch_size=int(estimator.batch_size),
        prior=estimator.prior,
        codes=estimator.codes,
    )
    return {
        "decoder": _choose_decoder(estimator, start),
        "latent_dims": int(estimator.latent_dims) if is_own else None,
        "fit": replace(
            fit,
            latent_start=_or(estimator.latent_start, fit.latent_start),
            n_components=min(fit.n_components, len(samples)),
        ),
        "learning_rate": float(rate),
        "scaler": None if estimator.scaler == "auto" and start else scaler,
        "pixel_range": _choose_range(estimator, samples, scaler if start is None else None),
        "seed": int(check_random_state(estimator.random_state).randint(2**31)),
        "callback": estimator.callback,
        "verbose": bool(estimator.verbose),
    }


def choose_shape(estimator: Any, samples: Shaped[np.ndarray, "n ..."]) -> tuple[int, ...]:
    """The shape in which a sample is trained on: an image, or as it is."""
    shape = samples.shape[1:]
    if estimator.image_shape is None:
        return shape
    return read_image_shape(estimator.image_shape, math.prod(shape))


def _choose_decoder(estimator: Any, start: Model | None) -> Any:
    """A decoder of the user's own, but that of a model goes on; or one to be drawn."""
    if estimator.decoder is not None:
        return estimator.decoder if start is None else None
    by_recipe = recipe_values(DecoderConfig, estimator.recipe)
    return DecoderConfig(
        arch=read_arch(estimator.arch),
        latent_dims=int(estimator.latent_dims),
        activation=estimator.activation,
        batch_norm=bool(_or(estimator.batch_norm, by_recipe["batch_norm"])),
        dropout_rate=float(estimator.dropout_rate),
    )


def _choose_scaler(estimator: Any, samples: Shaped[np.ndarray, "n ..."]) -> str:
    if estimator.scaler == "standardize" and estimator.image_shape is not None:
        raise ConfigError("image_shape is for pixels: choose another scaler than standardize.")
    if estimator.scaler != "auto":
        return estimator.scaler
    told = estimator.pixel_range is not None or estimator.image_shape is not None
    are_pixels = told or samples.dtype == np.uint8 or samples.ndim > 2
    return "standard" if are_pixels else "standardize"


def _choose_range(
    estimator: Any, samples: Shaped[np.ndarray, "n ..."], scaler: str | None
) -> PixelRange | None:
    """By the parameter; else by the samples, where they are pixels of a first fit."""
    if estimator.pixel_range is not None:
        return parse_range(estimator.pixel_range)
    return None if scaler in (None, "standardize") else find_pixel_range(samples)


def _or(given: Any, default: Any) -> Any:
    return default if given is None else given
