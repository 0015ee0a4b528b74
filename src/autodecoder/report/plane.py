"""A plane through the space of latents, and all that a page needs to decode the points of it."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from autodecoder.core.scaling import SCALINGS
from autodecoder.model import Model
from autodecoder.model.dense import Dense, dense_layers
from autodecoder.report.figures import CLASS_COLOURS, class_colours

#: Of a decoder with more weights a page would be too large to send: 4 bytes each, a third more as
#: text.
MOST_WEIGHTS = 2_500_000
#: Points drawn of each set at most; of more, so many are drawn at random.
_MOST_POINTS = 60_000
#: More are not told apart.
_MOST_CLASSES = 100
#: Of the latents lie inside the view, which is a little wider than these.
_SHARE_SEEN = 0.998
_MARGIN = 0.06


class Plane(NamedTuple):
    """Points `centre + a · axes[0] + b · axes[1]`."""

    centre: Float[np.ndarray, " dims"]
    axes: Float[np.ndarray, "2 dims"]
    names: tuple[str, str]

    def places(self, latents: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, "n 2"]:
        """Where latents lie on the plane: their projections."""
        return (np.asarray(latents, np.float64) - self.centre) @ self.axes.T


def latent_plane(latents: Float[np.ndarray, "n dims"]) -> Plane:
    """The plane of two-dimensional latents; of longer ones that of their two leading principal
    components; of a single dimension, that one and an axis on which nothing depends."""
    dims = latents.shape[1]
    if dims == 1:
        return Plane(np.zeros(1), np.array([[1.0], [0.0]]), ("latent dimension 1", ""))
    if dims == 2:
        return Plane(np.zeros(2), np.eye(2), ("latent dimension 1", "latent dimension 2"))
    names = ("principal component 1", "principal component 2")
    if len(latents) < 2:
        centre = latents.mean(0) if len(latents) else np.zeros(dims)
        return Plane(np.asarray(centre, np.float64), np.eye(2, dims), names)
    centred = np.asarray(latents, np.float64) - latents.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1].T
    # Signs are arbitrary: so that a page made again looks the same.
    axes = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(1)])[:, None]
    return Plane(np.asarray(latents.mean(0), np.float64), axes, names)


def is_live(model: Model) -> bool:
    """Whether a page carries the decoder."""
    return sum(layer.weight.size for layer in model.decoder.layers) <= MOST_WEIGHTS


def pack_model(model: Model) -> dict[str, Any]:
    """What the page's script reads, as JSON takes it: the decoder, the plane, points on it.

    Numbers are little-endian bytes in base64: weights float32, places of points uint16 across the
    view, classes uint16. Weights are those of `dense_layers`.
    """
    plane = latent_plane(model.latents)
    places = {"train": plane.places(model.latents), "val": plane.places(model.val_latents)}
    view = plane_view(model)
    names = _class_names(model)
    scaling = SCALINGS[model.scaler]
    units = None
    if model.standardization is not None:
        units = {name: _pack(part, "<f4") for name, part in model.standardization._asdict().items()}
    return {
        "shape": list(model.image_shape),
        "low": scaling.low,
        "span": scaling.span,
        "units": units,
        "layers": [_pack_layer(layer) for layer in dense_layers(model.decoder)],
        "centre": plane.centre.tolist(),
        "axes": plane.axes.tolist(),
        "axis_names": list(plane.names),
        "view": view,
        "classes": names,
        "colours": _hex_colours(len(names)),
        "points": {
            "train": _pack_points(places["train"], model.labels, view, len(names)),
            "val": _pack_points(places["val"], model.val_labels, view, len(names)),
        },
    }


def plane_view(model: Model) -> list[float]:
    """Left, right, bottom and top of the part of the plane that is shown."""
    plane = latent_plane(model.latents)
    places = np.concatenate([plane.places(model.latents), plane.places(model.val_latents)])
    bounds: list[float] = []
    for values in places.T:
        out = (1 - _SHARE_SEEN) / 2
        low, high = np.quantile(values, [out, 1 - out]) if len(values) else (-2.0, 2.0)
        if not high - low > 1e-6 * max(abs(low), abs(high), 1e-6):
            low, high = low - 1, high + 1
        margin = _MARGIN * (high - low)
        bounds += [float(low - margin), float(high + margin)]
    return bounds


def _class_names(model: Model) -> list[str]:
    """Those that the model tells, else numbers; none without labels, or where they are too many."""
    known = [labels for labels in (model.labels, model.val_labels) if labels is not None]
    n = max((int(labels.max()) + 1 for labels in known if len(labels)), default=0)
    told = model.about.get("class_names")
    if not n <= _MOST_CLASSES:
        return []
    if isinstance(told, list | tuple) and all(isinstance(name, str) for name in told):
        return [*told[:_MOST_CLASSES], *map(str, range(len(told), n))] if n else []
    return [str(k) for k in range(n)]


def _hex_colours(n: int) -> list[str]:
    if n <= len(CLASS_COLOURS):
        return list(CLASS_COLOURS[: max(n, 1)])
    rows = np.rint(class_colours(n)[:, :3] * 255).astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rows]


def _pack_layer(layer: Dense) -> dict[str, Any]:
    # A row an output, so that the script reads each in one go.
    return {
        "inputs": layer.weight.shape[0],
        "outputs": layer.weight.shape[1],
        "weight": _pack(layer.weight.T, "<f4"),
        "bias": None if layer.bias is None else _pack(layer.bias, "<f4"),
        "activation": layer.activation,
    }


def _pack_points(
    places: Float[np.ndarray, "n 2"],
    labels: Int[np.ndarray, " n"] | None,
    view: Sequence[float],
    n_classes: int,
) -> dict[str, Any]:
    n = len(places)
    chosen = np.random.default_rng(0).permutation(n)[:_MOST_POINTS]
    low, high = np.array(view[::2]), np.array(view[1::2])
    shares = np.clip((places[chosen] - low) / (high - low), 0, 1)
    packed = {
        "n": len(chosen),
        "of": n,
        "places": _pack(np.rint(shares * 65535), "<u2"),
        "classes": None,
    }
    if labels is not None and n_classes:
        packed["classes"] = _pack(labels[chosen], "<u2")
    return packed


def _pack(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii")


def plane_grid(
    plane: Plane, view: Sequence[float], n: int = 20
) -> Float[np.ndarray, "rows columns dims"]:
    """Latents on a grid over the view, the top row first."""
    left, right, bottom, top = view
    shares = (np.arange(n) + 0.5) / n
    a, b = left + shares * (right - left), top - shares * (top - bottom)
    return plane.centre + a[None, :, None] * plane.axes[0] + b[:, None, None] * plane.axes[1]
