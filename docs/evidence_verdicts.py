"""Statements of docs/evidence.md that follow from the results."""

import math
from collections.abc import Sequence
from statistics import mean

from evidence_results import LEVEL, OURS, Cell, Results, Tally, extent, holm, joined, tally, where

#: The comparisons of errors: what they are about, their part, words of their names, and measure.
COMPARED = (
    ("two dimensions", "two", (), "error"),
    ("longer latents, equal epochs", "longer", ("epochs",), "error"),
    ("longer latents, equal seconds", "longer", ("seconds",), "error"),
    ("few images", "few", (), "error"),
    ("missing dots", "holes", ("dots",), "hidden pixels"),
    ("missing squares", "holes", ("square",), "hidden pixels"),
)
BESIDE = {"ae": "autoencoder", "ae-refined": "autoencoder with refined latents"}


def least(cell: Cell, row: str) -> float:
    """Least seconds that a method took to place the test images."""
    return min(cell.values(row, "place_seconds"), default=math.nan)


def tallies(results: Results, other: str, parts: Sequence[str] = ()) -> Tally:
    """All comparisons with another method, or those of some parts."""
    found = Tally([], [], [])
    for _, part, words, measure in COMPARED:
        if not parts or part in parts:
            for mine, more in zip(
                found, tally(results.cells(part, *words), other, measure), strict=True
            ):
                mine.extend(more)
    return found


def better(results: Results) -> str:
    """The verdict on errors."""
    plain, refined = (tallies(results, name) for name in BESIDE)
    if plain.always_lower and (refined.always_lower or not refined.n):
        return "yes"
    words = (
        "yes" if plain.always_lower else "mostly yes" if 2 * len(plain.lower) > plain.n else "no"
    )
    told = f"{words}, compared with the usual autoencoder ({len(plain.lower)} of {plain.n} lower)"
    if not refined.n:
        return told
    planes = tallies(results, "ae-refined", ["two"])
    others = tallies(results, "ae-refined", ["longer", "few", "holes"])
    of = f"{len(planes.lower)} of {planes.n}"
    in_planes = f"always ({of})" if planes.always_lower else f"in {of}"
    return (
        f"{told}; compared with one whose latents are refined by our inference, {in_planes} in two "
        f"dimensions, otherwise in {len(others.lower)} of {others.n}"
    )


def certain(results: Results) -> str:
    """How far the comparisons of the summary can be trusted together."""
    p_values = [
        value
        for _, part, words, measure in COMPARED
        for cell in results.cells(part, *words)
        for name in BESIDE
        if not math.isnan(value := cell.p_value(OURS, name, measure))
    ]
    n_found = sum(value <= LEVEL for value in p_values)
    return (
        f"Of these {len(p_values)} comparisons, {n_found} have p ≤ {LEVEL:g}; if all methods were "
        f"alike, about {LEVEL * len(p_values):.0f} would by chance. "
        f"{holm(p_values)} remain if the number of comparisons is allowed for (Holm)."
    )


def losses(results: Results) -> list[str]:
    """Comparisons in which our error is higher, those in which it may be, and spoilt fits."""
    found = []
    for title, part, words, measure in COMPARED:
        cells = results.cells(part, *words)
        for cell in cells:
            n_spoilt = cell.spoilt(OURS) if cell.values(OURS) else 0
            if n_spoilt:
                n = len(cell.rows[OURS]["scores"])
                found.append(
                    f"{title[0].upper()}{title[1:]}: {n_spoilt} of {n} fits spoilt, which "
                    f"the next lines contain ({cell.title})."
                )
        for name, other in BESIDE.items():
            counted = tally(cells, name, measure)
            maybe = [share for share in counted.undecided if share > 0]
            for shares, doubt in ((counted.higher, ""), (maybe, ", which is not significant")):
                if shares:
                    data = [c for c in cells if c.share(OURS, measure, of=name) in shares]
                    cases = "; ".join(cell.title for cell in data)
                    found.append(
                        f"{title[0].upper()}{title[1:]}: the error is {extent(shares)} higher than "
                        f"that of the {other}{doubt} ({cases})."
                    )
    return found


def rivals(results: Results, cell: Cell, measure: str) -> dict[str, float]:
    """A measure of other planes of the same images: those of other libraries by their names, and
    the higher one of the two autoencoders."""
    found = {row["title"]: row[measure] for row in results.peers(cell)}
    coders = [cell.mean(name, measure) for name in ("ae", "ae-refined")]
    known = [value for value in coders if not math.isnan(value)]
    return {**found, "autoencoder": max(known)} if known else found


def highest_at(results: Results, measure: str, other: str, *, lower: bool = False) -> str:
    """The data on which a measure of one of our planes is higher than that of another method; with
    `lower`, those on which it is not."""

    def holds(cell: Cell) -> bool:
        ours = [cell.mean(name, measure) for name in (OURS, "neighbours") if cell.values(name)]
        return (max(ours) > rivals(results, cell, measure)[other]) != lower

    cells = [c for c in results.planes() if other in rivals(results, c, measure)]
    return where(cells, holds) or "no data set"


def peers_of(results: Results) -> list[str]:
    """The names of the other libraries."""
    found = (row["title"] for c in results.cells("peers") for row in c.content["rows"])
    return list(dict.fromkeys(found))


def structure(results: Results) -> str:
    """The verdict on planes."""
    measures = ("trustworthiness", "5-NN accuracy")
    everywhere = where(results.planes(), lambda _: True)
    wins = [highest_at(results, measure, "autoencoder") == everywhere for measure in measures]
    told = "yes" if all(wins) else "partly" if any(wins) else "no"
    told += " compared with autoencoders"
    behind = [t for t in peers_of(results) if highest_at(results, measures[1], t) != everywhere]
    return f"{told}; {' and '.join(behind)} keep classes together better" if behind else told


def most_unlike(results: Results) -> float:
    """The largest divergence of classes of any method's samples, in bits."""
    found = [
        cell.mean(name, f"class_divergence{suffix}")
        for cell in results.cells("generation")
        for name in cell.rows
        for suffix in ("", " (normal)")
        if cell.values(name, f"class_divergence{suffix}")
    ]
    return max(found, default=math.nan)


#: Measures of samples that are better if they are higher, and one that is better if it is lower.
HIGHER, LOWER = ("precision", "recall", "density", "coverage"), "frechet_distance"


def worse_samples(results: Results) -> list[str]:
    """Measures in which samples of the auto-decoder are worse than those of others."""
    found = []
    for other, title in (("ae", "the autoencoder"), ("vae", "the VAE with a fitted density")):
        told = []
        for measure in (*HIGHER, LOWER):
            worse = [
                cell
                for cell in results.cells("generation")
                if (cell.share(OURS, measure, of=other) < 0) == (measure != LOWER)
                and cell.differ(OURS, other, measure)
            ]
            if worse:
                name = "Fréchet distance" if measure == LOWER else measure
                told.append(f"{name} ({where(worse, lambda _: True)})")
        if told:
            found.append(f"those of {title}: {', '.join(told)}")
    return found


def farthest(results: Results) -> list[tuple[str, float]]:
    """Seconds to place the test images: in more dimensions, and with a convolutional decoder."""
    cells = [
        *((results.parts.get("longer", {}).get(f"mnist-{n}-dense-epochs"), n) for n in (16, 256)),
        (results.parts.get("generation", {}).get("cifar10"), 64),
    ]
    return [(f"{c.data}, {n} dimensions", least(c, OURS)) for c, n in cells if c is not None]


def unhelped(results: Results) -> str:
    """Where a hidden half without a prior is worse than the mean image."""
    cells = results.cells("hidden")
    data = [
        f"{c.data} with {c.name.split('-')[1]} dimensions"
        for c in cells
        if mean(row["without"] for row in c.content["rows"]) > c.content["mean image"]
    ]
    return joined(data)


def soonest(results: Results, other: str = "ae") -> tuple[float, float] | None:
    """The least seconds after which our error is lower than that of another method after the most
    seconds, and these; `None` if it never is."""
    rows = [row for cell in results.cells("time") for row in cell.content["rows"]]
    last = max((row for row in rows if row["name"] == other), key=lambda row: row["budget"])
    ours = [row["budget"] for row in rows if row["name"] == OURS and row["error"] < last["error"]]
    return (min(ours), last["budget"]) if ours else None
