"""Write docs/evidence.md from its template and the results of benchmarks/evidence.py.

    python docs/make_evidence.py [--results FOLDER] [--out FILE]

Every measured number of the page comes from the files of the results. A table
has a row for each cell that was run, and a section without cells is left out.
"""

import argparse
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from page_template import fill

HERE = Path(__file__).parent
PAGE, TEMPLATE = HERE / "evidence.md", "evidence.md.jinja"
RESULTS = HERE.parent / "benchmarks" / "evidence"
DATA = {"mnist": "MNIST", "fmnist": "Fashion-MNIST", "cifar10": "CIFAR-10 (JPEG)"}
OURS = "auto-decoder"
#: With spaces at which no line breaks.
PLUS_MINUS = "\u00a0±\u00a0"


class Cell:
    """The result of one cell."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name or path.stem
        self.content: dict[str, Any] = json.loads(path.read_text())
        self.rows = {row.get("name"): row for row in self.content.get("rows", [])}
        self.data = DATA.get(self.name.partition("-")[0], self.name)

    def values(self, row: str, measure: str = "error") -> list[float]:
        """A measure of each seed's fit, without those that diverged."""
        scores = self.rows[row]["scores"] if row in self.rows else []
        found = [
            score.get(measure, score["measures"].get(measure))
            for score in scores
            if not score["diverged"]
        ]
        return [value for value in found if value is not None]

    def mean(self, row: str, measure: str = "error") -> float:
        """Mean over the seeds; NaN without a value."""
        values = self.values(row, measure)
        return mean(values) if values else math.nan

    def number(self, row: str, measure: str = "error", digits: int = 4) -> str:
        """Mean ± standard deviation over the seeds."""
        values = self.values(row, measure)
        if not values:
            return "–"
        text = f"{mean(values):.{digits}f}"
        spread = stdev(values) if len(values) > 1 else 0.0
        return f"{text}{PLUS_MINUS}{spread:.{digits}f}" if spread else text

    def share(self, row: str, measure: str = "error", *, of: str) -> float:
        """How much larger the mean of a row is than that of another, in percent."""
        return 100 * (self.mean(row, measure) / self.mean(of, measure) - 1)


class Results:
    """The cells that were run, by part."""

    def __init__(self, folder: Path) -> None:
        self.parts = {
            part.name: {path.stem: Cell(path) for path in sorted(part.glob("*.json"))}
            for part in sorted(folder.iterdir())
            if part.is_dir() and part.name != "pictures"
        }
        self.pictures = sorted(path.name for path in (folder / "pictures").glob("*.png"))

    def cells(self, part: str, *words: str) -> list[Cell]:
        """The cells of a part whose name has all of some words between its hyphens; data sets in
        the order of `DATA`."""
        found = [
            cell
            for name, cell in self.parts.get(part, {}).items()
            if all(f"-{word}-" in f"-{name}-" for word in words)
        ]
        order = list(DATA)
        return sorted(found, key=lambda cell: _rank(cell, order))

    def planes(self) -> list[Cell]:
        """The cells of two dimensions whose latents are compared with layouts of libraries."""
        return [cell for cell in self.cells("two") if cell.name.endswith("-500-500")]

    def few(self, dims: int) -> list[Cell]:
        """The cells of few images, with those of all images from other parts."""
        whole = {2: ("two", "{}-500-500"), 16: ("longer", "{}-16-dense-epochs")}
        part, name = whole[dims]
        found = self.cells("few", str(dims))
        for data in dict.fromkeys(cell.name.partition("-")[0] for cell in found):
            cell = self.parts.get(part, {}).get(name.format(data))
            if cell is not None:
                n = cell.content["settings"]["n_train"]
                found.append(Cell(cell.path, f"{data}-{dims}-{n}"))
        return sorted(found, key=lambda cell: _rank(cell, list(DATA)))

    def one(self, part: str, name: str) -> Cell:
        """One cell."""
        return self.parts[part][name]

    def has(self, part: str, name: str = "") -> bool:
        """Whether a cell, or any of a part, was run."""
        return name in self.parts.get(part, {}) if name else bool(self.parts.get(part))

    def machines(self) -> str:
        """The libraries with which the cells were run."""
        found = dict.fromkeys(
            ", ".join(
                f"{name} {value}"
                for name, value in cell.content["machine"].items()
                if name in ("python", "jax", "scikit-learn")
            )
            for cells in self.parts.values()
            for cell in cells.values()
        )
        return "; ".join(found)


def _rank(cell: Cell, order: list[str]) -> tuple[int, list[int], str]:
    first, *rest = cell.name.split("-")
    numbers = [int(part) for part in rest if part.isdecimal()]
    return (order.index(first) if first in order else len(order), numbers, cell.name)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [list(head), ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def error_table(
    cells: Sequence[Cell],
    first: str,
    label: Callable[[Cell], str],
    columns: dict[str, str],
    measure: str = "error",
    digits: int = 4,
    against: Sequence[str] = (),
) -> str:
    """Errors of methods, a line for each cell.

    Parameters
    ----------
    cells : sequence of Cell
    first : str
        Head of the first column; `label` fills it.
    columns : dict
        Title of each method by name.
    against : sequence of str
        Methods that ours is compared with, in percent.
    """
    head = [first, *columns.values(), *(f"against {columns[name]}" for name in against)]
    lines = []
    for cell in cells:
        best = min(
            (cell.mean(name, measure) for name in columns if cell.values(name, measure)),
            default=math.nan,
        )
        line = [label(cell)]
        for name in columns:
            text = cell.number(name, measure, digits)
            line.append(f"**{text}**" if cell.mean(name, measure) == best else text)
        for name in against:
            share = cell.share(OURS, measure, of=name)
            line.append("–" if math.isnan(share) else f"{share:+.1f}\u00a0%")
        lines.append(line)
    return table(head, lines)


def span(cells: Sequence[Cell], of: str, measure: str = "error", ours: str = OURS) -> str:
    """How far the error of ours is below, or above, that of another method, over some cells."""
    shares = [cell.share(ours, measure, of=of) for cell in cells]
    ends = [f"{abs(share):.0f} % {'lower' if share < 0 else 'higher'}" for share in sorted(shares)]
    first, last = ends[0], ends[-1]
    if first == last:
        return first
    if first.split()[2] != last.split()[2]:
        return f"between {first} and {last}"
    low, high = sorted((first, last), key=lambda end: float(end.split()[0]))
    return f"{low.split()[0]} to {high}"


def least(cell: Cell, row: str) -> float:
    """Least seconds that a method took to place the test images."""
    return min(cell.values(row, "place_seconds"), default=math.nan)


def listed(cells: Sequence[Cell], row: str, measure: str) -> str:
    """A measure of each cell that has it, with the data."""
    return _listed((cell, cell.mean(row, measure)) for cell in cells)


def listed_best(cells: Sequence[Cell], measure: str, *, least: bool = False) -> str:
    """The largest or least value of all auto-decoders of each cell."""
    return _listed((cell, _best(cell, measure, min if least else max)) for cell in cells)


def _best(cell: Cell, measure: str, choose: Callable[..., float]) -> float:
    values = [cell.mean(row, measure) for row in (OURS, "mixture prior", "variational")]
    return choose((value for value in values if not math.isnan(value)), default=math.nan)


def listed_real(results: Results, measure: str) -> str:
    """A measure of training images in place of samples."""
    return _listed(
        (cell, cell.content["measures"].get(measure, math.nan)) for cell in results.cells("real")
    )


def _listed(values: Iterable[tuple[Cell, float]], digits: int = 3) -> str:
    found = [(cell.data, value) for cell, value in values if not math.isnan(value)]
    return ", ".join(f"{value:.{digits}f} ({data})" for data, value in found) or "unknown"


def all_below(cells: Sequence[Cell], of: str, percent: float) -> bool:
    """Whether the error of ours is lower by so much, or more, in all cells."""
    return all(cell.share(OURS, of=of) <= -percent for cell in cells)


def structure_table(results: Results) -> str:
    """Neighbours in two dimensions, with the layouts of other libraries."""
    names = {
        "pca": "PCA",
        "ae": "autoencoder",
        "vae": "VAE",
        OURS: "auto-decoder",
        "neighbours": "auto-decoder, start `neighbours`",
    }
    lines = []
    for cell in results.planes():
        for name, title in names.items():
            if not cell.values(name):
                continue
            lines.append(
                [
                    cell.data,
                    title,
                    cell.number(name, "5-NN accuracy", 3),
                    cell.number(name, "trustworthiness", 3),
                    cell.number(name, "seconds", 1),
                    f"{least(cell, name):.2f}",
                ]
            )
        beside = results.parts.get("peers", {}).get(cell.name.partition("-")[0])
        for row in beside.content["rows"] if beside else []:
            numbers = [f"{row[key]:.3f}" for key in ("5-NN accuracy", "trustworthiness")]
            seconds = [f"{row[key]:.1f}" for key in ("fit", "transform")]
            lines.append([cell.data, row["title"], *numbers, *seconds])
    head = ["data", "method", "5-NN accuracy", "trustworthiness", "fit, s", "place, s"]
    return table(head, lines)


def generation_table(results: Results) -> str:
    """Measures of samples."""
    measures = {
        "precision": 3,
        "recall": 3,
        "density": 3,
        "coverage": 3,
        "frechet_distance": 2,
        "class_divergence": 4,
    }
    names = {
        "ae": ("autoencoder", ""),
        "vae": ("VAE", ""),
        "vae, normal": ("VAE, normal", " (normal)"),
        OURS: ("auto-decoder", ""),
        "mixture prior": ("auto-decoder, mixture prior", ""),
        "variational": ("auto-decoder, variational", ""),
    }
    lines = []
    for cell in results.cells("generation"):
        for name, (title, suffix) in names.items():
            row = name.partition(",")[0]
            if cell.values(row):
                numbers = [cell.number(row, key + suffix, n) for key, n in measures.items()]
                floor = cell.number(row, "frechet_distance (reconstructions)", 2)
                lines.append([cell.data, title, cell.number(row), *numbers, floor])
        real = results.parts.get("real", {}).get(cell.name)
        if real is not None:
            numbers = [f"{real.content['measures'][key]:.{n}f}" for key, n in measures.items()]
            lines.append([cell.data, "training images themselves", "", *numbers, ""])
    head = [
        *("data", "method", "error", "precision", "recall", "density", "coverage"),
        *("Fréchet distance", "divergence of classes", "Fréchet distance of reconstructions"),
    ]
    return table(head, lines)


def hidden_table(results: Results) -> str:
    """Hidden halves."""
    lines = []
    for cell in results.cells("hidden"):
        content = cell.content
        found = [[row[key] for row in content["rows"]] for key in ("without", "with", "draws")]
        lines.append(
            [
                f"{cell.data}, {cell.name.split('-')[1]}-D",
                f"{content['mean image']:.4f}",
                f"{content['pca']:.4f}",
                *(_spread(values) for values in found),
            ]
        )
    head = ["data", "mean image", "best PCA", "no prior", "with the prior", "mean of 8 draws"]
    return table(head, lines)


#: Errors of test images that others publish: a convolutional autoencoder, 32 × 32, 256 latent
#: dimensions, pixels from 0 to 1 (Bozkurt 2021). The sums that are printed there are divided by the
#: number of values of an image.
PUBLISHED = {
    "mnist": 0.0775 / 32**2,
    "fmnist": 0.480 / 32**2,
    "cifar10": 6.96 / (3 * 32**2),
}


def published_table(results: Results) -> str:
    """Errors in the scaling of others, from 0 to 1, beside the ones they publish."""
    wide = results.parts.get("longer", {}).get("cifar10-256-dense-epochs")
    lines = []
    for cell in [*results.cells("published"), *([wide] if wide else [])]:
        ours = [cell.mean(name) / 4 for name in ("pca", OURS)]
        others = PUBLISHED[cell.name.partition("-")[0]]
        lines.append([cell.data, *(f"{error:.2g}" for error in (*ours, others))])
    head = ["data", "PCA", "auto-decoder", "published autoencoder"]
    return table(head, lines)


def time_table(results: Results) -> str:
    """Errors after fits of some seconds."""
    names = {"ae": "autoencoder", "ae-refined": "refined", "vae": "VAE", OURS: "auto-decoder"}
    lines = []
    for cell in results.cells("time"):
        by_budget = itertools.groupby(cell.content["rows"], key=lambda row: row["budget"])
        for seconds, rows in by_budget:
            errors = {row["name"]: f"{row['error']:.4f}" for row in rows}
            lines.append([f"{cell.data}, {seconds:g} s", *(errors.get(n, "–") for n in names)])
    return table(["data, seconds of training", *names.values()], lines)


def robustness_table(results: Results) -> str:
    """How much learning rate and seed matter."""
    lines = []
    for cell in results.cells("robustness"):
        for name, row in cell.rows.items():
            errors = cell.values(name)
            if not errors:
                continue
            middle = sorted(errors)[len(errors) // 2]
            spoilt = len(row["scores"]) - sum(error < SPOILT * middle for error in errors)
            lines.append(
                [
                    row["title"],
                    cell.number(name),
                    f"{spoilt} of {len(row['scores'])}",
                    f"{octaves(row['searched']):.1f}",
                    f"{row['rate']:.2g}",
                    f"{row['scores'][0]['n_trained']:,}",
                    f"{row['scores'][0]['n_kept']:,}",
                    cell.number(name, "seconds", 1),
                ]
            )
    head = [
        *("method", "error", "spoilt fits", "octaves of learning rate", "best rate"),
        *("values trained", "values kept", "seconds"),
    ]
    return table(head, lines)


#: A fit is spoilt if its error exceeds the median by this factor.
SPOILT = 1.25


def octaves(searched: dict[str, float | None], within: float = 1.05) -> float:
    """Width of the range of learning rates, in octaves, whose error is within 5 % of the least one.

    Between the rates that were tried, the error is interpolated linearly over the logarithm.
    """
    known = sorted((math.log2(float(rate)), e) for rate, e in searched.items() if e is not None)
    least = min(error for _, error in known)
    limit, width = within * least, 0.0
    for (a, low), (b, high) in itertools.pairwise(known):
        inside = [low <= limit, high <= limit]
        if all(inside):
            width += b - a
        elif any(inside):
            width += (b - a) * abs((limit - (low if inside[0] else high)) / (high - low))
    return width


def _spread(values: Sequence[float]) -> str:
    spread = f"{PLUS_MINUS}{stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def page(results: Results) -> str:
    """The page."""

    def data_and(place: int) -> Callable[[Cell], str]:
        def label(cell: Cell) -> str:
            word = cell.name.split("-")[place]
            return f"{cell.data}, {int(word):,}" if word.isdecimal() else f"{cell.data}, {word}"

        return label

    tools = {
        "results": results,
        "data": DATA,
        "ours": OURS,
        "error_table": error_table,
        "pictures": results.pictures,
        **{f.__name__: f for f in (span, all_below, least, listed, listed_best, octaves)},
        "data_of": lambda cell: cell.data,
        "data_and": data_and,
        **{
            function.__name__: functools.partial(function, results)
            for function in (
                structure_table,
                generation_table,
                hidden_table,
                published_table,
                time_table,
                robustness_table,
                listed_real,
            )
        },
    }
    return fill(TEMPLATE, **tools)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    options.out.write_text(page(Results(options.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
