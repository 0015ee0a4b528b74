"""A table of measurements: two numbers for each row, and missing entries filled in.

    python examples/table.py

Thirty features of 569 tumours (scikit-learn's breast cancer data), each in its own units. The
decoder learns to make a row of two numbers; the diagnosis takes no part. Then a fifth of the
entries of rows that it has not seen is hidden and filled in from the others.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodecoder import AutoDecoder


def main() -> None:
    table, benign = load_breast_cancer(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(table, benign, random_state=0)
    scale = train.std(0)

    decoder = AutoDecoder(latent_dims=2, arch="64-64", num_epochs=100, random_state=0)
    latents = decoder.fit_transform(train)
    unseen = decoder.transform(test)
    pca = make_pipeline(StandardScaler(), PCA(2)).fit(train)
    for name, known, new, made in (
        ("AutoDecoder", latents, unseen, decoder.inverse_transform(unseen)),
        ("PCA", pca.transform(train), pca.transform(test),
         pca.inverse_transform(pca.transform(test))),
    ):  # fmt: skip
        error = (((made - test) / scale) ** 2).mean()
        right = LogisticRegression().fit(known, train_labels).score(new, test_labels)
        print(f"{name}: {error:.3f} of the variance lost, diagnosis from 2 numbers {right:.3f}")

    rng = np.random.default_rng(0)
    seen = rng.random(test.shape) > 0.2
    filled = decoder.model_.reconstruct(test, mask=seen)
    means = SimpleImputer().fit(train).transform(np.where(seen, test, np.nan))
    for name, guess in (("decoder", filled), ("column means", means)):
        error = (((guess - test) / scale)[~seen] ** 2).mean()
        print(f"hidden entries by {name}: squared error {error:.3f} of the variance")


if __name__ == "__main__":
    main()
