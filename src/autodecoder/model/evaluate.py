"""Evaluating a model: its reconstructions, the structure of its latents, and its samples."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from autodecoder.config import InferConfig
from autodecoder.config.rules import as_plain, check_positive_int, check_seed
from autodecoder.data.pixels import as_labels, as_mask, to_weights
from autodecoder.errors import DataError
from autodecoder.measures.classifier import Classifier
from autodecoder.measures.evaluation import TITLES, Evaluation
from autodecoder.measures.generation import measure_samples
from autodecoder.measures.reconstruction import measure_reconstruction
from autodecoder.measures.record import MISSING, Record
from autodecoder.measures.structure import Known, doubt_labels, measure_classes, measure_shape
from autodecoder.model.density import draw_latents
from autodecoder.model.samples import check_samples, to_rows
from autodecoder.model.tables import standardize
from autodecoder.text import count

if TYPE_CHECKING:
    from autodecoder.model.model import Model

#: Most training latents that are searched, and most images that the classifier is trained on.
_MOST_KNOWN, MOST_LEARNT = 60_000, 10_000


class _Learnt(NamedTuple):
    """Images for the classifier."""

    rows: Float32[np.ndarray, "n values"]
    labels: Int[np.ndarray, " n"]


class _Given(NamedTuple):
    """The images to evaluate, checked and thinned."""

    rows: Float32[np.ndarray, "n values"]
    """Pixels in [0, 1], or standardised features."""
    weights: Shaped[np.ndarray, "n values"] | None
    """Weights of their values; `None` if all count."""
    labels: Int[np.ndarray, " n"] | None
    latents: Float[np.ndarray, "n dims"]
    made: Float32[np.ndarray, "n values"]
    """Their reconstructions."""


def evaluate_model(
    model: "Model",
    images: Any,
    labels: Any,
    mask: Any,
    *,
    train_images: Any,
    train_labels: Any,
    config: InferConfig | None,
    n_images: int,
    n_subset: int,
    seed: int,
    report: Callable[[str], None],
) -> Evaluation:
    """Evaluate a model, see `Model.evaluate`."""
    n_images, n_subset = as_plain(n_images), as_plain(n_subset)
    check_positive_int("n_images", n_images)
    check_positive_int("n_subset", n_subset)
    seed = as_plain(seed)
    check_seed("seed", seed)
    learnt = None if train_images is None else _read_learnt(model, train_images, train_labels, seed)
    if config is None and not len(model.latents):
        config = InferConfig(starts=("zeros",))  # there is no latent to start from
    report("placing images")
    given = _place(model, images, labels, mask, config, n_images, seed)
    record, n = Record(), len(given.rows)
    record.sizes["n_images"] = n
    report("comparing reconstructions")
    shape = model.image_shape if model.standardization is None else None
    measure_reconstruction(record, given.rows, given.made, given.weights, shape)
    report("measuring the structure")
    finite = np.flatnonzero(np.isfinite(model.latents).all(axis=1))
    chosen = finite[draw_rows(len(finite), _MOST_KNOWN, seed)]
    subset = draw_rows(n, n_subset, seed)
    record.sizes |= {"n_train_latents": len(chosen), "n_subset": len(subset)}
    known = Known(model.latents[chosen], None if model.labels is None else model.labels[chosen])
    has_density = len(finite) > 1
    is_labelled = doubt_labels(given.labels) is None
    components = model.cluster(given.latents) if has_density and is_labelled else None
    measure_classes(record, given.latents, given.labels, known, components, subset)
    whole = given.weights is None
    measure_shape(record, given.latents, given.rows if whole else None, subset)
    report("measuring samples")
    if not whole:
        record.leave(TITLES["generation"], MISSING)
    elif not has_density:
        reason = f"the model has {count(len(finite), 'training latent')} to draw samples from"
        record.leave(TITLES["generation"], reason)
    else:
        _compare_samples(record, model, given, learnt, n_subset, seed)
    return record.finish()


def _read_learnt(model: "Model", images: Any, labels: Any, seed: int) -> _Learnt | None:
    """Images for the classifier, whole ones; `None` without labels."""
    images = check_samples(images, model.image_shape, model.standardization, "train_images")
    name = "train_labels" if labels is not None else "labels of the model, without train_labels,"
    labels = model.labels if labels is None else labels
    if labels is None:
        return None
    labels = as_labels(name, labels, len(images))
    rows = draw_rows(len(images), MOST_LEARNT, seed)
    values, weights = _read(model, images[rows], None)
    is_whole = np.ones(len(rows), bool) if weights is None else weights.all(axis=1)
    return _Learnt(values[is_whole], labels[rows][is_whole])


def _place(
    model: "Model",
    images: Any,
    labels: Any,
    mask: Any,
    config: InferConfig | None,
    n_images: int,
    seed: int,
) -> _Given:
    """Check images, thin them, and infer their latents."""
    images = check_samples(images, model.image_shape, model.standardization)
    if labels is not None:
        labels = as_labels("labels", labels, len(images))
    rows = draw_rows(len(images), n_images, seed)
    if mask is not None:
        mask = as_mask(mask, len(images), model.image_shape)[rows]
    images = images[rows]
    values, weights = _read(model, images, None if mask is None else to_weights(mask, 0))
    is_known = np.ones(len(rows), bool) if weights is None else weights.any(axis=1)
    if not is_known.any():
        raise DataError(f"images must have values that count, got {count(len(images), 'image')}.")
    latents = model.infer(images, mask, config=config, seed=seed).latents[is_known]
    if weights is not None:
        weights = weights[is_known]
        weights = None if (weights == weights[0, 0]).all() else weights
    made = _decode(model, latents)
    if not np.isfinite(made).all():
        raise DataError(
            "the model's reconstructions must be finite numbers, but some are not: its fit has "
            "diverged."
        )
    kept = None if labels is None else labels[rows][is_known]
    return _Given(values[is_known], weights, kept, latents, made)


def _compare_samples(
    record: Record,
    model: "Model",
    given: _Given,
    learnt: _Learnt | None,
    n_samples: int,
    seed: int,
) -> None:
    """Compare samples with images that the classifier was not trained on."""
    held, classifier, names = np.arange(len(given.rows)), None, []
    reason = doubt_labels(given.labels)
    if given.labels is not None and reason is None:
        if learnt is None:
            chosen = draw_rows(len(held), min(len(held) // 2, MOST_LEARNT), seed)
            held = np.delete(held, chosen)
            learnt = _Learnt(given.rows[chosen], given.labels[chosen])
        if len(np.unique(learnt.labels)) < 2:
            reason = "the images to train a classifier on are of fewer than two classes"
        else:
            classes = np.union1d(learnt.labels, given.labels)
            classifier = Classifier(learnt.rows, np.searchsorted(classes, learnt.labels), seed)
            record.sizes["n_classifier"] = len(learnt.rows)
            right = classes[classifier.classify(given.rows[held])] == given.labels[held]
            record.classifier_accuracy = float(right.mean())
            names = _class_names(model, classes)
    held = held[draw_rows(len(held), n_samples, seed)]
    measure_samples(
        record,
        given.rows[held],
        _decode(model, draw_latents(model.density, len(held), seed)),
        given.made[held],
        classifier,
        reason or "",
        names,
    )


def draw_rows(n: int, most: int, seed: int) -> Int[np.ndarray, " k"]:
    """Rows that are used of `n`, in rising order: all, or `most` that are drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def _read(
    model: "Model", images: Shaped[np.ndarray, "n ..."], weights: Any
) -> tuple[Float32[np.ndarray, "n values"], Shaped[np.ndarray, "n values"] | None]:
    """Checked images as rows, in [0, 1] or standardised, and the weights of their values."""
    by = model.standardization
    rows, weights = to_rows(images, 0, weights, by, model.pixel_range)
    values = np.asarray(rows, np.float32)
    return values if by is not None else values / np.float32(255), weights


def _decode(
    model: "Model", latents: Float[np.ndarray, "n dims"]
) -> Float32[np.ndarray, "n values"]:
    """Decoded latents as rows, in [0, 1] or standardised."""
    images = model.decode(latents)
    by = model.standardization
    return images.reshape(len(images), -1) if by is None else standardize(images, by)


def _class_names(model: "Model", classes: Int[np.ndarray, " k"]) -> list[str]:
    """Names of these classes, or their numbers where the model does not name all."""
    names = model.about.get("class_names")
    if isinstance(names, list | tuple) and len(set(names)) == len(names) > classes.max():
        return [str(names[k]) for k in classes]
    return [str(k) for k in classes]
