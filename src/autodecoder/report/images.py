"""Writing decoded samples to files: arrays, a picture, an animation or a folder of pictures."""

import contextlib
import io
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num, UInt8
from PIL import Image

from autodecoder.errors import ConfigError
from autodecoder.files import new_folder, whole_file, write_file
from autodecoder.model import Model
from autodecoder.report.placed import Writable, begin_array, lines, number
from autodecoder.report.thumbnails import enlarge, mosaic

#: Samples decoded and written at once.
_PIECE = 2000
#: Most pixels of a picture or an animation.
_MOST_PIXELS = 50_000_000
#: Images in a picture are enlarged up to this length of the longer side, in pixels; images in a
#: folder are not enlarged.
_SHOWN_SIDE = 64
#: Pixels between the images of a picture.
_GAP = 2
#: Milliseconds per frame.
_FRAME = 120


def write_samples(
    model: Model,
    latents: Num[np.ndarray, "n dims"],
    path: Path,
    *,
    in_row: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Decode latents, and write the samples to a file or a folder.

    Parameters
    ----------
    model : Model
    latents : (n, latent_dims)
    path : Path
        .npy of floats from 0 to 1; .npz of these as `images`, with `latents`; .png of all images
        in a grid; .gif of one after the other; without a suffix, a folder with a .png of each. For
        features .npy, .npz or .csv, in their own units.
    in_row : bool
        Whether the picture has one row.
    report : callable
        Called with the number of samples that are done.

    Raises
    ------
    ConfigError
        If `path` has another suffix, or a picture would be too large; see `check_kind` too.
    OutputError
        If it cannot be written; each file is complete or absent.
    """
    n = len(latents)
    kind = check_kind(model, path, n)
    pieces = _decoded(model, latents, report)
    if kind == "":
        _write_folder(pieces, n, path)
    elif kind == ".png":
        images = _to_bytes(np.concatenate(list(pieces)))
        per_row = n if in_row else _per_row(n, *images.shape[1:3])
        _save(path, [mosaic(enlarge(images, _SHOWN_SIDE), per_row, _GAP)])
    elif kind == ".gif":
        _save(path, list(enlarge(_to_bytes(np.concatenate(list(pieces))), _SHOWN_SIDE)))
    else:
        _write_arrays(pieces, (n, *model.sample_shape), latents, kind, path)


def _decoded(
    model: Model, latents: Num[np.ndarray, "n dims"], report: Callable[[int], None]
) -> Iterator[np.ndarray]:
    for start in range(0, len(latents), _PIECE):
        yield model.decode(latents[start : start + _PIECE])
        report(min(start + _PIECE, len(latents)))


def check_kind(model: Model, path: Path, n: int) -> str:
    """The kind of file to write, by the suffix of its path; "" is a folder.

    Raises
    ------
    ConfigError
        If there is no such kind for samples of this model, or a picture of `n` would be too large.
    """
    kind = "" if path.is_dir() else path.suffix.lower()
    if model.standardization is not None:
        if kind in ("", ".png", ".gif"):
            raise ConfigError(
                f"a model of features has no pictures, got {path}; out must end in .npy, .npz or "
                ".csv."
            )
        kinds = (".npy", ".npz", ".csv")
        if kind not in kinds:
            raise ConfigError(f"out must end in .npy, .npz or .csv, got {path}.")
        return kind
    if kind not in ("", ".npy", ".npz", ".png", ".gif"):
        raise ConfigError(
            "out must end in .npy, .npz, .png or .gif, or be a folder, without a suffix, got "
            f"{path}."
        )
    height, width, channels = model.image_shape
    if kind in ("", ".png", ".gif") and channels not in (1, 3):
        raise ConfigError(
            f"pictures have 1 or 3 channels, but the images of the model {channels}; out must end "
            "in .npy or .npz."
        )
    if kind in (".png", ".gif"):
        if n < 1:
            raise ConfigError(f"a {kind} must show one image or more, got {n}.")
        factor = max(1, _SHOWN_SIDE // max(height, width))
        n_pixels = n * (height * factor + _GAP) * (width * factor + _GAP)
        if n_pixels > _MOST_PIXELS:
            raise ConfigError(
                f"a {kind} must have {_MOST_PIXELS:,} pixels or fewer, but {n:,} images take "
                f"{n_pixels:,}; a folder, without a suffix, holds them all."
            )
    return kind


def _write_folder(pieces: Iterator[np.ndarray], n: int, folder: Path) -> None:
    new_folder(folder)
    digits, k = len(str(max(n - 1, 0))), 0
    for piece in pieces:
        for image in _to_bytes(piece):
            _save(folder / f"{k:0{digits}}.png", [image])
            k += 1


def _write_arrays(
    pieces: Iterator[np.ndarray],
    shape: tuple[int, ...],
    latents: np.ndarray,
    kind: str,
    path: Path,
) -> None:
    """Write arrays piece by piece, to limit memory."""
    with contextlib.ExitStack() as stack:
        file: Writable = stack.enter_context(whole_file(path))
        if kind == ".csv":
            file.write(lines([[f"feature_{k}" for k in range(shape[1])]]))
            for piece in pieces:
                file.write(lines([list(map(number, row)) for row in piece]))
            return
        if kind == ".npy":
            _write_array(file, pieces, shape)
            return
        archive = stack.enter_context(zipfile.ZipFile(file, "w"))
        with archive.open("images.npy", "w", force_zip64=True) as member:
            _write_array(member, pieces, shape)
        with archive.open("latents.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.asarray(latents, "<f4"), allow_pickle=False)


def _write_array(file: Writable, pieces: Iterator[np.ndarray], shape: tuple[int, ...]) -> None:
    begin_array(file, shape)
    for piece in pieces:
        file.write(np.ascontiguousarray(piece, "<f4").tobytes())


def _to_bytes(images: Float[np.ndarray, "n height width channels"]) -> UInt8[np.ndarray, "..."]:
    return np.rint(255 * images).astype(np.uint8)


def _per_row(n: int, height: int, width: int) -> int:
    """Number of images per row that makes the picture about square."""
    return min(n, max(1, math.ceil(math.sqrt(n * height / width))))


def _save(path: Path, images: list[UInt8[np.ndarray, "height width channels"]]) -> None:
    """Save one picture, or an animation of several."""
    frames = [Image.fromarray(i[..., 0] if i.shape[2] == 1 else i) for i in images]
    buffer = io.BytesIO()
    if path.suffix.lower() == ".gif":
        frames[0].save(
            buffer, "GIF", save_all=True, append_images=frames[1:], duration=_FRAME, loop=0
        )
    else:
        frames[0].save(buffer, "PNG")
    write_file(path, buffer.getvalue())
