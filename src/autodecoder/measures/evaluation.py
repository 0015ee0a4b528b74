"""The result of evaluating a model: numbers by name, as a table, and as a file."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from autodecoder.errors import DataError
from autodecoder.files import read_json, write_json
from autodecoder.text import legible

#: The file of an evaluation in the folder of its model.
FILE = "evaluation.json"

#: Titles of the measures by name, in the order of tables.
TITLES = {
    "reconstruction": {
        "mse_standard": "mean squared error, pixels in [-1, 1]",
        "mse_zero_one": "mean squared error, pixels in [0, 1]",
        "mse_standardize": "mean squared error, standardised features",
        "psnr": "PSNR in dB, mean over images",
        "psnr_of_mean": "PSNR in dB of the mean error",
        "ssim": "SSIM",
    },
    "structure": {
        "accuracy_1nn": "1-NN accuracy, training to evaluated",
        "accuracy_5nn": "5-NN accuracy, training to evaluated",
        "accuracy_15nn": "15-NN accuracy, training to evaluated",
        "loo_accuracy_1nn": "1-NN accuracy, leave-one-out",
        "loo_accuracy_5nn": "5-NN accuracy, leave-one-out",
        "loo_accuracy_15nn": "15-NN accuracy, leave-one-out",
        "trustworthiness": "trustworthiness, 5 neighbours",
        "continuity": "continuity, 5 neighbours",
        "silhouette": "silhouette of the classes",
        "adjusted_rand": "adjusted Rand index of the density's components",
        "dimension_images_two_nn": "intrinsic dimension of images, TwoNN",
        "dimension_latents_two_nn": "intrinsic dimension of latents, TwoNN",
        "dimension_images_mle": "intrinsic dimension of images, maximum likelihood",
        "dimension_latents_mle": "intrinsic dimension of latents, maximum likelihood",
        "active_units": "active units",
    },
    "generation": {
        "precision": "precision",
        "recall": "recall",
        "density": "density",
        "coverage": "coverage",
        "frechet_distance": "Fréchet distance",
        "class_divergence": "divergence of the classes in bits",
    },
}
#: What the sizes of an evaluation count.
_SIZES = {
    "n_images": "evaluated",
    "n_train_latents": "training latents",
    "n_subset": "for neighbours and dimensions",
    "n_samples": "samples beside as many images",
    "n_classifier": "to train the classifier",
}
#: Most classes of which a table shows the shares.
_MOST_CLASSES = 30


class Row(NamedTuple):
    """A line of the table of measures."""

    group: str
    title: str
    value: str
    floor: str
    """The same measure of reconstructions; blank where there is none."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measures of a model, see `docs/evaluate.md`. Printing it shows a table."""

    reconstruction: Mapping[str, float]
    """Errors of the reconstructions of the evaluated images."""
    structure: Mapping[str, int | float]
    """Neighbours, classes and dimension of their latents."""
    generation: Mapping[str, float]
    """New samples beside the evaluated images."""
    floor: Mapping[str, float]
    """The measures of `generation`, for reconstructions instead of samples."""
    class_shares: Mapping[str, Mapping[str, float]]
    """Share of each class among `images`, `samples` and `reconstructions`, by the classifier."""
    features: str
    """The space in which samples and images are compared."""
    classifier_accuracy: float | None
    """Accuracy of the classifier on evaluated images; `None` without a classifier."""
    left_out: Mapping[str, str]
    """Reason for each measure that is left out."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Numbers of images, latents and samples."""
    images: str = "images"
    """What the evaluated images are."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def rows(self) -> list[Row]:
        """A line for each measure that was taken."""
        found = []
        for group, titles in TITLES.items():
            values = getattr(self, group)
            floor = self.floor if group == "generation" else {}
            for name, title in titles.items():
                if name in values:
                    told = (_number(part[name]) if name in part else "" for part in (values, floor))
                    found.append(Row(group, title, *told))
        return found

    def class_rows(self) -> list[tuple[str, ...]]:
        """A line for each class with its shares in percent, below a head; empty if there are
        many classes."""
        names = {name: None for shares in self.class_shares.values() for name in shares}
        if not 0 < len(names) <= _MOST_CLASSES:
            return []
        parts = self.class_shares.values()
        lines = (
            (name, *(f"{100 * shares.get(name, 0):.1f} %" for shares in parts)) for name in names
        )
        return [("class", *self.class_shares), *lines]

    def notes(self) -> list[str]:
        """What the table needs to be read: sizes, features, and what was left out and why."""
        sizes = "; ".join(
            f"{self.sizes[name]:,} {what}" for name, what in _SIZES.items() if name in self.sizes
        )
        told = [f"{self.images}: {sizes}."]
        if self.generation:
            told.append(f"Samples and images are compared by {self.features}.")
        if self.classifier_accuracy is not None:
            told.append(
                f"The classifier is right about {100 * self.classifier_accuracy:.1f} % of the "
                "images."
            )
        for reason in dict.fromkeys(self.left_out.values()):
            names = [name for name, why in self.left_out.items() if why == reason]
            told.append(f"Left out, since {reason}: {', '.join(names)}.")
        return told

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        rows, group = self.rows(), ""
        width = max((len(row.title) for row in rows), default=0)
        for row in rows:
            if row.group != group:
                group = row.group
                heads = ("samples", "reconstructions") if group == "generation" else ("", "")
                yield f"{group:{width + 2}}{heads[0]:>10}  {heads[1]:>15}".rstrip()
            yield f"  {row.title:{width}}{row.value:>10}  {row.floor:>15}".rstrip()
        table = self.class_rows()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            yield "  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True))
        yield from self.notes()


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as JSON.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_json(path, evaluation.to_dict())


def read_evaluation(path: Path) -> Evaluation:
    """Read what `write_evaluation` wrote.

    Raises
    ------
    DataError
        If the file cannot be read, or holds anything else.
    """
    content = read_json(path)
    try:
        return Evaluation(**{part.name: _READ[part.name](content[part.name]) for part in _PARTS})
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{path} is damaged: it is no evaluation of a model.") from error


def _numbers(content: Any) -> dict[str, int | float]:
    found = {legible(name): value for name, value in content.items()}
    if not all(type(value) in (int, float) and math.isfinite(value) for value in found.values()):
        raise ValueError("a measure is a finite number")
    return found


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError("text is needed")
    return legible(content)


_PARTS = fields(Evaluation)
_READ = {
    **dict.fromkeys(("reconstruction", "structure", "generation", "floor", "sizes"), _numbers),
    "class_shares": lambda found: {_text(name): _numbers(part) for name, part in found.items()},
    "left_out": lambda found: {_text(name): _text(reason) for name, reason in found.items()},
    "features": _text,
    "images": _text,
    "classifier_accuracy": lambda found: None if found is None else _numbers({"": found})[""],
}


def _number(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
