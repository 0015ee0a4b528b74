"""Digits told apart by logistic regression, after principal components or an auto-decoder.

    python benchmarks/pipeline.py [--splits 3]

The same pipeline, the same dimensions and the same splits; prints the share of unseen digits that
is told rightly, and the reconstruction errors of a 5-fold search over the length of the latents.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodecoder import AutoDecoder


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_args()
    digits, classes = map(np.asarray, load_digits(return_X_y=True))
    print("| split | dimensions | principal components | AutoDecoder | seconds |")
    print("|---|---|---|---|---|")
    for split in range(options.splits):
        parts = train_test_split(digits, classes, random_state=split, stratify=classes)
        for dims in (2, 4):
            scores = []
            start = time.perf_counter()
            for reduction in (PCA(dims), AutoDecoder(dims, random_state=split)):
                start = time.perf_counter()
                classify = LogisticRegression(max_iter=5000)
                pipeline = make_pipeline(StandardScaler(), reduction, classify)
                scores.append(pipeline.fit(parts[0], parts[2]).score(parts[1], parts[3]))
            seconds = time.perf_counter() - start
            print(f"| {split} | {dims} | {scores[0]:.3f} | {scores[1]:.3f} | {seconds:.1f} |")
    lengths = [1, 2, 4, 8]
    search = GridSearchCV(
        AutoDecoder(arch="64-64", num_epochs=100, random_state=0), {"latent_dims": lengths}
    )
    start = time.perf_counter()
    search.fit(digits)
    seconds = time.perf_counter() - start
    print(f"\n5 folds: {seconds:.0f} s, best {search.best_params_}; mean squared error,")
    print("standardized, of the folds left out (that of the mean alone:", end=" ")
    print(f"{_lost_by_components(digits, 0):.2f})\n")
    print("| dimensions | principal components | AutoDecoder |")
    print("|---|---|---|")
    for dims, score in zip(lengths, search.cv_results_["mean_test_score"], strict=True):
        print(f"| {dims} | {_lost_by_components(digits, dims):.2f} | {-score:.2f} |")


def _lost_by_components(samples: np.ndarray, dims: int) -> float:
    """Mean squared error of principal components on the same folds, standardized likewise."""
    errors = []
    for train, test in KFold(5).split(samples):
        scaler = StandardScaler().fit(samples[train])
        known, unseen = scaler.transform(samples[train]), scaler.transform(samples[test])
        found = np.zeros_like(unseen)
        if dims:
            pca = PCA(dims).fit(known)
            found = pca.inverse_transform(pca.transform(unseen))
        errors.append(np.mean((found - unseen) ** 2))
    return float(np.mean(errors))


if __name__ == "__main__":
    main()
