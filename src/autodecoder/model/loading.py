"""Reading model directories, of which nothing is executed: see `saving`."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from autodecoder.config import (
    LOSSES,
    OWN,
    SCHEMA,
    DecoderConfig,
    arch_widths,
    check_loss,
    complete_settings,
    parse_range,
    read_arch,
)
from autodecoder.config.rules import check_choice, check_positive_int
from autodecoder.core.decoders import Decoder, own_decoder, shape_decoder
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.switches import own_switches
from autodecoder.core.tree import arrays_to_tree, name_leaves
from autodecoder.data.names import FILE as NAMES
from autodecoder.data.names import Named, read_names
from autodecoder.data.pixels import as_labels
from autodecoder.errors import AutodecoderError, ConfigError, DataError, MemoryLimitError
from autodecoder.files import read_json, unreadable
from autodecoder.model.arrays import (
    DEVIATIONS,
    HISTORY,
    STANDARDIZATION,
    TRAINING,
    check_deviations,
    compare_arrays,
    latents_check,
    read_training,
)
from autodecoder.model.model import Model
from autodecoder.model.saving import FILES, model_file, table_checksum
from autodecoder.model.tables import Standardization
from autodecoder.paths import user_path
from autodecoder.tensors import Shapes, misplaced, read_tensors

#: Up to this many layers of a decoder are traced without comparing them to its number of arrays.
_TRACED = 100


@own_switches()
def load_model(folder: Path | str, *, decoder: eqx.Module | None = None) -> Model:
    """Read a model directory, of this version's layout or an earlier one.

    Nothing in it is executed. Shapes and dtypes in the files are compared with the configuration
    before memory is allocated.

    Parameters
    ----------
    folder : Path or str
    decoder : equinox.Module, optional
        For a model whose decoder is a module of your own, see `fit_model`: a module with arrays of
        the same shapes, which are replaced by those of the files.

    Raises
    ------
    DataError
        If the directory holds no model, a study, a model of a newer version, a damaged one, or
        files of several models; if the model needs `decoder` and it is missing or does not fit; if
        `decoder` is given and the model does not need it.
    MemoryLimitError
        If its files are larger than the free memory.
    """
    folder = user_path(folder, "folder")
    before = _stamps(folder)
    try:
        return _read(folder, decoder)
    except DataError:
        if _stamps(folder) == before:
            raise
    return _read(folder, decoder)  # the model was replaced while it was read


def _stamps(folder: Path) -> list[tuple[Path, int, int]]:
    """What differs if files of a model were replaced."""
    found = []
    for name in (*FILES, TRAINING):
        path = model_file(folder, name)
        with contextlib.suppress(OSError):
            about = path.stat()
            found.append((path, about.st_ino, about.st_mtime_ns))
    return found


def _read(folder: Path, decoder: eqx.Module | None) -> Model:
    content = read_json(model_file(folder, "config.json"))
    if "study" in content:
        raise DataError(
            f"{folder} is the folder of a study; its model is in {folder / 'best'}, unless the "
            "study ran with --nosave_best_model."
        )
    schema = content.get("schema")
    if type(schema) is not int or schema < 1:
        raise DataError(f"{folder / 'config.json'} describes no model.")
    if schema > SCHEMA:
        raise DataError(
            f"{folder} holds a model of layout {schema}, this version reads up to {SCHEMA}: "
            "update autodecoder."
        )
    try:
        return _build(folder, content, decoder)
    except KeyError as error:
        raise DataError(f"the model in {folder} is damaged: {error} is missing.") from error
    except MemoryLimitError:
        raise
    except (TypeError, ValueError, OverflowError, AutodecoderError) as error:
        if isinstance(error, DataError) and str(folder) in str(error):
            raise
        reason = str(error).removesuffix(".")
        raise DataError(f"the model in {folder} is damaged: {reason}.") from error


def _build(folder: Path, content: Mapping[str, Any], module: eqx.Module | None) -> Model:
    described = dict(content["decoder"])
    described["arch"] = read_arch(described["arch"])
    config = DecoderConfig(**described)
    scaler = content["scaler"]
    check_choice("scaler", scaler, SCALINGS)
    loss = content["loss"] if content["schema"] > 3 else "mse"
    check_choice("loss", loss, LOSSES)
    check_loss(loss, scaler)
    height, width, channels = sides = content["image_shape"]
    for side in sides:
        check_positive_int("each side of image_shape", side)
    is_table = scaler == "standardize"
    if is_table and (height, channels) != (1, 1):
        raise ValueError(f"image_shape of a table must be 1, features, 1, got {sides}")
    pixel_range = content.get("pixel_range")
    about = content.get("about", {})
    if not isinstance(about, dict):
        raise ValueError("about must be an object")
    if "settings" in about:
        settings = complete_settings(about["settings"], content["schema"], whole=False)
        about = {**about, "settings": settings}
    n_pixels = height * width * channels
    check_positive_int("the number of pixels in image_shape", n_pixels)
    checksums = content.get("checksums", {})  # none in files of earlier versions
    if not isinstance(checksums, dict):
        raise ValueError("checksums must be an object")
    own = _own_decoder(folder, config, module, n_pixels)
    like: Any = None

    def check_decoder(shapes: Shapes) -> None:
        nonlocal like
        # Checked first, since tracing many layers takes long.
        n_layers = len(arch_widths(config.arch))
        if n_layers > max(_TRACED, len(shapes)):
            raise ValueError("its decoder has fewer arrays than config.json has layers")
        activation = SCALINGS[scaler].output_activation
        like = own or shape_decoder(config, (height, width, channels), activation)
        wanted = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in name_leaves(like).items()}
        if is_table:
            for name in Standardization._fields:
                wanted[STANDARDIZATION + name] = ((width,), "float64")
        try:
            compare_arrays(shapes, wanted)
        except ValueError as error:
            if own is None:
                raise
            raise _misfit(folder, error) from error

    def read(name: str, check: Callable[[Shapes], None]) -> dict[str, np.ndarray]:
        return read_tensors(model_file(folder, name), check, checksums.get(name))[0]

    arrays = read("decoder.safetensors", check_decoder)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("its decoder has weights that are not finite")
    found = read("latents.safetensors", latents_check(config.latent_dims))
    for array in found.values():  # read-only, like the arrays of a fitted model
        array.setflags(write=False)
    standardization = None
    if is_table:
        by = (arrays.pop(STANDARDIZATION + name) for name in Standardization._fields)
        standardization = Standardization(*by)
        if (standardization.std < 0).any():
            raise ValueError("its features have standard deviations below 0")
    history = {
        name.removeprefix(HISTORY): values
        for name, values in found.items()
        if name.startswith(HISTORY)
    }
    # Without `names` in config.json, such a file belongs to another model.
    train = val = Named(None, None)
    if content.get("names") is True:
        n = (len(found["train"]), len(found["val"]))
        train, val = _read_table(model_file(folder, NAMES), *n, checksums.get(NAMES))
    labels = {
        name: as_labels(name, found[name], len(found[name]))
        for name in ("train_labels", "val_labels")
        if name in found
    }
    decoder = jax.tree.map(jax.numpy.asarray, arrays_to_tree(like, arrays))
    training = None
    if content.get("training") is True:
        n, path = (len(found["train"]), len(found["val"])), model_file(folder, TRAINING)
        training = read_training(path, decoder, *n, checksums.get(TRAINING))
    deviations = found.get(DEVIATIONS)
    if deviations is not None:
        check_deviations(deviations, found["train"].shape)
    return Model(
        decoder=decoder,
        scaler=scaler,
        loss=loss,
        image_shape=(height, width, channels),
        latents=found["train"],
        val_latents=found["val"],
        labels=labels.get("train_labels"),
        val_labels=labels.get("val_labels"),
        history=history,
        standardization=standardization,
        pixel_range=None if pixel_range is None else parse_range(pixel_range),
        about=about,
        names=train.names,
        val_names=val.names,
        columns=train.columns,
        val_columns=val.columns,
        latent_deviations=deviations,
        training=training,
    )


def _read_table(path: Path, n: int, n_val: int, crc32: str | None) -> tuple[Named, Named]:
    found = read_names(path, n, n_val)
    try:
        is_own = crc32 in (None, table_checksum(path.read_bytes()))
    except OSError as error:
        raise unreadable(path, error) from error
    if not is_own:
        raise misplaced(path)
    return found


def _own_decoder(
    folder: Path, config: DecoderConfig, module: eqx.Module | None, n_pixels: int
) -> Decoder | None:
    """The given module as a decoder; `None` where none is needed."""
    if config.arch != OWN:
        if module is None:
            return None
        raise DataError(f"{folder} describes its decoder completely: decoder must not be given.")
    if module is None:
        raise DataError(
            f"the decoder in {folder} is a user's own module, whose code is not in the folder: "
            "give such a module from Python, load_model(folder, decoder=module)."
        )
    try:
        return own_decoder(module, config.latent_dims, n_pixels)
    except ConfigError as error:
        raise _misfit(folder, error) from error


def _misfit(folder: Path, error: Exception) -> DataError:
    reason = str(error).removesuffix(".")
    return DataError(f"the given decoder is not the one whose arrays are in {folder}: {reason}.")
