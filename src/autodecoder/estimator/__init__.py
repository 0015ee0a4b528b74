"""The auto-decoder as a transformer of scikit-learn."""

from autodecoder.estimator.estimator import AutoDecoder

__all__ = ["AutoDecoder"]
