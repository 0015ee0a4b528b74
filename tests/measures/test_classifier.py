"""The small classifier: it learns, repeats itself, and its features lead to its classes."""

import numpy as np
from sklearn.datasets import load_digits

from autodecoder.measures.classifier import N_FEATURES, Classifier


def test_it_learns_digits() -> None:
    images, labels = load_digits(return_X_y=True)
    images, labels = np.asarray(images, np.float32) / 16, np.asarray(labels, np.int32)
    classifier = Classifier(images[:1400], labels[:1400], 0)
    assert (classifier.classify(images[1400:]) == labels[1400:]).mean() > 0.9
    features = classifier.features(images[:10])
    assert features.shape == (10, N_FEATURES)
    assert (features >= 0).all()
    assert features.std(axis=0).max() > 0
    again = Classifier(images[:1400], labels[:1400], 0)
    np.testing.assert_array_equal(again.features(images[:10]), features)
    other = Classifier(images[:1400], labels[:1400], 1)
    assert (other.features(images[:10]) != features).any()


def test_classes_keep_their_numbers() -> None:
    images = np.eye(2, dtype=np.float32)
    classifier = Classifier(images, np.array([1, 4], np.int32), 0)
    np.testing.assert_array_equal(classifier.classify(images), [1, 4])
