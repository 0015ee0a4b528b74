"""The results of benchmarks/evidence.py, and statements that follow from them."""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from scipy.stats import t

DATA = {"mnist": "MNIST", "fmnist": "Fashion-MNIST", "cifar10": "CIFAR-10 (JPEG)"}
OURS = "auto-decoder"
#: With spaces at which no line breaks.
PLUS_MINUS = "\u00a0±\u00a0"
#: A fit is spoilt if its error exceeds the lowest one of all seeds by this factor.
SPOILT = 1.25
#: Two methods differ if a paired test over the seeds has at most this p-value.
LEVEL = 0.05
#: Fewer fits from the same seeds than these do not show that two methods are alike.
ENOUGH_PAIRS = 3
NAN = math.nan
#: Most images that a comparison holds out today to search learning rates, and the number from which
#: on a single split is enough.
MOST_HELD, MANY_HELD = 2000, 1000


class Cell:
    """The result of one cell."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name or path.stem
        self.content: dict[str, Any] = json.loads(path.read_text())
        self.rows = {row.get("name"): row for row in self.content.get("rows", [])}
        self.part = path.parent.name
        self.data = DATA.get(self.name.partition("-")[0], self.name)

    @property
    def label(self) -> str:
        """The data, and what else the name tells."""
        return ", ".join([self.data, *(_with_comma(word) for word in self.name.split("-")[1:])])

    @property
    def dims(self) -> int:
        """Latent dimensions, of a cell whose name tells them."""
        return int(self.name.split("-")[1])

    @property
    def title(self) -> str:
        """The label in words, without the budget, which the heading of its table tells."""
        units = iter({"longer": ["dimensions"], "few": ["dimensions", "images"]}.get(self.part, []))
        words = [
            " ".join([_with_comma(word), *itertools.islice(units, int(word.isdecimal()))])
            for word in self.name.split("-")[1:]
            if word not in ("epochs", "seconds")
        ]
        return ", ".join([self.data, *words])

    def by_seed(self, row: str, measure: str = "error") -> dict[int, float]:
        """A measure of each seed's fit, without those that diverged."""
        scores = self.rows[row]["scores"] if row in self.rows else []
        found = {
            score["seed"]: score.get(measure, score["measures"].get(measure))
            for score in scores
            if not score["diverged"]
        }
        return {seed: value for seed, value in found.items() if value is not None}

    def values(self, row: str, measure: str = "error") -> list[float]:
        """The values of `by_seed`."""
        return list(self.by_seed(row, measure).values())

    def mean(self, row: str, measure: str = "error") -> float:
        """Mean over the seeds; NaN without a value."""
        values = self.values(row, measure)
        return mean(values) if values else math.nan

    def number(self, row: str, measure: str = "error", digits: int = 4) -> str:
        """Mean ± standard deviation over the seeds, and how many fits are spoilt."""
        values = self.values(row, measure)
        if not values:
            return "–"
        text = f"{mean(values):.{digits}f}"
        spread = stdev(values) if len(values) > 1 else 0.0
        text = f"{text}{PLUS_MINUS}{spread:.{digits}f}" if spread else text
        n_spoilt, n = self.spoilt(row), len(self.rows[row]["scores"])
        return f"{text} ({n_spoilt} of {n} spoilt)" if n_spoilt and measure == "error" else text

    def spoilt(self, row: str) -> int:
        """The number of spoilt fits of a row, with those that diverged."""
        errors = self.values(row)
        n_good = sum(error <= SPOILT * min(errors) for error in errors)
        return len(self.rows[row]["scores"]) - n_good

    @property
    def n_seeds(self) -> int:
        """Number of seeds, of the method that has the fewest."""
        return min((len(v) for name in self.rows if (v := self.values(name))), default=0)

    def pairs(self, row: str, other: str, measure: str = "error") -> list[tuple[float, float]]:
        """The values of two rows, for each seed that both have."""
        mine, others = (self.by_seed(name, measure) for name in (row, other))
        return [(mine[seed], others[seed]) for seed in mine if seed in others]

    def share(self, row: str, measure: str = "error", *, of: str) -> float:
        """How much larger the mean of a row is than that of another, in percent, over the seeds
        that both have."""
        pairs = self.pairs(row, of, measure)
        return 100 * (mean(a for a, _ in pairs) / mean(b for _, b in pairs) - 1) if pairs else NAN

    def p_value(self, row: str, other: str, measure: str = "error") -> float:
        """Of a paired t-test over the seeds, two-sided; NaN with fewer than two."""
        differences = [a - b for a, b in self.pairs(row, other, measure)]
        n = len(differences)
        if n < 2:
            return NAN
        error, size = stdev(differences) / math.sqrt(n), abs(mean(differences))
        if error == 0:
            return float(size == 0)
        return 2 * float(t.sf(size / error, n - 1))

    def differ(self, row: str, other: str, measure: str = "error") -> bool:
        """Whether two rows differ by a paired t-test over the seeds."""
        return self.p_value(row, other, measure) <= LEVEL

    def cannot_tell(self, row: str, other: str, measure: str = "error") -> bool:
        """Whether enough fits of two rows do not tell them apart."""
        enough = len(self.pairs(row, other, measure)) >= ENOUGH_PAIRS
        return enough and not self.differ(row, other, measure)


def _with_comma(word: str) -> str:
    return f"{int(word):,}" if word.isdecimal() else word


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
        return sorted(found, key=_rank)

    @property
    def all_cells(self) -> list[Cell]:
        """The cells of all parts."""
        return [cell for part in self.parts.values() for cell in part.values()]

    def peers(self, cell: Cell) -> list[dict[str, Any]]:
        """The layouts of other libraries of the same images."""
        found = self.parts.get("peers", {}).get(cell.name.partition("-")[0])
        return found.content["rows"] if found else []

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
        return sorted(found, key=_rank)

    def one(self, part: str, name: str) -> Cell:
        """One cell."""
        return self.parts[part][name]

    def has(self, part: str, name: str = "") -> bool:
        """Whether a cell, or any of a part, was run."""
        return name in self.parts.get(part, {}) if name else bool(self.parts.get(part))

    def with_both_cores(self) -> str:
        """The cells that had more than one core, by their files."""
        return _files(c for c in self.all_cells if c.content["machine"].get("cores", 1) > 1)

    def searched_otherwise(self) -> str:
        """The cells whose learning rates were searched by a former rule, by their files."""

        def is_former(cell: Cell) -> bool:
            settings = cell.content.get("settings", {})
            n_held = settings.get("n_held", 0)
            is_single = 0 < n_held < MANY_HELD and (settings.get("n_splits") or 1) == 1
            return n_held > MOST_HELD or is_single

        return _files(filter(is_former, self.all_cells))

    def machines(self) -> str:
        """The libraries with which the cells were run."""
        names = ("python", "jax", "scikit-learn", "umap-learn", "openTSNE")
        found: dict[str, list[str]] = {name: [] for name in names}
        for name, cell in itertools.product(names, self.all_cells):
            version = cell.content["machine"].get(name)
            if version is not None and version not in found[name]:
                found[name].append(version)
        return ", ".join(f"{name} {' and '.join(v)}" for name, v in found.items() if v)


def _files(cells: Iterable[Cell]) -> str:
    return ", ".join(f"`{cell.path.parent.name}/{cell.path.stem}`" for cell in cells)


def _rank(cell: Cell) -> tuple[int, list[int], str]:
    first, *rest = cell.name.split("-")
    order, numbers = list(DATA), [int(part) for part in rest if part.isdecimal()]
    return (order.index(first) if first in order else len(order), numbers, cell.name)


class Tally(NamedTuple):
    """How often a measure of ours is lower than that of another method, or higher."""

    lower: list[float]
    """Differences in percent."""
    undecided: list[float]
    """Those that a paired test over the seeds cannot tell from 0."""
    higher: list[float]

    @property
    def n(self) -> int:
        """Number of comparisons."""
        return sum(map(len, self))

    @property
    def always_lower(self) -> bool:
        """Whether ours is lower in every comparison."""
        return len(self.lower) == self.n > 0

    def __str__(self) -> str:
        told = [
            f"{len(shares)} of {self.n} {word} ({extent(shares, signed=word == 'undecided')})"
            for word, shares in self._asdict().items()
            if shares
        ]
        return ", ".join(told) or "not measured"


def holm(p_values: Sequence[float]) -> int:
    """How many of several comparisons are significant, allowing for their number (Holm 1979)."""
    n, found = len(p_values), 0
    for rank, p_value in enumerate(sorted(p_values)):
        if p_value > LEVEL / (n - rank):
            break
        found += 1
    return found


def extent(shares: Sequence[float], *, signed: bool = False) -> str:
    """The range of differences, with or without their sign."""
    sizes = shares if signed else [abs(share) for share in shares]
    low, high = (f"{least_or_most(sizes):{'+' * signed}.1f}" for least_or_most in (min, max))
    return f"{low}\u00a0%" if low == high else f"{low} to {high}\u00a0%"


def tally(cells: Iterable[Cell], of: str, measure: str = "error", ours: str = OURS) -> Tally:
    """Compare a method of ours with another one in each cell that has both."""
    found = Tally([], [], [])
    for cell in cells:
        share = cell.share(ours, measure, of=of)
        if math.isnan(share):
            continue
        is_lower = found.lower if share < 0 else found.higher
        (is_lower if cell.differ(ours, of, measure) else found.undecided).append(share)
    return found


def where(cells: Iterable[Any], holds: Callable[[Any], bool]) -> str:
    """The data of the cells for which something holds, joined; empty if there is none."""
    return joined(list(dict.fromkeys(cell.data for cell in cells if holds(cell))))


def unsearched(cells: Iterable[Cell]) -> str:
    """The data and dimensions whose learning rates were found with other dimensions, joined."""
    others = (cell for cell in cells if not cell.rows["ae"]["searched"])
    return joined([f"{cell.data} with {cell.dims}" for cell in others])


def joined(words: Sequence[str]) -> str:
    """Words as in a sentence: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def listed(cells: Iterable[Cell], row: str, measure: str, digits: int = 3) -> str:
    """A measure of each cell that has it, with the data."""
    return _listed(((cell, cell.mean(row, measure)) for cell in cells), digits)


def listed_real(results: Results, measure: str) -> str:
    """A measure of training images in place of samples."""
    return _listed(
        (cell, cell.content["measures"].get(measure, math.nan)) for cell in results.cells("real")
    )


def _listed(values: Iterable[tuple[Cell, float]], digits: int = 3) -> str:
    found = [(cell.data, value) for cell, value in values if not math.isnan(value)]
    return ", ".join(f"{data} {value:.{digits}f}" for data, value in found) or "not measured"


def sizes(cells: Sequence[Cell], key: str = "n_train") -> str:
    """Numbers of images, with the data if they differ."""
    found: dict[int, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.content["settings"][key], []).append(cell)
    if len(found) == 1:
        return f"{next(iter(found)):,}"
    return ", ".join(f"{n:,} ({where(some, lambda _: True)})" for n, some in found.items())


def steps_of(cells: Sequence[Cell]) -> str:
    """Steps of a fit of ours, with the number of images, each once."""
    found = {}
    for cell in cells:
        settings = cell.content["settings"]
        fit = settings["methods"].get(OURS)
        if fit is not None:
            n, batch = settings["n_train"], fit["batch_size"]
            per_epoch = n // batch if fit["drop_last"] else -(-n // batch)
            found[n] = fit["num_epochs"] * per_epoch
    told = [f"{steps:,} with {n:,} images" for n, steps in sorted(found.items())]
    return ", ".join(told) or "some"


def setup_of(cell: Cell) -> str:
    """Decoder, dimensions, epochs and images of a cell."""
    settings = cell.content["settings"]
    decoder, fit = settings.get("decoder"), settings["methods"].get(OURS)
    if decoder is None or fit is None:
        return cell.data
    arch = decoder["arch"]
    layers = arch if isinstance(arch, str) else "-".join(map(str, arch))
    return (
        f"{cell.data}: {decoder['latent_dims']} dimensions, decoder {layers}, "
        f"{fit['num_epochs']} epochs, {settings['n_train']:,} training images"
    )


def weights_tried(cells: Iterable[Cell]) -> str:
    """The weights of a prior that were tried."""
    found = {float(name.split()[-1]) for cell in cells for name in cell.content.get("search", {})}
    return joined([f"{weight:g}" for weight in sorted(found)]) or "some"


def settings_of(cells: Sequence[Cell], key: str) -> str:
    """A setting of all cells; several values are joined by `or`."""
    values = dict.fromkeys(
        str(cell.content["settings"]["methods"][OURS][key])
        for cell in cells
        if OURS in cell.content.get("settings", {}).get("methods", {})
    )
    return " or ".join(values) or "some"
