"""A yardstick for the errors of a fit: the errors of the mean image and of principal components."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num
from threadpoolctl import threadpool_limits

from autodecoder.brief import brief
from autodecoder.core.incomplete import (
    fill_missing,
    fit_incomplete,
    normal_equations,
    solve_scores,
)
from autodecoder.core.latents import fit_pca
from autodecoder.core.scaling import SCALINGS

#: Most work to fit components: images × pixels × (components + `_FIXED`). `_FIXED` components take
#: as long as reading the images. The limit is about two seconds of a core.
_WORK, _FIXED = 2**33, 74
#: Least images for each component, if components are fitted to some of the images.
_PER_COMPONENT = 10
#: Most work to project images with missing pixels: images × pixels × components², unless these are
#: fewer images than `_FEWEST`.
_PROJECTED, _FEWEST = 2**33, 1000
#: Most images with missing pixels that components are fitted to.
_FILLED = 8000
#: Values in the largest array of a block of images.
_BLOCK = 2**23
#: Horizontal lines of a chart: labels and values.
Levels = list[tuple[str, float]]

_NAMES = {"val": "validation", "train": "training"}


@brief
@dataclass(frozen=True)
class Yardstick:
    """Errors to compare the loss of a fit with: mean squared errors in the scaled space, means over
    the images of the means over their known pixels."""

    part: str
    """The images on which the errors are measured: `val`, or `train` without validation images."""
    n_images: int
    """Number of these images."""
    n_fitted: int
    """Number of training images that mean and components are from."""
    n_train: int
    """Number of training images."""
    mean_image: float
    """Error of the mean of the training images."""
    components: Mapping[int, float]
    """Error of each number of principal components of the training images."""

    def lines(self, dims: Iterable[int]) -> Levels:
        """Each error with its name: that of the mean image, and those of as many components as
        latents have dimensions."""
        found = [("mean image", self.mean_image)]
        for k in sorted(set(dims) & set(self.components)):
            name = f"{k} principal component{'s' if k > 1 else ''}"
            found.append((name, self.components[k]))
        return found

    def levels(self, dims: Iterable[int]) -> dict[str, Levels]:
        """The `lines` by metric, for the metrics that are measured on the same images."""
        metrics = ("val_loss", "fresh_val_loss") if self.part == "val" else ("loss",)
        return dict.fromkeys(metrics, self.lines(dims))

    @property
    def images(self) -> str:
        """What the errors are measured on, such as `validation images`."""
        return f"{_NAMES[self.part]} images"

    def tell(self, dims: Iterable[int]) -> str:
        """The errors in words, such as `mean image 0.2674, 2 principal components 0.2227`."""
        return ", ".join(f"{name} {error:.4g}" for name, error in self.lines(dims))

    def note(self) -> str:
        """A sentence, after a space, that says from which images mean and components are; empty if
        from all training images."""
        if self.n_fitted == self.n_train:
            return ""
        return (
            f" Mean and components are from {self.n_fitted:,} of {self.n_train:,} training images."
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self) | {"components": {str(k): e for k, e in self.components.items()}}


def read_yardstick(content: Any) -> Yardstick:
    """Restore a yardstick from its `to_dict`.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    try:
        found = Yardstick(
            part=content["part"],
            n_images=content["n_images"],
            n_fitted=content["n_fitted"],
            n_train=content["n_train"],
            mean_image=content["mean_image"],
            components={int(k): error for k, error in content["components"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError("its yardstick is not complete") from error
    errors = (found.mean_image, *found.components.values())
    counts = (found.n_images, found.n_fitted, found.n_train)
    if (
        found.part not in _NAMES
        or any(type(n) is not int or n < 1 for n in (*counts, *found.components))
        or any(type(e) is not float or not 0 <= e < math.inf for e in errors)
    ):
        raise ValueError("its yardstick has impossible values")
    return found


class Set(NamedTuple):
    """Images, and which of their values are known."""

    rows: Num[np.ndarray, "n pixels"]
    """Stored values: an array, or an object that reads rows on request."""
    mask: Bool[np.ndarray, "n pixels"] | None = None
    """`None` if all values are known."""


@threadpool_limits.wrap(1, user_api="blas")
def measure_yardstick(train: Set, val: Set | None, dims: Iterable[int], scaler: str) -> Yardstick:
    """Measure the errors of the mean image and of principal components.

    The mean image is the mean of each pixel over the training images that show it. Components are
    those of the training images; missing pixels are filled in first, by probabilistic principal
    components. An image is projected on the components by least squares over its known pixels.

    Components are fitted to as many images as take about two seconds: to all of
    60,000 images of 784 pixels for up to 100 components, and to 8,000 images with missing pixels. A
    number of components is left out if such a part has fewer than ten images for each component.
    The errors of at most as many validation images are measured. BLAS uses one thread, since
    several are slower if other programs are at work.

    Parameters
    ----------
    train : Set
    val : Set, optional
        The images on which the errors are measured; by default the training images of the fit.
    dims : iterable of int
        Numbers of components.
    scaler : str
        The scaler of the fit, for the unit of the errors.
    """
    n, n_pixels = train.rows.shape
    most = n if train.mask is None else min(n, _FILLED)

    def affordable(k: int) -> int:
        return max(1, _WORK // (n_pixels * (min(k, n, n_pixels) + _FIXED)))

    def room(k: int) -> int:
        return min(most, affordable(k))

    wanted = sorted(k for k in set(dims) if room(k) == n or room(k) >= _PER_COMPONENT * k)
    highest = min(max(wanted, default=0), n, n_pixels)
    fitted = _thin(train, room(highest))
    fitted = fitted._replace(rows=np.asarray(fitted.rows))  # read once, not for each iteration
    mean = mean_image(fitted)
    filled = fitted.rows
    if fitted.mask is not None and highest:
        pca = fit_incomplete(filled, fitted.mask)
        filled = fill_missing(pca, filled, fitted.mask)
    judged = fitted if val is None else _thin(val, max(affordable(highest), _FEWEST))
    if judged.mask is not None and highest:
        judged = _thin(judged, max(_FEWEST, _PROJECTED // (n_pixels * highest**2)))
    errors = np.zeros(0)
    if highest:
        components = fit_pca(filled, highest)
        errors = _component_errors(judged, components.mean, components.components, wanted)
    unit = SCALINGS[scaler].unit ** 2
    return Yardstick(
        part="train" if val is None else "val",
        n_images=len(judged.rows),
        n_fitted=len(fitted.rows),
        n_train=n,
        mean_image=unit * _mean_error(judged, mean),
        components={k: float(unit * e) for k, e in zip(wanted, errors, strict=True)},
    )


def _thin(images: Set, n: int) -> Set:
    """At most `n` of the images: a random one of each `n`-th part. Every k-th image could be of one
    kind: images of two sources alternate in MNIST."""
    total = len(images.rows)
    if total <= n:
        return images
    places = np.arange(n) + np.random.default_rng(0).random(n)
    rows = np.minimum((places * (total / n)).astype(np.int64), total - 1)
    return Set(images.rows[rows], None if images.mask is None else images.mask[rows])


def _blocks(
    images: Set, values_each: int
) -> Iterator[tuple[Float[np.ndarray, "b pixels"], Float[np.ndarray, "b pixels"] | None]]:
    """Blocks of images as float32, 0 where unknown, each with its mask as numbers."""
    n = max(1, _BLOCK // values_each)
    for first in range(0, len(images.rows), n):
        rows = images.rows[first : first + n].astype(np.float32)
        if images.mask is None:
            yield rows, None
        else:
            known = images.mask[first : first + n]
            yield np.where(known, rows, np.float32(0)), known.astype(np.float32)


def mean_image(images: Set) -> Float[np.ndarray, " pixels"]:
    """Mean of each pixel over the images that show it; of an unseen one, the mean of all pixels."""
    n_pixels = images.rows.shape[1]
    total, counts = np.zeros(n_pixels), np.zeros(n_pixels)
    for rows, known in _blocks(images, n_pixels):
        total += rows.sum(0, dtype=np.float64)
        counts += len(rows) if known is None else known.sum(0, dtype=np.float64)
    mean = np.where(counts > 0, total / np.maximum(counts, 1), total.sum() / counts.sum())
    return mean.astype(np.float32)


def _mean_error(images: Set, mean: Float[np.ndarray, " pixels"]) -> float:
    total = 0.0
    for rows, known in _blocks(images, images.rows.shape[1]):
        squares = (rows - mean) ** 2
        if known is None:
            total += squares.mean(1, dtype=np.float64).sum()
        else:
            total += ((squares * known).sum(1, dtype=np.float64) / known.sum(1)).sum()
    return float(total / len(images.rows))


def _component_errors(
    images: Set,
    mean: Float[np.ndarray, " pixels"],
    components: Float[np.ndarray, "pixels dims"],
    wanted: list[int],
) -> Float[np.ndarray, " k"]:
    """Mean squared error of the images, projected on each number of components in `wanted`."""
    n_pixels, dims = components.shape
    total = np.zeros(len(wanted))
    each = n_pixels if images.mask is None else n_pixels * dims
    for rows, known in _blocks(images, each):
        centred = rows - mean
        if known is None:
            gained = np.cumsum((centred @ components).astype(np.float64) ** 2, axis=1)
            whole = (centred**2).sum(1, dtype=np.float64)
            left = np.stack([whole - gained[:, min(k, dims) - 1] for k in wanted])
            total += np.maximum(left, 0).sum(1) / n_pixels
            continue
        centred *= known
        whole = (centred**2).sum(1, dtype=np.float64)
        grams, sides = normal_equations(centred, known, components)
        for j, k in enumerate(min(k, dims) for k in wanted):
            gram, side = grams[:, :k, :k], sides[:, :k]
            scores = solve_scores(gram, side)
            explained = 2 * side - (gram @ scores[..., None])[..., 0]
            left = whole - (explained * scores).sum(1)
            total[j] += (np.maximum(left, 0) / known.sum(1)).sum()
    return total / len(images.rows)
