"""Statements of docs/evidence.md that follow from the results."""

import math
from collections.abc import Callable, Sequence
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
#: Most dimensions with which the summary compares the plain autoencoder.
MOST_DIMS = 16


def compared(results: Results, other: str, part: str, words: Sequence[str]) -> list[Cell]:
    """The cells of a comparison with another method. With long latents, the plain autoencoder would
    be judged by its encoder alone."""
    cells = results.cells(part, *words)
    return [c for c in cells if not (other == "ae" and part == "longer" and c.dims > MOST_DIMS)]


def encoder_share(results: Results) -> str:
    """How much refining lowers the error of autoencoders that are left out by `compared`; empty if
    there is none."""
    cells = [c for c in results.cells("longer", "epochs") if c.dims > MOST_DIMS]
    shares = [share for c in cells if (share := c.share("ae-refined", of="ae")) < 0]
    return extent(shares) if shares else ""


def least(cell: Cell, row: str) -> float:
    """Least seconds that a method took to place the test images."""
    return min(cell.values(row, "place_seconds"), default=math.nan)


def tallies(results: Results, other: str, parts: Sequence[str] = ()) -> Tally:
    """All comparisons with another method, or those of some parts."""
    found = Tally([], [], [])
    for _, part, words, measure in COMPARED:
        if not parts or part in parts:
            cells = compared(results, other, part, words)
            for mine, more in zip(found, tally(cells, other, measure), strict=True):
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
    found = sorted(
        (value, cell.share(OURS, measure, of=name) < 0)
        for _, part, words, measure in COMPARED
        for name in BESIDE
        for cell in compared(results, name, part, words)
        if not math.isnan(value := cell.p_value(OURS, name, measure))
    )
    p_values = [value for value, _ in found]
    small = [is_lower for value, is_lower in found if value <= LEVEL]
    kept = [is_lower for _, is_lower in found[: holm(p_values)]]
    return (
        f"Of these {len(found)} comparisons, {len(small)} have p ≤ {LEVEL:g} ({_sides(small)}); if "
        f"all methods were alike, about {LEVEL * len(found):.0f} would by chance. If the number of "
        f"comparisons is allowed for (Holm), {len(kept)} remain ({_sides(kept)})."
    )


def _sides(are_lower: Sequence[bool]) -> str:
    return f"{sum(are_lower)} lower, {len(are_lower) - sum(are_lower)} higher"


def losses(results: Results) -> list[str]:
    """Comparisons in which our error is higher, those in which it may be, and spoilt fits."""
    found = []
    for title, part, words, measure in COMPARED:
        for cell in results.cells(part, *words):
            n_spoilt = cell.spoilt(OURS) if cell.values(OURS) else 0
            if n_spoilt:
                n = len(cell.rows[OURS]["scores"])
                found.append(
                    f"{title[0].upper()}{title[1:]}: {n_spoilt} of {n} fits spoilt, which "
                    f"the next lines contain ({cell.title})."
                )
        for name, other in BESIDE.items():
            cells = compared(results, name, part, words)
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
    """Seconds to place the test images: of MNIST in more dimensions, and the most of all."""
    longer = results.parts.get("longer", {})
    cells = [longer[name] for n in (16, 256) if (name := f"mnist-{n}-dense-epochs") in longer]
    slow = max(longer.values(), key=lambda cell: least(cell, OURS), default=None)
    if slow is not None and slow not in cells:
        cells.append(slow)
    return [(f"{cell.data}, {cell.dims} dimensions", least(cell, OURS)) for cell in cells]


def unhelped(results: Results, than: str) -> str:
    """Where a hidden half without a prior is worse than another way to fill it in."""
    return _hidden(results, lambda c: _mean_of(c, "without") > c.content[than])


def worse_averaged(results: Results) -> str:
    """Where the mean of several fillings of a hidden half is worse than a single one."""
    return _hidden(results, lambda c: _mean_of(c, "draws") > _mean_of(c, "with"))


def _hidden(results: Results, holds: Callable[[Cell], bool]) -> str:
    cells = filter(holds, results.cells("hidden"))
    return joined([f"{cell.data} with {cell.dims} dimensions" for cell in cells])


def _mean_of(cell: Cell, key: str) -> float:
    return mean(row[key] for row in cell.content["rows"])


def soonest(results: Results, other: str = "ae") -> tuple[float, float] | None:
    """The least seconds after which our error is lower than that of another method after the most
    seconds, and these; `None` if it never is."""
    rows = [row for cell in results.cells("time") for row in cell.content["rows"]]
    last = max((row for row in rows if row["name"] == other), key=lambda row: row["budget"])
    ours = [row["budget"] for row in rows if row["name"] == OURS and row["error"] < last["error"]]
    return (min(ours), last["budget"]) if ours else None
