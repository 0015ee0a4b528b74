"""docs/evidence.md follows from the files of benchmarks/evidence/."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.test_docs import load_script

ROOT = Path(__file__).parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "evidence", ROOT / "docs" / "evidence.md"
OURS = "auto-decoder"
GENERATED = (
    *("precision", "recall", "density", "coverage", "frechet_distance", "class_divergence"),
)

#: Two cells of each table: its file, method, measure and digits; the heading above it and how its
#: line begins.
CELLS = [
    ("two/mnist-500-500", "ae", "error", 4, "### Two dimensions", "| MNIST |"),
    ("two/fmnist-500-500", OURS, "error", 4, "### Two dimensions", "| Fashion-MNIST |"),
    ("two/mnist-1000-500-250", "vae", "error", 4, "Decoder 1000-500-250", "| MNIST |"),
    ("two/cifar10-1000-500-250", OURS, "error", 4, "Decoder 1000-500-250", "| CIFAR-10"),
    (
        "longer/mnist-64-dense-epochs",
        "ae-refined",
        "error",
        5,
        "### Longer latents",
        "| MNIST, 64 ",
    ),
    (
        "longer/fmnist-16-dense-epochs",
        OURS,
        "error",
        4,
        "### Longer latents",
        "| Fashion-MNIST, 16 ",
    ),
    ("longer/mnist-64-dense-seconds", OURS, "error", 5, "As many whole epochs", "| MNIST, 64 "),
    (
        "longer/fmnist-64-dense-seconds",
        "ae",
        "error",
        4,
        "As many whole epochs",
        "| Fashion-MNIST, 64 ",
    ),
    ("few/mnist-2-1000", "ae", "error", 4, "### Few images", "| MNIST, 1,000 |"),
    ("few/fmnist-2-100", OURS, "error", 4, "### Few images", "| Fashion-MNIST, 100 |"),
    ("few/mnist-16-1000", OURS, "error", 4, "16 dimensions:", "| MNIST, 1,000 |"),
    ("few/fmnist-16-100", "ae-refined", "error", 4, "16 dimensions:", "| Fashion-MNIST, 100 |"),
    ("holes/mnist-dots", "ae", "hidden pixels", 4, "### Missing pixels", "| MNIST, dots |"),
    (
        "holes/fmnist-square",
        OURS,
        "hidden pixels",
        4,
        "### Missing pixels",
        "| Fashion-MNIST, square |",
    ),
    ("two/mnist-500-500", "ae", "5-NN accuracy", 3, "## A flexible", "| MNIST | autoencoder |"),
    (
        "two/cifar10-500-500",
        OURS,
        "trustworthiness",
        3,
        "## A flexible",
        "| CIFAR-10 (JPEG) | auto-decoder |",
    ),
    ("generation/mnist", "vae", "coverage", 3, "## Less mode collapse", "| MNIST | VAE |"),
    (
        "generation/fmnist",
        OURS,
        "frechet_distance",
        2,
        "## Less mode collapse",
        "| Fashion-MNIST | auto-decoder |",
    ),
    ("robustness/mnist", "ae", "error", 4, "## Simpler", "| autoencoder |"),
    ("robustness/mnist", OURS, "error", 4, "## Simpler", "| auto-decoder |"),
]


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return load_script("make_evidence")


@pytest.mark.skipif(not PAGE.exists(), reason="the evidence was not made yet")
def test_the_page_is_fresh(made: ModuleType) -> None:
    assert PAGE.read_text(encoding="utf-8") == made.page(made.Results(RESULTS))


@pytest.mark.parametrize(("file", "row", "measure", "digits", "heading", "begin"), CELLS)
def test_cells_by_hand(
    file: str, row: str, measure: str, digits: int, heading: str, begin: str
) -> None:
    path = RESULTS / f"{file}.json"
    if not path.exists() or not PAGE.exists():
        pytest.skip("this cell was not run")
    (found,) = [r for r in json.loads(path.read_text())["rows"] if r["name"] == row]
    values = np.array(
        [
            score[measure] if measure in score else score["measures"][measure]
            for score in found["scores"]
            if not score["diverged"]
        ]
    )
    spread = math.sqrt(((values - values.sum() / len(values)) ** 2).sum() / (len(values) - 1))
    cell = f"{values.sum() / len(values):.{digits}f}\u00a0±\u00a0{spread:.{digits}f}"
    below = PAGE.read_text(encoding="utf-8").partition(heading)[2]
    line = next(line for line in below.splitlines() if line.startswith(begin))
    assert cell in line


def _read(file: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{file}.json").read_text())


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def test_other_tables_by_hand() -> None:
    """Two cells of each table that has no lines of means and spreads."""
    page = PAGE.read_text(encoding="utf-8")
    lines = []
    for name, label in (("mnist", "MNIST"), ("cifar10", "CIFAR-10 (JPEG)")):
        (umap,) = [row for row in _read(f"peers/{name}")["rows"] if row["name"] == "umap"]
        numbers = [f"{umap[key]:.3f}" for key in ("5-NN accuracy", "trustworthiness")]
        seconds = [f"{umap[key]:.1f}" for key in ("fit", "transform")]
        lines.append(f"| {label} | UMAP | {' | '.join([*numbers, *seconds])} |")
    for name, label in (("mnist-16", "MNIST, 16-D"), ("fmnist-64", "Fashion-MNIST, 64-D")):
        hidden = _read(f"hidden/{name}")
        without = _mean(row["without"] for row in hidden["rows"])
        lines.append(
            f"| {label} | {hidden['mean image']:.4f} | {hidden['pca']:.4f} | {without:.4f}"
        )
    published = {row["name"]: row for row in _read("published/mnist-256")["rows"]}
    pca, ours = (
        _mean(score["error"] for score in published[name]["scores"]) / 4 for name in ("pca", OURS)
    )
    section = page.partition("### Compared with published errors")[2].partition("###")[0]
    assert f"| {pca:.2g} | " in section
    assert f"| {ours:.2g} | 7.6e-05 |" in section
    times = {(row["name"], row["budget"]): row for row in _read("time/mnist")["rows"]}
    for name, seconds in (("ae", 2.0), (OURS, 64.0)):
        row = times[name, seconds]
        told = f"{row['error']:.4f} ({row['scores'][0]['seconds']:.1f} s)"
        (line,) = [line for line in page.splitlines() if f"| MNIST, {seconds:g} s |" in line]
        assert told in line
    for row in _read("densities/16")["rows"]:
        assert f"an area under the ROC curve of {row['area']:.4f}." in page
    longer = {row["name"]: row for row in _read("longer/fmnist-256-dense-epochs")["rows"]}
    told = [
        f"{_mean(s['seconds'] for s in scores):.0f} + {min(s['place_seconds'] for s in scores):.1f}"
        for scores in (longer[name]["scores"] for name in ("ae", "ae-refined", OURS))
    ]
    lines.append(f"| Fashion-MNIST, 256 | {' | '.join(told)} |")
    for line in lines:
        assert line in page


def test_holm_by_hand(made: ModuleType) -> None:
    # 0.01 ≤ 0.05 / 4 and 0.015 ≤ 0.05 / 3, but 0.03 > 0.05 / 2; the next one does not count.
    results = load_script("evidence_results")
    assert results.holm([0.03, 0.01, 0.04, 0.015]) == 2
    assert results.holm([]) == 0


def test_octaves_by_hand(made: ModuleType) -> None:
    # Least error 1: within 1.05 from half an octave below 0.1, at 0.1 and at 0.2, and no further.
    errors = {"0.05": 1.10, "0.1": 1.0, "0.2": 1.04, "0.4": None}
    assert made.octaves(errors) == pytest.approx(1.5)
    assert made.octaves({"0.1": 1.0, "0.2": 2.0}) == pytest.approx(0.05)


def _rows(**errors: list[float]) -> list[dict[str, object]]:
    """Rows of a result, with an error for each seed; NaN is a fit that diverged."""
    return [
        {
            "name": name.replace("_", "-"),
            "title": name,
            "scores": [
                {
                    "seed": seed,
                    "diverged": math.isnan(error),
                    "error": None if math.isnan(error) else error,
                    "seconds": 2.0,
                    "place_seconds": 1.0,
                    "measures": {},
                }
                for seed, error in enumerate(of_seeds)
            ],
        }
        for name, of_seeds in errors.items()
    ]


def _write(folder: Path, part: str, name: str, rows: list[dict[str, object]]) -> None:
    path = folder / part / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"n_train": 1000, "n_unseen": 100, "methods": {OURS: {"num_epochs": 5}}}
    path.write_text(json.dumps({"machine": {}, "settings": settings, "rows": rows}))


def test_verdicts_follow_the_errors(made: ModuleType, tmp_path: Path) -> None:
    """Lower with MNIST, undecided with Fashion-MNIST, higher with CIFAR-10, and a spoilt fit."""
    ours, noisy = [0.10, 0.11, 0.12], [0.13, 0.09, 0.12]
    _write(tmp_path, "two", "mnist-500-500", _rows(auto_decoder=ours, ae=[0.20, 0.21, 0.22]))
    _write(tmp_path, "two", "fmnist-500-500", _rows(auto_decoder=ours, ae=noisy))
    worse = _rows(auto_decoder=ours, ae=[0.05, 0.06, math.nan], ae_refined=[0.05, 0.06, 0.07])
    _write(tmp_path, "two", "cifar10-500-500", worse)
    text = made.page(made.Results(tmp_path))
    assert (
        "**Better reconstruction: no, compared with the usual autoencoder (1 of 3 lower); " in text
    )
    assert "by our inference, in 0 of 1 in two dimensions, otherwise in 0 of 0.**" in text
    assert "Of these 4 comparisons, " in text
    lower, higher = "1 of 3 lower (47.6\u00a0%)", "1 of 3 higher (90.9\u00a0%)"
    same = f"{100 * (sum(ours) / sum(noisy) - 1):+.1f}\u00a0%"
    told = f"{lower}, 1 of 3 undecided ({same}), {higher}"
    assert f"| two dimensions | {told} | 1 of 1 higher (83.3" in text
    assert "| MNIST | – | 0.2100\u00a0±\u00a00.0100 | – | – | **0.1100" in text
    assert "| 0.1133\u00a0±\u00a00.0208 (2 of 3 spoilt) | – | – | **0.1100" in text
    assert "**0.0550\u00a0±\u00a00.0071 (1 of 3 spoilt)**" in text
    assert (
        "- Two dimensions: the error is 90.9\u00a0% higher than that of the autoencoder (CIFAR"
        in text
    )
    _write(tmp_path, "two", "cifar10-500-500", _rows(auto_decoder=ours, ae=[0.2, 0.2, 0.2]))
    _write(tmp_path, "two", "fmnist-500-500", _rows(auto_decoder=ours, ae=[0.2, 0.2, 0.2]))
    refined = _rows(auto_decoder=ours, ae=[0.2, 0.2, 0.2], ae_refined=[0.13, 0.14, 0.15])
    _write(tmp_path, "two", "mnist-500-500", refined)
    assert "**Better reconstruction: yes.**" in made.page(made.Results(tmp_path))


def test_every_part_has_a_table(made: ModuleType, tmp_path: Path) -> None:
    """With a small result of each part, the page has a line for each."""
    score = {
        "seed": 0,
        "diverged": False,
        "error": 0.25,
        "seconds": 2.0,
        "place_seconds": 1.0,
        "n_trained": 1234,
        "n_kept": 1234,
        "memory": 5_000_000,
        "measures": dict.fromkeys(
            ("5-NN accuracy", "trustworthiness", "hidden pixels", "precision", "coverage"), 0.5
        ),
    }
    names = ("pca", "ae", "ae-refined", "vae", OURS)
    rows = [
        {
            "name": name,
            "title": name,
            "rate": 0.01,
            "searched": {"0.01": 0.3, "0.02": 0.4},
            "scores": [{**score, "seed": k, "error": 0.25 + k / 100} for k in range(2)],
        }
        for name in (*names, "variational")
    ]
    half = [{"seed": 0, "without": 0.3, "with": 0.2, "draws": 0.1}]
    area = [{"trained on": "mnist", "against": "fmnist", "area": 0.99}]
    timed = [
        {
            "name": name,
            "budget": 2.0,
            "error": 0.1 if name == OURS else 0.125,
            "scores": [{"seconds": 1.75}],
        }
        for name in names
    ]
    peers = [{"title": "UMAP", "fit": 1.0, "transform": 2.0, **score["measures"]}]
    for part, name, content in (
        ("two", "mnist-500-500", {"rows": rows}),
        ("longer", "mnist-64-conv-seconds", {"rows": rows}),
        ("few", "mnist-2-100", {"rows": rows}),
        ("holes", "mnist-dots", {"rows": rows}),
        ("real", "mnist", {"measures": dict.fromkeys(GENERATED, 0.75)}),
        ("published", "mnist-256", {"rows": rows}),
        ("time", "mnist", {"rows": timed}),
        ("generation", "mnist", {"rows": rows}),
        ("robustness", "mnist", {"rows": rows}),
        ("hidden", "mnist-16", {"mean image": 0.4, "pca": 0.3, "rows": half}),
        ("densities", "16", {"rows": area}),
        ("peers", "mnist", {"rows": peers}),
    ):
        path = tmp_path / part / f"{name}.json"
        path.parent.mkdir()
        settings = {"n_train": 60_000, "n_unseen": 10_000, "methods": {}}
        about = {"machine": {"cores": 2}, "settings": settings}
        path.write_text(json.dumps({**about, **content}))
    text = made.page(made.Results(tmp_path))
    for words in (
        "| MNIST (2 seeds) | **0.2550\u00a0±\u00a00.0071** | 0.2550\u00a0±\u00a00.0071 |",
        "| MNIST, 64 (2 seeds) |",
        "| MNIST, 64 | 2 + 1.0 | 2 + 1.0 | 2 + 1.0 |",
        "| MNIST, 100 (2 seeds) |",
        "| MNIST, dots (2 seeds) |",
        "| MNIST | UMAP | 0.500 | 0.500 | 1.0 | 2.0 |",
        "| MNIST | VAE |",
        "| MNIST, 16-D | 0.4000 | 0.3000 | 0.3000 | 0.2000 | 0.1000 |",
        "0.9900",
        "| MNIST | 60,000 | some | 0.064 | 0.064 | 0.064 | 0.064 | 7.6e-05 |",
        "| MNIST | training images themselves |  | 0.750 | 0.750 |",
        "| MNIST, 2 s | 0.1250 (1.8 s) | 0.1250 (1.8 s) | 0.1250 (1.8 s) | 0.1000 (1.8 s) |",
        "After 2 s, the auto-decoder has a lower error than the autoencoder after 2 s.",
        "1,234",
    ):
        assert words in text, words
