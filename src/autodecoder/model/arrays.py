"""Arrays in the files of a model: what they must be."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from autodecoder.config import FIRST_MOMENT_DTYPES
from autodecoder.core.decoders import Decoder
from autodecoder.core.mixture import Mixture
from autodecoder.core.priors import Prior
from autodecoder.core.training import Training, fresh_training
from autodecoder.core.tree import arrays_to_tree, name_leaves
from autodecoder.errors import DataError
from autodecoder.tensors import Shapes, read_tensors

#: Names of arrays in `latents.safetensors`: metrics of the epochs, and standard deviations.
HISTORY, DEVIATIONS = "history/", "train_deviations"

#: Prefix of arrays in `decoder.safetensors` that scale the columns of a table.
STANDARDIZATION = "standardization/"

#: File of the training state of a model that can be continued.
TRAINING = "training.safetensors"


def latents_check(dims: int) -> Callable[[Shapes], None]:
    """A check of the arrays of `latents.safetensors`."""

    def check(shapes: Shapes) -> None:
        n = {name: shapes.get(name, ((), ""))[0][:1] for name in ("train", "val")}
        wanted: Shapes = {name: ((*count, dims), "float32") for name, count in n.items()}
        for name, (shape, _) in shapes.items():
            if name.startswith(HISTORY):
                wanted[name] = (shape if len(shape) == 1 else (0,), "float32")
        for name in ("train", "val"):
            if f"{name}_labels" in shapes:
                wanted[f"{name}_labels"] = (n[name], "int32")
        if DEVIATIONS in shapes:
            wanted[DEVIATIONS] = wanted["train"]
        compare_arrays(shapes, wanted)

    return check


def check_deviations(deviations: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Standard deviations of latents as float32, or a `DataError`."""
    checked = np.asarray(deviations, np.float32)
    if checked.shape != shape:
        raise DataError(f"latent_deviations must be {shape}, like latents, got {checked.shape}.")
    if (checked < 0).any():
        raise DataError("latent_deviations must not be below 0.")
    return checked


def compare_arrays(found: Shapes, wanted: Shapes) -> None:
    """Compare names, shapes and dtypes of arrays with the expected ones.

    Raises
    ------
    ValueError
        If they differ.
    """
    for name, (shape, dtype) in wanted.items():
        if name not in found:
            raise ValueError(f"{name} is missing")
        if found[name] != (shape, dtype):
            other, kind = found[name]
            raise ValueError(f"{name} must be {dtype}{list(shape)}, got {kind}{list(other)}")
    if extra := sorted(set(found) - set(wanted)):
        raise ValueError(f"{extra[0]} is an array that config.json does not account for")


def read_training(
    path: Path, decoder: Decoder, n: int, n_val: int, crc32: str | None = None
) -> Training:
    """Read the training state of a fit to `n` images; `crc32` is its checksum by `config.json`.

    Raises
    ------
    DataError, ValueError
        If the file is damaged, or does not fit.
    """
    like: Any = None

    def check(shapes: Shapes) -> None:
        nonlocal like
        # The shape and dtype of the latents' moments tell how they are stored.
        by_row = shapes.get("train/square", ((), ""))[0][1:] == (1,)
        dtype = shapes.get("train/mean", ((), ""))[1]
        like = fresh_training(
            decoder,
            n,
            n_val,
            jax.random.key(0),
            0,
            "row" if by_row else "coordinate",
            dtype if dtype in FIRST_MOMENT_DTYPES else "float32",
            _prior_like(shapes),
            "gaussian" if "train/log_variances" in shapes else "point",
        )
        leaves = name_leaves(like).items()
        compare_arrays(shapes, {name: (leaf.shape, str(leaf.dtype)) for name, leaf in leaves})

    arrays, _ = read_tensors(path, check, crc32)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("its training state has values that are not finite")
    return arrays_to_tree(like, arrays)


def _prior_like(shapes: Shapes) -> Prior | None:
    """The prior whose arrays a training state holds, without their values."""
    if "prior/noise" not in shapes:
        return None
    sides = [shapes.get(f"prior/mixture/{f.name}", ((), ""))[0] for f in fields(Mixture)]
    return Prior(Mixture(*map(jax.numpy.zeros, sides)), jax.numpy.zeros(()))
