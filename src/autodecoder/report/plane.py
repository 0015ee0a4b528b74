"""A plane in latent space, and the data that a page needs to decode its points."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from autodecoder.core.decoders import Operator, count_weights
from autodecoder.core.scaling import SCALINGS
from autodecoder.data.columns import take_columns
from autodecoder.data.dataset import shown_rows
from autodecoder.model import Model
from autodecoder.model.card import count_cost
from autodecoder.report.classes import page_colours
from autodecoder.report.film import Frame, choose_rows
from autodecoder.report.known import pack_known
from autodecoder.report.packing import pack, pack_half
from autodecoder.report.view import Bounds, in_view, view_bounds
from autodecoder.text import legible

#: Most weights in a page. Each takes 2 bytes, and a third more as text.
MOST_WEIGHTS = 7_500_000
#: Most multiplications per image in a page. They take a tenth of a second.
MOST_MULTIPLICATIONS = 50_000_000
#: Most points of each set on a page. Of larger sets, a random choice is drawn.
MOST_POINTS = 60_000
#: Most bytes of latents of more than two dimensions in a page.
_MOST_LATENT_BYTES = 1_500_000
#: Most classes with separate colours, and most classes that a page can number.
MOST_CLASSES, _MOST_NUMBERED = 100, 65_535
#: Places are stored as fractions of the view, in these units; the next number means outside.
_SIDE = 65534


class Plane(NamedTuple):
    """The points `centre + a · axes[0] + b · axes[1]`."""

    centre: Float[np.ndarray, " dims"]
    axes: Float[np.ndarray, "2 dims"]
    names: tuple[str, str]

    def places(self, latents: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, "n 2"]:
        """Projections of latents on the plane; NaN if they are not finite."""
        with np.errstate(invalid="ignore"):
            return (np.asarray(latents, np.float64) - self.centre) @ self.axes.T


def latent_plane(latents: Float[np.ndarray, "n dims"]) -> Plane:
    """The plane of two-dimensional latents. Longer latents have the plane of their two leading
    principal components; latents of one dimension have that dimension and an unused axis."""
    dims = latents.shape[1]
    if dims == 1:
        return Plane(np.zeros(1), np.array([[1.0], [0.0]]), ("latent dimension 1", ""))
    return dimension_plane(dims, 0, 1) if dims == 2 else component_plane(latents, 0, 1)


def dimension_plane(dims: int, across: int, up: int) -> Plane:
    """The plane of two latent dimensions, counted from 0."""
    names = (f"latent dimension {across + 1}", f"latent dimension {up + 1}")
    return Plane(np.zeros(dims), np.eye(dims)[[across, up]], names)


def component_plane(latents: Float[np.ndarray, "n dims"], across: int, up: int) -> Plane:
    """The plane of two principal components, counted from 0, through the mean of the latents."""
    centre, axes = _principal(latents)
    names = (f"principal component {across + 1}", f"principal component {up + 1}")
    return Plane(centre, axes[[across, up]], names)


def principal_scores(latents: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, "n components"]:
    """Scores of the latents on their four leading principal components."""
    centre, axes = _principal(latents)
    with np.errstate(invalid="ignore"):
        return (latents - centre) @ axes[:4].T


def _principal(
    latents: Float[np.ndarray, "n dims"],
) -> tuple[Float[np.ndarray, " dims"], Float[np.ndarray, "dims dims"]]:
    """The mean of the latents, and the axes of their principal components as rows."""
    dims = latents.shape[1]
    finite = latents[np.isfinite(latents).all(axis=1)].astype(np.float64)
    centre = finite.mean(0) if len(finite) else np.zeros(dims)
    if len(finite) < 2:
        return centre, np.eye(dims)
    centred = finite - centre
    axes = np.linalg.eigh(centred.T @ centred)[1].T[::-1]
    # Signs are arbitrary. A fixed choice makes pages reproducible.
    return centre, axes * np.sign(axes[np.arange(dims), np.abs(axes).argmax(1)])[:, None]


def why_not_live(model: Model) -> str | None:
    """The reason why a page cannot run the decoder, as a sentence; `None` if it can."""
    if (n := count_weights(model.decoder)) > MOST_WEIGHTS:
        return f"The decoder has {n:,} weights, too many for a page (at most {MOST_WEIGHTS:,})."
    if (n := count_cost(model)) is None:
        return "Your decoder is Python code, so this page cannot run it."
    if n > MOST_MULTIPLICATIONS:
        return (
            f"The decoder takes {n:,} multiplications per image, too many for a page (at most "
            f"{MOST_MULTIPLICATIONS:,})."
        )
    return None


def shown_part(model: Model) -> Model:
    """The model with only the training latents that are shown (see `data.dataset.shown_rows`)."""
    rows = shown_rows(len(model.latents))
    if rows is None:
        return model

    def take(array: np.ndarray | None) -> Any:
        return None if array is None else array[rows]

    return replace(
        model,
        latents=take(model.latents),
        labels=take(model.labels),
        names=take(model.names),
        columns=take_columns(model.columns, rows),
        about={**model.about, "n_train": len(model.latents)},
    )


def pack_model(
    model: Model, film: Sequence[Frame] = (), errors: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Pack the data of a page's script for JSON: the decoder, the plane, points on it, and earlier
    places of some of them.

    Numbers are little-endian bytes in base64. Weights are float16, but one-dimensional arrays of
    `Decoder.operators` are float32. Places are uint16 across the view, from 0 to 65534, with 65535
    for points outside. Classes are uint16, rows uint32, errors and latents float16.

    Parameters
    ----------
    model : Model
    film : sequence of Frame
    errors : mapping of set to (n,) float, optional
        Mean squared error of each image, by set.
    """
    plane = latent_plane(model.latents)
    packed = pack_plane(model, plane, errors)
    return {
        **pack_shape(model),
        **pack_decoder(model),
        **packed,
        **pack_known(model),
        "film": _pack_film(model, plane, packed["view"], film),
    }


def pack_shape(model: Model) -> dict[str, Any]:
    """The shape of images, and the classes with their colours: one colour for all, if there are
    more than `MOST_CLASSES`."""
    names = page_classes(model)
    colours = page_colours(len(names) if len(names) <= MOST_CLASSES else 1)
    return {
        "shape": list(model.image_shape),
        "classes": names,
        "colours": colours["light"],
        "dark_colours": colours["dark"],
    }


def pack_decoder(model: Model) -> dict[str, Any]:
    """The decoder, and the conversion of its outputs to pixels or features; without layers if it
    is too large."""
    scaling = SCALINGS[model.scaler]
    scale = {"low": scaling.low, "span": scaling.span}
    if why_not_live(model) is not None:
        return {**scale, "operators": None, "units": None if model.standardization is None else {}}
    units = None
    if model.standardization is not None:
        units = {name: pack(part, "<f4") for name, part in model.standardization._asdict().items()}
    return {
        **scale,
        "units": units,
        "operators": [_pack_operator(step) for step in model.decoder.operators() or ()],
    }


def pack_plane(
    model: Model,
    plane: Plane,
    errors: Mapping[str, Any] | None = None,
    most: int = MOST_POINTS,
) -> dict[str, Any]:
    """A plane, and the model's latents on it, at most `most` of each set."""
    view = plane_view(model, plane)
    n_classes, errors = len(page_classes(model)), errors or {}
    total = max(1, len(model.latents) + len(model.val_latents))
    return {
        "centre": plane.centre.tolist(),
        "axes": plane.axes.tolist(),
        "axis_names": list(plane.names),
        "view": view,
        "points": {
            name: _pack_points(
                plane,
                latents,
                labels,
                view,
                n_classes,
                errors.get(name),
                _MOST_LATENT_BYTES * len(latents) // total,
                most,
            )
            for name, latents, labels in (
                ("train", model.latents, model.labels),
                ("val", model.val_latents, model.val_labels),
            )
        },
    }


def plane_view(model: Model, plane: Plane) -> list[float]:
    """Left, right, bottom and top of the visible part of the plane."""
    places = np.concatenate([plane.places(model.latents), plane.places(model.val_latents)])
    (left, bottom), (right, top) = view_bounds(places)
    return [float(left), float(right), float(bottom), float(top)]


def class_names(model: Model) -> list[str]:
    """Names of the classes: those in the model, otherwise numbers; empty without labels, or with
    more than `MOST_CLASSES` classes."""
    return _class_names(model, MOST_CLASSES)


def page_classes(model: Model) -> list[str]:
    """The same for a page, which can name more classes than it can draw in separate colours."""
    return _class_names(model, _MOST_NUMBERED)


def classes_context(model: Model) -> dict[str, Any]:
    """The legend of a page: the classes and their colours, or why it has none."""
    names, n = class_names(model), count_classes(model)
    colours = page_colours(len(names))
    return {
        "classes": names,
        "colours": colours["light"],
        "dark_colours": colours["dark"],
        "classes_text": ""
        if n <= MOST_CLASSES
        else f"{n:,} classes: colours and legend are left out above {MOST_CLASSES}.",
    }


def count_classes(model: Model) -> int:
    """The number of classes, counted by the largest label."""
    known = [labels for labels in (model.labels, model.val_labels) if labels is not None]
    return max((int(labels.max()) + 1 for labels in known if len(labels)), default=0)


def _class_names(model: Model, most: int) -> list[str]:
    n, told = count_classes(model), model.about.get("class_names")
    if not n <= most:
        return []
    if isinstance(told, list | tuple) and all(isinstance(name, str) for name in told):
        names = map(legible, told[:most])
        return [*names, *map(str, range(len(told), n))] if n else []
    return [str(k) for k in range(n)]


def _pack_operator(step: Operator) -> dict[str, Any]:
    """Kind and fields of an operator by name. Arrays have a shape and their numbers, with all
    numbers for one output of a kernel together."""
    packed: dict[str, Any] = {"kind": type(step).__name__}
    for name, value in step._asdict().items():
        if isinstance(value, tuple):
            value = [_pack_operator(inner) for inner in value]
        elif isinstance(value, np.ndarray):
            value = _pack_array(value)
        packed[name] = value
    return packed


def _pack_array(array: np.ndarray) -> dict[str, Any]:
    half = array.ndim > 1
    ordered = np.moveaxis(array, -1, 0)
    numbers = pack_half(ordered) if half else pack(ordered, "<f4")
    return {"shape": list(array.shape), "bits": 16 if half else 32, "numbers": numbers}


def chosen_points(
    plane: Plane,
    latents: Float[np.ndarray, "n dims"],
    view: Sequence[float],
    most: int = MOST_POINTS,
) -> Int[np.ndarray, " k"]:
    """Indices of the latents that a page draws: those in view, in random order, so that no class
    covers the others."""
    order = np.random.default_rng(0).permutation(len(latents))
    return order[in_view(plane.places(latents)[order], _bounds(view))][:most]


def _pack_points(
    plane: Plane,
    latents: Float[np.ndarray, "n dims"],
    labels: Int[np.ndarray, " n"] | None,
    view: Sequence[float],
    n_classes: int,
    errors: Float[np.ndarray, " n"] | None,
    room: int,
    most: int,
) -> dict[str, Any]:
    """The points of a set. `room` is the number of bytes for their latents."""
    places, chosen = plane.places(latents), chosen_points(plane, latents, view, most)
    dims = latents.shape[1]
    n_latents = 0 if dims <= 2 else min(len(chosen), room // (2 * dims))
    return {
        "n": len(chosen),
        "missing": int((~in_view(places, _bounds(view))).sum()),
        "rows": pack(chosen, "<u4"),
        "places": _pack_places(places[chosen], view),
        "classes": pack(labels[chosen], "<u2") if labels is not None and n_classes else None,
        "errors": None if errors is None else pack_half(errors[chosen]),
        "n_latents": n_latents,
        "latents": pack_half(latents[chosen[:n_latents]]) if n_latents else None,
    }


def _bounds(view: Sequence[float]) -> Bounds:
    return np.array(view[::2]), np.array(view[1::2])


def _pack_places(places: Float[np.ndarray, "n 2"], view: Sequence[float]) -> str:
    low, high = bounds = _bounds(view)
    seen = in_view(places, bounds)[:, None]
    return pack(np.where(seen, np.rint((places - low) / (high - low) * _SIDE), _SIDE + 1), "<u2")


def _pack_film(
    model: Model, plane: Plane, view: Sequence[float], film: Sequence[Frame]
) -> dict[str, Any]:
    """The frames that fit the model and are finite, and the classes of their points."""
    n_classes = len(page_classes(model))
    sets = (("train", model.latents, model.labels), ("val", model.val_latents, model.val_labels))
    rows = {name: choose_rows(name, *latents.shape) for name, latents, _ in sets}
    end = model.about.get("epoch")
    fits = [
        frame
        for frame in film
        if not (isinstance(end, int) and frame.epoch > end)
        and all(
            getattr(frame, name).shape == (len(rows[name]), model.latent_dims)
            and np.isfinite(getattr(frame, name)).all()
            for name in rows
        )
    ]
    return {
        "end": f"epoch {end}" if isinstance(end, int) else "final",
        "classes": {
            name: None if labels is None or not n_classes else pack(labels[rows[name]], "<u2")
            for name, _, labels in sets
        },
        "n": {name: len(chosen) for name, chosen in rows.items()},
        "rows": {name: pack(chosen, "<u4") for name, chosen in rows.items()},
        "frames": [_pack_frame(frame, plane, view) for frame in fits],
    }


def _pack_frame(frame: Frame, plane: Plane, view: Sequence[float]) -> dict[str, Any]:
    places = {"train": plane.places(frame.train), "val": plane.places(frame.val)}
    missing = {name: int((~in_view(p, _bounds(view))).sum()) for name, p in places.items()}
    packed = {name: _pack_places(p, view) for name, p in places.items()}
    return {"epoch": frame.epoch, "missing": missing, **packed}


def plane_grid(
    plane: Plane, view: Sequence[float], n: int = 20
) -> Float[np.ndarray, "rows columns dims"]:
    """Latents on a grid over the view, the top row first."""
    left, right, bottom, top = view
    shares = (np.arange(n) + 0.5) / n
    a, b = left + shares * (right - left), top - shares * (top - bottom)
    return plane.centre + a[None, :, None] * plane.axes[0] + b[:, None, None] * plane.axes[1]
