"""In a pipeline of scikit-learn: how many latent dimensions a classifier needs.

    python examples/pipeline.py

Digits are reduced by `AutoDecoder` and told apart by logistic regression; `GridSearchCV` chooses
the length of the latents. The decoder never sees a label.
"""

import os

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodecoder import AutoDecoder


def main() -> None:
    images, digits = load_digits(return_X_y=True)
    pixels = images.reshape(-1, 8, 8) / 16
    train, test, train_digits, test_digits = train_test_split(pixels, digits, random_state=0)
    epochs = int(os.environ.get("AUTODECODER_DEMO_EPOCHS", "60"))
    pipeline = make_pipeline(
        AutoDecoder(arch="64-64", num_epochs=epochs, random_state=0),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    search = GridSearchCV(pipeline, {"autodecoder__latent_dims": [2, 4, 8]}, cv=3)
    search.fit(train, train_digits)
    for dims, score in zip((2, 4, 8), search.cv_results_["mean_test_score"], strict=True):
        print(f"{dims} dimensions: {score:.3f} right in cross-validation")
    print(f"the best on digits held out: {search.score(test, test_digits):.3f}")


if __name__ == "__main__":
    main()
