"""Latent inference of many samples, piece by piece to limit memory, and files of the results."""

import contextlib
import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from autodecoder.config import InferConfig
from autodecoder.core.infer import Inference
from autodecoder.core.losses import Errors
from autodecoder.data.given import LATENT
from autodecoder.data.pixels import as_mask, to_weights
from autodecoder.files import whole_file
from autodecoder.model import Model
from autodecoder.model.samples import check_samples, to_rows

#: Number of samples that are read, placed and written at once.
_PIECE = 2000
#: Suffixes that files of latents may have.
LATENT_KINDS = (".npz", ".npy", ".csv")


@runtime_checkable
class Writable(Protocol):
    """A file, or a member of an archive."""

    def write(self, content: bytes, /) -> Any: ...


class Samples(NamedTuple):
    """Samples that fit a model; memory maps stay on disk."""

    samples: np.ndarray
    mask: np.ndarray | None
    """One mask for each sample."""

    @property
    def parts(self) -> list[slice]:
        n = len(self.samples)
        return [slice(start, min(start + _PIECE, n)) for start in range(0, n, _PIECE)]


def checked_samples(
    model: Model, samples: Any, mask: Any, config: InferConfig, seed: int
) -> Samples:
    """Check samples, mask and settings before anything is written.

    Raises
    ------
    DataError, ConfigError
        See `Model.infer`.
    """
    samples = check_samples(samples, model.image_shape, model.standardization)
    if mask is not None:
        mask = as_mask(mask, len(samples), model.image_shape)
    given = Samples(samples, mask)
    for part in given.parts:
        weights = None if mask is None else to_weights(mask[part], part.start)
        to_rows(samples[part], part.start, weights, model.standardization, model.pixel_range)
    model.infer(samples[:0], config=config, seed=seed)
    return given


def placed(
    model: Model, given: Samples, config: InferConfig, seed: int
) -> Iterator[tuple[slice, Inference]]:
    """Place samples piece by piece: the slice of each piece, and its result of `Model.infer`."""
    for part in given.parts:
        seen = None if given.mask is None else given.mask[part]
        yield part, model.infer(given.samples[part], seen, config=config, seed=seed)


def write_latents(
    model: Model,
    samples: Any,
    mask: Any,
    path: Path,
    *,
    config: InferConfig,
    names: Sequence[str] | None = None,
    seed: int = 0,
    report: Callable[[int], None] = lambda _: None,
) -> Errors:
    """Infer the latents of samples, and write them to a file that is complete or absent.

    Parameters
    ----------
    model : Model
    samples, mask : array
        As in `Model.infer`; memory maps are read piece by piece.
    path : Path
        .npy of latents only; .npz of `latents`, `loss`, `mae`, `psnr` and `converged`, with
        `names` if given; or .csv, one line per sample.
    config : InferConfig
    names : sequence of str, optional
        Names of the samples; by default they are counted from 0.
    seed : int
    report : callable
        Called with the number of samples that are done.

    Returns
    -------
    Errors
        Errors of each sample, in the scaled space; NaN if no value of it counts.

    Raises
    ------
    DataError, ConfigError
        See `Model.infer`; nothing is written then.
    OutputError
        If the file cannot be written.
    """
    given = checked_samples(model, samples, mask, config, seed)
    n, dims = len(given.samples), model.latent_dims
    errors = Errors(*(np.empty(n, np.float32) for _ in Errors._fields))
    converged = np.zeros(n, bool)
    kind = path.suffix.lower()
    with contextlib.ExitStack() as stack:
        file: Writable = stack.enter_context(whole_file(path))
        archive = stack.enter_context(zipfile.ZipFile(file, "w")) if kind == ".npz" else None
        with contextlib.ExitStack() as member:
            if archive is not None:
                file = member.enter_context(archive.open("latents.npy", "w", force_zip64=True))
            if kind == ".csv":
                columns = [f"{LATENT}{k}" for k in range(dims)]
                file.write(lines([["image", *columns, *Errors._fields, "converged"]]))
            else:
                begin_array(file, (n, dims))
            for part, found in placed(model, given, config, seed):
                if kind == ".csv":
                    file.write(lines(_rows(found, part.start, names)))
                else:
                    file.write(np.ascontiguousarray(found.latents, "<f4").tobytes())
                for whole, piece in zip(errors, found.errors, strict=True):
                    whole[part] = piece
                converged[part] = found.converged
                report(part.stop)
        if archive is not None:
            arrays = {**errors._asdict(), "converged": converged}
            if names is not None:
                arrays["names"] = np.array(names, np.str_)
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as member_file:
                    np.lib.format.write_array(member_file, array, allow_pickle=False)
    return errors


def begin_array(file: Writable, shape: tuple[int, ...]) -> None:
    """Write the header of a float32 array; its values must follow."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def lines(rows: Sequence[Sequence[object]]) -> bytes:
    """Lines of a table, separated by commas."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def number(value: np.floating) -> str:
    """All digits of a float32; blank for NaN."""
    return "" if np.isnan(value) else str(np.float32(value))


def _rows(found: Inference, first: int, names: Sequence[str] | None) -> list[list[object]]:
    rows = []
    for i, (latent, *values, converged) in enumerate(
        zip(found.latents, *found.errors, found.converged, strict=True), first
    ):
        name = i if names is None else names[i]
        numbers = map(number, (*latent, *values))
        rows.append([name, *numbers, "yes" if converged else "no"])
    return rows
