"""Digits told apart by logistic regression, after principal components or an auto-decoder.

    python benchmarks/pipeline.py [--splits 3]

The same pipeline, the same dimensions and the same splits; prints the share of unseen digits that
is told rightly, and what 5-fold cross-validation finds best.
"""

import argparse
import time

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodecoder import AutoDecoder


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_args()
    digits, classes = load_digits(return_X_y=True)
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
    search = GridSearchCV(
        AutoDecoder(arch="64-64", num_epochs=100, random_state=0), {"latent_dims": [1, 2, 4, 8]}
    )
    start = time.perf_counter()
    search.fit(digits)
    means = ", ".join(f"{-score:.3f}" for score in search.cv_results_["mean_test_score"])
    print(f"5 folds, latent_dims 1, 2, 4, 8: mean squared error {means}; ", end="")
    print(f"best {search.best_params_}; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
