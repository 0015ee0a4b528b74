"""The directory that holds a model: arrays and plain values, nothing that could be executed."""

from pathlib import Path

import jax
import numpy as np

from autodecoder.config import DecoderConfig, parse_arch, to_dict
from autodecoder.config.rules import check_choice, check_positive_int
from autodecoder.core.decoder import init_decoder
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.tree import arrays_to_tree, tree_to_arrays
from autodecoder.errors import AutodecoderError, DataError, OutputError
from autodecoder.files import read_json, read_tensors, write_json, write_tensors
from autodecoder.model.model import Model

#: Version of the directory's layout.
SCHEMA = 1


def save_model(model: Model, folder: Path) -> None:
    """Write a model directory: `config.json`, `decoder.safetensors`, `latents.safetensors`.

    Each file is written whole or not at all; `config.json`, without which the directory is no
    model, comes last.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    try:
        (folder / "config.json").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot hold a model: {error.strerror}.") from error
    write_tensors(folder / "decoder.safetensors", tree_to_arrays(model.decoder), {})
    latents = {"train": model.latents, "val": model.val_latents}
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
        If the directory holds no model, a study, one of a newer version, or a damaged one.
    """
    folder = Path(folder)
    content = read_json(folder / "config.json")
    if "study" in content:
        raise DataError(
            f"{folder} is the folder of a study; its model is in {folder / 'best'}, if the study "
            "ran with --save_best_model."
        )
    schema = content.get("schema")
    if type(schema) is not int or schema < 1:
        raise DataError(f"{folder / 'config.json'} describes no model.")
    if schema > SCHEMA:
        raise DataError(
            f"{folder} holds a model of layout {schema}, this version reads up to {SCHEMA}: "
            "update autodecoder."
        )
    arrays, _ = read_tensors(folder / "decoder.safetensors")
    latents, _ = read_tensors(folder / "latents.safetensors")
    try:
        about = dict(content["decoder"])
        arch = about["arch"]
        about["arch"] = parse_arch(arch) if isinstance(arch, str) else tuple(arch)
        config = DecoderConfig(**about)
        check_choice("scaler", content["scaler"], SCALINGS)
        activation = SCALINGS[content["scaler"]].output_activation
        height, width, channels = sides = content["image_shape"]
        for side in sides:
            check_positive_int("each side of image_shape", side)
        n_pixels = height * width * channels
        like = jax.eval_shape(lambda: init_decoder(jax.random.key(0), config, n_pixels, activation))
        decoder = jax.tree.map(jax.numpy.asarray, arrays_to_tree(like, arrays))
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("its decoder has weights that are not finite")
        if len(arrays) > len(jax.tree.leaves(like)):
            raise ValueError("its decoder has arrays that config.json does not account for")
        for name in ("train", "val"):
            found = latents[name]
            if found.dtype != np.float32 or found.shape[1:] != (config.latent_dims,):
                raise ValueError(
                    f"its {name} latents must be float32[n, {config.latent_dims}], "
                    f"got {found.dtype}{list(found.shape)}"
                )
        return Model(
            decoder,
            content["scaler"],
            (height, width, channels),
            latents["train"],
            latents["val"],
            about=content.get("about", {}),
        )
    except KeyError as error:
        raise DataError(f"the model in {folder} is damaged: {error} is missing.") from error
    except (TypeError, ValueError, AutodecoderError) as error:
        reason = str(error).removesuffix(".")
        raise DataError(f"the model in {folder} is damaged: {reason}.") from error
