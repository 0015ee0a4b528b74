"""An evaluation, made by hand."""

from typing import Any

from autodecoder.measures.evaluation import Evaluation


def make_evaluation(**changes: Any) -> Evaluation:
    content: dict[str, Any] = {
        "reconstruction": {"mse_standard": 0.4, "mse_zero_one": 0.1},
        "structure": {"accuracy_5nn": 0.875, "active_units": 12},
        "generation": {"precision": 0.5, "frechet_distance": 1234.5},
        "floor": {"precision": 0.75, "frechet_distance": 0.25},
        "class_shares": {"images": {"cat": 0.5, "dog": 0.5}, "samples": {"cat": 1.0, "dog": 0.0}},
        "features": "a space",
        "classifier_accuracy": 0.9,
        "left_out": {"ssim": "of that", "recall": "of this", "density": "of this"},
        "sizes": {"n_images": 1000, "n_samples": 7},
        "images": "<b>animals</b>",
    }
    return Evaluation(**content | changes)
