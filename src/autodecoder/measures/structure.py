"""Measures of the structure of latents: neighbours, classes and dimension."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import NearestNeighbors

from autodecoder.measures.evaluation import TITLES
from autodecoder.measures.record import MISSING, Record, too_few
from autodecoder.text import count

#: Neighbours that vote on a class, that trustworthiness looks at, and whose distances give the
#: dimension.
_VOTES, _NEIGHBOURS, _DISTANCES = (1, 5, 15), 5, 20
#: Share of the largest distance ratios that `two_nn` leaves out, as its authors do.
_LEFT_OUT = 0.1
#: A dimension is active if its variance exceeds this share of the largest one.
_ACTIVE = 0.01


class Known(NamedTuple):
    """What is known of the training latents."""

    latents: Float[np.ndarray, "m dims"]
    labels: Int[np.ndarray, " m"] | None


def measure_classes(
    record: Record,
    latents: Float[np.ndarray, "n dims"],
    labels: Int[np.ndarray, " n"] | None,
    known: Known,
    components: Int[np.ndarray, " n"] | None,
    subset: Int[np.ndarray, " k"],
) -> None:
    """Record the measures of latents that need classes.

    Parameters
    ----------
    record : Record
    latents, labels : (n, dims), (n,)
    known : Known
        Training latents.
    components : (n,), optional
        The component of the density that each latent belongs to; `None` without a density.
    subset : (k,)
        Rows for the silhouette, whose cost grows with their square.
    """
    reason = doubt_labels(labels)
    if labels is None or reason is not None:
        names = [name for name in TITLES["structure"] if "accuracy" in name]
        record.leave([*names, "silhouette", "adjusted_rand"], reason or "")
        return
    n, n_known = len(latents), len(known.latents)
    among = neighbour_accuracy(latents, labels, None, labels)
    _take_accuracies(record, "loo_accuracy", among, too_few(n, max(_VOTES) + 1))
    of_model = f"the model has {count(n_known, 'training latent')}"
    if known.labels is None:
        found, why = {}, "the model has no labels of its training images"
    else:
        found, why = neighbour_accuracy(known.latents, known.labels, latents, labels), of_model
    _take_accuracies(record, "accuracy", found, why)
    few = labels[subset]
    n_classes = len(np.unique(few))
    if 1 < n_classes < len(few):
        record.take("structure", {"silhouette": float(silhouette_score(latents[subset], few))})
    else:
        reason = f"{count(len(few), 'image')} are of {count(n_classes, 'class', 'classes')}"
        record.leave(["silhouette"], reason)
    if components is None:
        record.leave(["adjusted_rand"], of_model)
    else:
        found = float(adjusted_rand_score(labels, components))
        record.take("structure", {"adjusted_rand": found})


def measure_shape(
    record: Record,
    latents: Float[np.ndarray, "n dims"],
    images: Float[np.ndarray, "n values"] | None,
    subset: Int[np.ndarray, " k"],
) -> None:
    """Record the measures of latents that need no classes.

    `images` is `None` where pixels are missing. Only the active units are those of all latents; the
    others are those of the rows `subset`, since their cost grows with the square.
    """
    record.take("structure", {"active_units": count_active(latents)})
    placed, n = latents[subset], len(subset)
    if images is None:
        record.leave(["trustworthiness", "continuity"], MISSING)
    elif n <= 2 * _NEIGHBOURS:
        record.leave(["trustworthiness", "continuity"], too_few(n, 2 * _NEIGHBOURS + 1))
    else:
        original = images[subset]
        found = {
            "trustworthiness": trustworthiness(original, placed, n_neighbors=_NEIGHBOURS),
            "continuity": trustworthiness(placed, original, n_neighbors=_NEIGHBOURS),
        }
        record.take("structure", {name: float(value) for name, value in found.items()})
    for space, points in (
        ("images", None if images is None else images[subset]),
        ("latents", placed),
    ):
        names = [f"dimension_{space}_{kind}" for kind in ("two_nn", "mle")]
        if points is None:
            record.leave(names, MISSING)
        elif n <= _DISTANCES:
            record.leave(names, too_few(n, _DISTANCES + 1))
        else:
            distances = neighbour_distances(points, _DISTANCES)
            found = (two_nn(distances), likelihood_dimension(distances))
            record.take("structure", dict(zip(names, found, strict=True)))


def doubt_labels(labels: Int[np.ndarray, " n"] | None) -> str | None:
    """The reason why labels cannot be used, if there is one."""
    if labels is None:
        return "no labels are given"
    return "the labels name one class only" if len(np.unique(labels)) < 2 else None


def _take_accuracies(record: Record, name: str, found: dict[int, float], why_no_more: str) -> None:
    record.take("structure", {f"{name}_{k}nn": value for k, value in found.items()})
    record.leave([f"{name}_{k}nn" for k in _VOTES if k not in found], why_no_more)


def neighbour_accuracy(
    known: Float[np.ndarray, "m dims"],
    known_labels: Int[np.ndarray, " m"],
    latents: Float[np.ndarray, "n dims"] | None,
    labels: Int[np.ndarray, " n"],
    numbers: Sequence[int] = _VOTES,
) -> dict[int, float]:
    """Share of latents whose class is that of most of their k nearest known latents, for each k.

    A k that exceeds the number of latents that can be neighbours is left out.

    Parameters
    ----------
    known, known_labels : (m, dims), (m,)
        Latents that are searched, and their classes.
    latents : (n, dims), optional
        By default each known latent is classified by the other ones (leave-one-out).
    labels : (n,)
        Classes of the classified latents. If several classes have the most neighbours, the smallest
        number counts.
    numbers : sequence of int
        Values of k.
    """
    numbers = [k for k in numbers if k <= len(known) - (latents is None)]
    if not numbers:
        return {}
    classes, known_labels = np.unique(known_labels, return_inverse=True)
    search = NearestNeighbors(n_neighbors=max(numbers)).fit(known)
    found = known_labels[search.kneighbors(latents, return_distance=False)]
    accuracy = {}
    for k in numbers:
        votes = np.zeros((len(found), len(classes)), np.int32)
        for column in found[:, :k].T:
            votes[np.arange(len(found)), column] += 1
        accuracy[k] = float((classes[votes.argmax(axis=1)] == labels).mean())
    return accuracy


def neighbour_distances(points: Float[np.ndarray, "n values"], k: int) -> Float[np.ndarray, "n k"]:
    """Distances from each point to its k nearest other points, in rising order."""
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors()[0]


def two_nn(distances: Float[np.ndarray, "n k"]) -> float:
    """Intrinsic dimension from the ratio of the second to the first neighbour's distance.

    With ratios `r` in rising order and their ranks `i`, the result is the slope of
    `-log(1 - i / n)` over `log r` through 0, without the largest tenth of the ratios. NaN if fewer
    than two points have a neighbour at a distance above 0, or the ratios do not differ from 1.

    References
    ----------
    Facco, d'Errico, Rodriguez & Laio 2017, "Estimating the intrinsic dimension of datasets by a
    minimal neighborhood information".
    """
    distances = distances[distances[:, 0] > 0]
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    n = len(ratios)
    n_kept = int(n * (1 - _LEFT_OUT))
    x, y = ratios[:n_kept], -np.log1p(-np.arange(1, n_kept + 1) / max(n, 1))
    return float(x @ y / (x @ x)) if n_kept and x @ x > 0 else float("nan")


def likelihood_dimension(distances: Float[np.ndarray, "n k"]) -> float:
    """Intrinsic dimension of largest likelihood, from the distances `T_1 … T_k` of neighbours.

    The inverse of the mean over points of `sum_(j<k) log(T_k / T_j) / (k - 1)`. Points with a
    neighbour at distance 0 are left out; NaN if none is left.

    References
    ----------
    Levina & Bickel 2004, "Maximum likelihood estimation of intrinsic dimension"; the mean of
    inverses by MacKay & Ghahramani 2005.
    """
    distances = distances[distances[:, 0] > 0]
    if not len(distances):
        return float("nan")
    inverse = np.log(distances[:, -1:] / distances[:, :-1]).mean()
    return float(1 / inverse) if inverse > 0 else float("nan")


def count_active(latents: Float[np.ndarray, "n dims"]) -> int:
    """Number of dimensions whose variance exceeds 0.01 of the largest dimension's variance.

    Burda, Grosse & Salakhutdinov 2016 ("Importance weighted autoencoders") compare the variance
    itself with 0.01, since their prior has variance 1. Latents here have no fixed scale.
    """
    variances = latents.astype(np.float64).var(axis=0)
    return int((variances > _ACTIVE * variances.max()).sum())
