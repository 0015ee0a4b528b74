"""Measures of generated samples against real ones, in a space of features."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import euclidean_distances

from autodecoder.measures.classifier import N_FEATURES, Classifier
from autodecoder.measures.evaluation import TITLES
from autodecoder.measures.record import Record, too_few
from autodecoder.measures.structure import neighbour_distances

#: The neighbour that the ball of a sample reaches to.
_NEIGHBOUR = 5
#: Principal components as features where there is no classifier, at most.
_COMPONENTS = 64
#: Rows of the matrix of distances that are in memory at once.
_BLOCK = 500


def measure_samples(
    record: Record,
    images: Float32[np.ndarray, "n values"],
    samples: Float32[np.ndarray, "n values"],
    reconstructions: Float32[np.ndarray, "n values"],
    classifier: Classifier | None,
    why_none: str,
    class_names: Sequence[str],
) -> None:
    """Record the measures of samples beside images, and those of reconstructions as their floor.

    Parameters
    ----------
    record : Record
    images, samples, reconstructions : (n, values)
        As many of each; the reconstructions are those of the images.
    classifier : Classifier, optional
        Without one, the features are principal components of the images.
    why_none : str
        The reason for not having a classifier.
    class_names : sequence of str
        Names of the classes that the classifier knows, by their numbers.
    """
    n = len(images)
    if n <= _NEIGHBOUR:
        record.leave(TITLES["generation"], too_few(n, _NEIGHBOUR + 1))
        return
    if not np.isfinite(samples).all():
        record.leave(TITLES["generation"], "samples of the model are not finite numbers")
        return
    record.sizes["n_samples"] = n
    made = {"generation": samples, "floor": reconstructions}
    if classifier is None:
        record.leave(["frechet_distance", "class_divergence"], why_none)
        pca = PCA(min(_COMPONENTS, *images.shape), random_state=0).fit(images)
        to_features = pca.transform
        record.features = f"{pca.n_components_} principal components of the images"
    else:
        to_features = classifier.features
        record.features = f"the {N_FEATURES} features of the classifier's last hidden layer"
        if n <= N_FEATURES:
            record.leave(["frechet_distance"], too_few(n, N_FEATURES + 1))
    real = to_features(images)
    for group, values in made.items():
        features = to_features(values)
        found = manifold_scores(real, features, _NEIGHBOUR)
        if classifier is not None and n > N_FEATURES:
            found["frechet_distance"] = frechet_distance(real, features)
        record.take(group, found)
    if classifier is not None:
        sets = {"images": images, "samples": samples, "reconstructions": reconstructions}
        shares = {
            name: class_shares(classifier.classify(values), len(class_names))
            for name, values in sets.items()
        }
        record.class_shares = {
            name: dict(zip(class_names, found.tolist(), strict=True))
            for name, found in shares.items()
        }
        for group, name in (("generation", "samples"), ("floor", "reconstructions")):
            apart = class_divergence(shares["images"], shares[name])
            record.take(group, {"class_divergence": apart})


def manifold_scores(
    real: Float[np.ndarray, "n features"], generated: Float[np.ndarray, "m features"], k: int
) -> dict[str, float]:
    """Precision, recall, density and coverage of generated samples.

    The ball of a sample reaches to its k-th nearest neighbour among the samples of its own kind.

    - precision: share of generated samples inside the ball of at least one real sample
    - recall: share of real samples inside the ball of at least one generated sample
    - density: mean number of real balls around a generated sample, divided by k; may exceed 1
    - coverage: share of real samples whose ball holds at least one generated sample

    Parameters
    ----------
    real, generated : (n, features), (m, features)
        More than k of each.
    k : int

    References
    ----------
    Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
    models"; Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models".
    """
    of_real = neighbour_distances(real, k)[:, -1]
    of_generated = neighbour_distances(generated, k)[:, -1]
    n_around = np.zeros(len(generated), np.int64)
    reached, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for first in range(0, len(real), _BLOCK):
        rows = slice(first, first + _BLOCK)
        distances = euclidean_distances(real[rows], generated)
        inside = distances < of_real[rows, None]
        n_around += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        reached[rows] = (distances < of_generated).any(axis=1)
    return {
        "precision": float((n_around > 0).mean()),
        "recall": float(reached.mean()),
        "density": float(n_around.mean() / k),
        "coverage": float(covered.mean()),
    }


def frechet_distance(
    a: Float[np.ndarray, "n features"], b: Float[np.ndarray, "m features"]
) -> float:
    """Fréchet distance of the Gaussians with the means `m` and covariances `C` of two samples.

    `|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`, as in the Fréchet inception distance.

    References
    ----------
    Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium"; Dowson & Landau 1982 for the formula.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    of_a, of_b = (np.atleast_2d(np.cov(sample, rowvar=False)) for sample in (a, b))
    # C_a C_b has the eigenvalues of the symmetric matrix R C_b R with R² = C_a.
    values, vectors = np.linalg.eigh(of_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ of_b @ root), 0)).sum()
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(max(apart + np.trace(of_a) + np.trace(of_b) - 2 * shared, 0))


def class_shares(classes: Int[np.ndarray, " n"], n_classes: int) -> Float[np.ndarray, " classes"]:
    """Share of each class."""
    return np.bincount(classes, minlength=n_classes) / len(classes)


def class_divergence(a: Float[np.ndarray, " classes"], b: Float[np.ndarray, " classes"]) -> float:
    """Jensen-Shannon divergence of two histograms in bits, from 0 (equal) to 1 (disjoint).

    The mean of the Kullback-Leibler divergences from `a` and from `b` to their mean (Lin 1991).
    """
    middle = (a + b) / 2

    def divergence(shares: np.ndarray) -> float:
        some = shares > 0
        return float((shares[some] * np.log2(shares[some] / middle[some])).sum())

    return max((divergence(a) + divergence(b)) / 2, 0.0)
