"""A trained decoder with its latents, and the directory that holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from autodecoder.config import DecoderConfig, parse_arch, to_dict
from autodecoder.core.decoder import Decoder, init_decoder
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.tree import arrays_to_tree, tree_to_arrays
from autodecoder.errors import AutodecoderError, DataError
from autodecoder.files import read_json, read_tensors, write_json, write_tensors

#: Version of the directory's layout.
SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Model:
    """A trained decoder, and the latents of the images that it was trained and validated on."""

    decoder: Decoder
    scaler: str
    """The scaling of pixels that it was trained with."""
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    train_latents: Float[np.ndarray, "n_train dims"]
    val_latents: Float[np.ndarray, "n_val dims"]
    """Under the co-trained protocol."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: plain values."""


def save_model(model: Model, folder: Path) -> None:
    """Write a model directory: `config.json`, `decoder.safetensors`, `latents.safetensors`.

    Each file is written whole or not at all; `config.json`, without which the directory is no
    model, comes last.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    (folder / "config.json").unlink(missing_ok=True)
    write_tensors(folder / "decoder.safetensors", tree_to_arrays(model.decoder), {})
    latents = {"train": model.train_latents, "val": model.val_latents}
    write_tensors(folder / "latents.safetensors", latents, {})
    content = {
        "schema": SCHEMA,
        "decoder": to_dict(model.decoder.config),
        "scaler": model.scaler,
        "image_shape": list(model.image_shape),
        "about": dict(model.about),
    }
    write_json(folder / "config.json", content)


def load_model(folder: Path | str) -> Model:
    """Read a model directory. Nothing in it is executed; every array is checked.

    Raises
    ------
    DataError
        If the directory holds no model, one of a newer version, or a damaged one.
    """
    folder = Path(folder)
    content = read_json(folder / "config.json")
    if not isinstance(content.get("schema"), int) or content["schema"] > SCHEMA:
        raise DataError(
            f"{folder} holds a model of layout {content.get('schema')}, this version reads up to "
            f"{SCHEMA}: update autodecoder."
        )
    arrays, _ = read_tensors(folder / "decoder.safetensors")
    latents, _ = read_tensors(folder / "latents.safetensors")
    try:
        about = dict(content["decoder"])
        arch = about["arch"]
        about["arch"] = parse_arch(arch) if isinstance(arch, str) else tuple(arch)
        config = DecoderConfig(**about)
        height, width, channels = content["image_shape"]
        activation = SCALINGS[content["scaler"]].output_activation
        n_pixels = height * width * channels
        like = jax.eval_shape(lambda: init_decoder(jax.random.key(0), config, n_pixels, activation))
        decoder = jax.tree.map(jax.numpy.asarray, arrays_to_tree(like, arrays))
        for name in ("train", "val"):
            if latents[name].ndim != 2 or latents[name].shape[1] != config.latent_dims:
                raise ValueError(f"latents of {config.latent_dims} dimensions are missing")
        return Model(
            decoder,
            content["scaler"],
            (height, width, channels),
            latents["train"],
            latents["val"],
            content.get("about", {}),
        )
    except (KeyError, TypeError, ValueError, AutodecoderError) as error:
        raise DataError(f"the model in {folder} is damaged: {error}.") from error
