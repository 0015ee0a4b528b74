"""Write docs/evidence.md from its template and the results of benchmarks/evidence.py.

    python docs/make_evidence.py [--results FOLDER] [--out FILE]

Every measured number of the page comes from the files of the results. A table
has a row for each cell that was run, and a section without cells is left out.
"""

import argparse
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from evidence_pictures import FEW, draw_few
from evidence_results import (
    DATA,
    OURS,
    PLUS_MINUS,
    Cell,
    Results,
    listed,
    listed_real,
    settings_of,
    setup_of,
    sizes,
    steps_of,
    tally,
    unsearched,
    weights_tried,
    where,
)
from evidence_verdicts import (
    BESIDE,
    COMPARED,
    better,
    certain,
    compared,
    encoder_share,
    farthest,
    highest_at,
    least,
    losses,
    most_unlike,
    peers_of,
    soonest,
    structure,
    unhelped,
    worse_averaged,
    worse_samples,
)
from page_template import fill

HERE = Path(__file__).parent
#: Seeds of a line that tells no other number.
USUAL_SEEDS = 3
PAGE, TEMPLATE = HERE / "evidence.md", "evidence.md.jinja"
RESULTS = HERE.parent / "benchmarks" / "evidence"


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
    against: Sequence[str] = (),
) -> str:
    """Errors of methods, a line for each cell.

    The lowest error is bold, and those without a spoilt fit that a paired test of three fits or
    more cannot tell from it.

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
        measured = [name for name in columns if cell.values(name, measure)]
        best = min(measured, key=lambda name: cell.mean(name, measure), default=None)
        digits = digits_of(cell.mean(best, measure) if best is not None else 1.0)
        n = cell.n_seeds
        line = [label(cell) + (f" ({n} seed{'s' * (n > 1)})" if n != USUAL_SEEDS else "")]
        for name in columns:
            text = cell.number(name, measure, digits)
            is_bold = name == best or (
                name in measured
                and not cell.spoilt(name)
                and cell.cannot_tell(name, best or name, measure)
            )
            line.append(f"**{text}**" if is_bold else text)
        for name in against:
            share = cell.share(OURS, measure, of=name)
            line.append("–" if math.isnan(share) else f"{share:+.1f}\u00a0%")
        lines.append(line)
    return table(head, lines)


def digits_of(error: float) -> int:
    """Digits behind the point: four to six, so that three or two tell of a small error."""
    return min(6, max(4, 2 - math.floor(math.log10(error)))) if error > 0 else 4


def seconds_table(cells: Sequence[Cell], names: dict[str, str]) -> str:
    """Mean seconds of training, and least ones of placing the test images.

    Cells with rows that were fitted at another time are left out: the speed of a machine changes.
    """
    lines = [
        [
            f"{cell.data}, {cell.label.split(', ')[1]}",
            *(
                f"{cell.mean(name, 'seconds'):.0f} + {least(cell, name):.1f}"
                if cell.values(name)
                else "–"
                for name in names
            ),
        ]
        for cell in cells
        if "renewed" not in cell.content
    ]
    head = ["data, training + placing in seconds", *names.values()]
    return table(head, lines) if lines else ""


def summary_table(results: Results) -> str:
    """How often our error is lower than that of an autoencoder."""
    lines = []
    for title, part, words, measure in COMPARED:
        if results.cells(part, *words):
            tallies = (tally(compared(results, n, part, words), n, measure) for n in BESIDE)
            lines.append([title, *map(str, tallies)])
    return table(
        ["error of the auto-decoder", *(f"against the {t}" for t in BESIDE.values())], lines
    )


def structure_table(results: Results) -> str:
    """Neighbours in two dimensions, with the layouts of other libraries."""
    names = {
        "pca": "PCA",
        "ae": "autoencoder",
        "ae-refined": "autoencoder, refined",
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
        for row in results.peers(cell):
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
                f"{cell.data}, {cell.dims}-D",
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
    names = {"pca": "PCA", "ae": "autoencoder", "ae-refined": "refined", OURS: "auto-decoder"}
    lines = []
    large = results.cells("longer", "256", "dense", "epochs")  # of which CIFAR-10 is 32 × 32 itself
    for cell in [*results.cells("published"), *large]:
        data = cell.name.partition("-")[0]
        if cell.part == "published" or data == "cifar10":
            errors = [f"{cell.mean(name) / 4:.2g}" if cell.values(name) else "–" for name in names]
            sides = [cell.data, sizes([cell]), settings_of([cell], "num_epochs")]
            lines.append([*sides, *errors, f"{PUBLISHED[data]:.2g}"])
    head = ["data", "training images", "epochs", *names.values(), "published autoencoder"]
    return table(head, lines)


def time_table(results: Results) -> str:
    """Errors after fits of some seconds, with those that a fit took."""
    names = {"ae": "autoencoder", "ae-refined": "refined", "vae": "VAE", OURS: "auto-decoder"}
    lines = []
    for cell in results.cells("time"):
        by_budget = itertools.groupby(cell.content["rows"], key=lambda row: row["budget"])
        for seconds, rows in by_budget:
            errors = {row["name"]: _timed(row) for row in rows}
            lines.append([f"{cell.data}, {seconds:g} s", *(errors.get(n, "–") for n in names)])
    return table(["data, seconds of training", *names.values()], lines)


def _timed(row: dict[str, Any]) -> str:
    (score,) = row["scores"]
    return f"{row['error']:.4f} ({score['seconds']:.1f} s)"


def robustness_table(results: Results) -> str:
    """How much learning rate and seed matter."""
    lines = []
    for cell in results.cells("robustness"):
        for name, row in cell.rows.items():
            if not cell.values(name):
                continue
            lines.append(
                [
                    row["title"],
                    cell.number(name),
                    f"{cell.spoilt(name)} of {len(row['scores'])}",
                    f"{octaves(row['searched']):.1f}",
                    f"{row['rate']:.2g}",
                    f"{row['scores'][0]['n_trained']:,}",
                    f"{row['scores'][0]['n_kept']:,}",
                    f"{row['scores'][0]['memory'] / 1e6:.0f}",
                    cell.number(name, "seconds", 1),
                    f"{least(cell, name):.2f}",
                ]
            )
    head = [
        *("method", "error", "spoilt fits", "octaves of learning rate", "best rate"),
        *("values trained", "values kept", "memory, MB", "fit, s", "place, s"),
    ]
    return table(head, lines)


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
        return lambda cell: f"{cell.data}, {cell.label.split(', ')[place]}"

    of_all = (
        *(structure_table, generation_table, hidden_table, published_table, time_table),
        *(robustness_table, listed_real, summary_table, better, losses, highest_at, soonest),
        *(certain, structure, peers_of, most_unlike, worse_samples, farthest),
        *(unhelped, worse_averaged, encoder_share),
    )
    tools = {
        "results": results,
        "data": DATA,
        "ours": OURS,
        "pictures": results.pictures,
        **{f.__name__: f for f in (error_table, seconds_table, tally, where, least, listed)},
        **{
            f.__name__: f
            for f in (unsearched, octaves, sizes, settings_of, steps_of, setup_of, weights_tried)
        },
        "data_of": lambda cell: cell.data,
        "data_and": data_and,
        **{function.__name__: functools.partial(function, results) for function in of_all},
    }
    return fill(TEMPLATE, **tools)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    pictures = options.results / "pictures"
    pictures.mkdir(exist_ok=True)
    draw_few(Results(options.results), pictures / FEW)
    options.out.write_text(page(Results(options.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
