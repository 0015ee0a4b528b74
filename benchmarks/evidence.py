"""The evidence of docs/evidence.md: other methods under equal conditions, in cells.

    python benchmarks/evidence.py [--parts two,few] [--reduced] [--data_dir FOLDER] [--cifar FOLDER]
    python benchmarks/evidence.py --list
    python docs/make_evidence.py

Each cell is one comparison, such as two dimensions of MNIST with the decoder 500-500. Its result
is a JSON file in benchmarks/evidence/. Cells that have one are not run again, and an interrupted
cell goes on where it was (its fits are kept in --work). A full run takes more than ten hours, a
run with --reduced a small part of that: MNIST alone, few images, epochs and seeds, and another
folder, benchmarks/evidence-reduced/. Learning rates are chosen on held-out training images, never
on test images.

The part `peers` needs the libraries: pip install umap-learn openTSNE
"""

import argparse
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import autodecoder as ad
from autodecoder.compare import Placed
from autodecoder.compare.measure import measure_structure
from autodecoder.compare.result import to_content
from autodecoder.config.fit import Length

HERE = Path(__file__).parent
SETS = ("mnist", "fmnist", "cifar10")
OURS = "auto-decoder"
#: Steps of fits whose number of images differs, and least and largest number of epochs.
LENGTH = Length(5000, 20, 500)
_LIBRARIES = ("autodecoder", "jax", "numpy", "scikit-learn", "umap-learn", "openTSNE")


class Scale(NamedTuple):
    """How large the comparisons are."""

    n_train: int = 60_000
    n_unseen: int = 10_000
    epochs: int = 20
    conv_epochs: int = 10
    n_conv: int = 20_000
    """Training images of convolutional decoders, of those with holes, and of CIFAR-10 in `longer`,
    which take long."""
    n_long: tuple[int, int] = (10_000, 1000)
    """Training and test images of convolutional decoders at several lengths of latents."""
    seeds: tuple[int, ...] = (0, 1, 2)
    rates: tuple[float, ...] = (2e-3, 5e-3, 1.25e-2)
    seconds: float = 30.0
    n_spoilt: int = 32
    steps: Length = LENGTH


FULL = Scale()
REDUCED = Scale(1500, 500, 4, 2, 500, (500, 200), (0, 1), (5e-3, 1e-2), 0.5, 3, Length(60, 2, 40))


@dataclass(frozen=True)
class Cell:
    """One comparison."""

    part: str
    name: str
    run: Callable[["Run", Path], dict[str, Any]]
    """Given a folder for its fits, returns plain values."""

    @property
    def is_reduced(self) -> bool:
        """Whether a reduced run has this cell: all on MNIST, with longer latents at 64 alone, whose
        learning rates `published` needs at 256. The cell `densities/16` needs both grey sets."""
        data, *words = self.name.split("-")
        is_long = self.part in ("longer", "published")
        return data in ("mnist", "16") and (not is_long or "64" in words)


@dataclass(frozen=True)
class Run:
    """The images and the scale of all cells."""

    scale: Scale
    data_dir: Path | None
    cifar: Path | None
    out: Path
    """Folder of the results."""
    renewed: frozenset[str] = frozenset()
    """Rows to fit again, the others keep their results; if empty, all are fitted."""
    keeps_rates: bool = False
    """Whether rows of `longer` are fitted with the learning rates that they have."""

    def wants(self, name: str) -> bool:
        """Whether a row is to be fitted."""
        return not self.renewed or name in self.renewed

    @property
    def pictures(self) -> Path:
        """Folder of pictures of samples."""
        return self.out / "pictures"

    def load(self, name: str, n: int | None = None, n_unseen: int | None = None) -> ad.Dataset:
        """A data set with at most `n` training images and `n_unseen` test images."""
        folder = self.cifar if name == "cifar10" else self.data_dir
        if name != "cifar10" and folder is not None and (folder / name).is_dir():
            folder = folder / name
        dataset = ad.load_dataset(name, data_dir=folder)
        rng = np.random.default_rng(0)
        most = min(self.scale.n_train, n or self.scale.n_train)
        unseen = min(self.scale.n_unseen, n_unseen or self.scale.n_unseen)
        parts = [
            part.take(np.sort(rng.permutation(len(part))[:k]))
            for part, k in ((dataset.train, most), (dataset.val, unseen))
        ]
        return replace(dataset, train=parts[0], val=parts[1])

    def known(self, part: str, name: str) -> dict[str, dict[str, Any]]:
        """The row of each method that another cell has found."""
        path = self.out / part / f"{name}.json"
        if not path.exists():
            raise SystemExit(f"this cell needs the learning rates of {part}/{name}: run that first")
        return {row["name"]: row for row in json.loads(path.read_text())["rows"]}

    def repeat(
        self,
        dataset: ad.Dataset,
        folder: Path,
        known: Mapping[str, Mapping[str, Any]],
        at_known_speed: float | None = None,
        **values: Any,
    ) -> dict[str, Any]:
        """Fit the methods of a cell's rows with the learning rates that were found there.

        For as many epochs, unless `seconds` are given; with `at_known_speed`, for as many as the
        fastest fit of a method did in so many seconds there: fits of a second or two do not tell
        the speed, and other programs only ever slow a fit down.
        """
        shared: dict[tuple[float | None, int], list[str]] = {}
        for name, row in known.items():
            if not self.wants(name):
                continue
            epochs = row["epochs"] or self.scale.epochs  # principal components have none
            if at_known_speed is not None:
                # Both rows of the autoencoder are the same kind of fit.
                scores = known[name.removesuffix("-refined")]["scores"]
                taken = [score["seconds"] for score in scores if not score["diverged"]]
                epochs = max(1, round(at_known_speed * row["epochs"] / min(taken)))
            shared.setdefault((row["rate"], epochs), []).append(name)
        found: dict[str, Any] = {}
        rows: dict[str, dict[str, Any]] = {}
        for (rate, epochs), names in shared.items():
            rates = self.scale.rates if rate is None else (rate,)
            found = self.compare(
                *(dataset, folder / "-".join(names)),
                methods=tuple(names),
                rates=rates,
                epochs=epochs,
                **values,
            )
            rows |= {row["name"]: row for row in found["rows"]}
        return {**found, "rows": [rows[name] for name in known if name in rows]}

    def compare(self, dataset: ad.Dataset, folder: Path, **values: Any) -> dict[str, Any]:
        """A comparison as plain values."""
        epochs = values.pop("epochs", self.scale.epochs)
        batch = min(128, max(1, len(dataset.train) // 2))
        given = {
            "fit": ad.fit_config("fast", num_epochs=epochs, batch_size=batch),
            "rates": self.scale.rates,
            "seeds": self.scale.seeds,
            "measures": measure_structure,
            "report": _tell,
            **values,
        }
        given["methods"] = tuple(filter(self.wants, given["methods"]))
        others = {
            name: replace(given["fit"], **changed)
            for name, changed in given.pop("others", {}).items()
            if self.wants(name)
        }
        if not given["methods"] and not others:
            return {"rows": []}
        compared = ad.compare_methods(dataset, folder=folder, others=others, **given)
        return to_content(compared, OURS if OURS in given["methods"] else None)


def two_dimensions(name: str, arch: str) -> Callable[[Run, Path], dict[str, Any]]:
    """Two dimensions beside principal components and an autoencoder."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        decoder = ad.DecoderConfig(arch=ad.parse_arch(arch), latent_dims=2)
        methods = ("pca", "ae", "ae-refined", "vae", OURS)
        others = {"neighbours": {"latent_start": "neighbours", "latent_learning_rate": 0.02}}
        return run.compare(run.load(name), folder, decoder=decoder, methods=methods, others=others)

    return run


def peers(name: str) -> Callable[[Run, Path], dict[str, Any]]:
    """UMAP and t-SNE on the same images."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        from beside_umap import METHODS, Task

        dataset = run.load(name)
        images = [_unit(part.flat) for part in (dataset.train, dataset.val)]
        task, rows = Task(dataset.image_shape, run.scale.epochs), []
        for key in ("umap", "tsne"):
            label, _, fit = METHODS[key]
            start = time.perf_counter()
            fitted = fit(task, images[0])
            after = time.perf_counter()
            places = fitted.transform(images[1])
            seconds = {"fit": after - start, "transform": time.perf_counter() - after}
            rows.append(
                {"name": key, "title": label, **seconds, **_structure(fitted, places, dataset)}
            )
        return {"rows": rows}

    return run


def _structure(fitted: Any, places: np.ndarray, dataset: ad.Dataset) -> dict[str, float]:
    """The measures of our rows, for a layout."""
    plain: Any = _Latents(np.asarray(fitted.embedding, np.float32))
    placed = Placed("", plain, np.asarray(places, np.float32), dataset.train, dataset.val)
    return dict(measure_structure(placed))


class _Latents(NamedTuple):
    latents: np.ndarray


def longer(name: str, dims: int, arch: str, budget: str) -> Callable[[Run, Path], dict[str, Any]]:
    """More dimensions, at equal epochs or equal seconds.

    At equal seconds, learning rates are those found at equal epochs. With convolutions and 16
    dimensions, they are those found for 64 dimensions.
    """
    is_conv = arch.startswith("conv")
    key = f"{name}-{dims}-{'conv' if is_conv else 'dense'}"

    def run(run: Run, folder: Path) -> dict[str, Any]:
        scale, methods = run.scale, ("pca", "ae", "ae-refined", OURS)
        if is_conv:
            dataset = run.load(name, *scale.n_long)
        else:
            dataset = run.load(name, scale.n_conv if name == "cifar10" else None)
        shared: dict[str, Any] = {
            "decoder": ad.DecoderConfig(arch=ad.parse_arch(arch), latent_dims=dims),
            "measures": None,
        }
        if run.keeps_rates:
            return run.repeat(dataset, folder, run.known("longer", f"{key}-{budget}"), **shared)
        if budget == "seconds":
            known = run.known("longer", f"{key}-epochs")
            return run.repeat(dataset, folder, known, seconds=scale.seconds, **shared)
        if is_conv and dims == 16:
            known = run.known("longer", f"{name}-64-conv-epochs")
            return run.repeat(dataset, folder, known, **shared)
        return run.compare(dataset, folder, methods=methods, **shared)

    return run


def published(name: str, dims: int) -> Callable[[Run, Path], dict[str, Any]]:
    """Images of 32 × 32, for which others publish errors: twice the epochs, with the learning rates
    of the usual images."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        dataset = run.load(name)
        dataset = replace(dataset, train=_enlarge(dataset.train), val=_enlarge(dataset.val))
        known = run.known("longer", f"{name}-{dims}-dense-epochs")
        known = {method: {**row, "epochs": 2 * row["epochs"]} for method, row in known.items()}
        decoder = ad.DecoderConfig(arch=(500, 500), latent_dims=dims)
        return run.repeat(dataset, folder, known, decoder=decoder, measures=None)

    return run


def _enlarge(images: ad.ImageSet, side: int = 32) -> ad.ImageSet:
    """Grey images in another size, by bilinear interpolation."""
    from PIL import Image

    resized = [
        np.asarray(Image.fromarray(image[..., 0]).resize((side, side), Image.Resampling.BILINEAR))
        for image in images.images
    ]
    return replace(images, images=np.stack(resized)[..., None])


def few_images(name: str, dims: int, n: int) -> Callable[[Run, Path], dict[str, Any]]:
    """The same number of steps on fewer images."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        decoder = ad.DecoderConfig(arch=(500, 500), latent_dims=dims)
        dataset = run.load(name, n)
        epochs = run.scale.steps.epochs_for(len(dataset.train), min(128, len(dataset.train) // 2))
        methods = ("pca", "ae", "ae-refined", OURS)
        return run.compare(
            dataset, folder, decoder=decoder, methods=methods, epochs=epochs, measures=None
        )

    return run


def holes(name: str, kind: str) -> Callable[[Run, Path], dict[str, Any]]:
    """Missing pixels in training and test images; the truth is known to the measure alone."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        decoder = ad.DecoderConfig(arch=(500, 500), latent_dims=16)
        whole = run.load(name, run.scale.n_conv)
        rng = np.random.default_rng(1)
        train, val = (
            replace(part, mask=_known(kind, part.images.shape, rng))
            for part in (whole.train, whole.val)
        )
        dataset = replace(whole, train=train, val=val)

        def error_on(hidden: np.ndarray) -> Callable[[Placed], Mapping[str, float]]:
            """Measures the error of pixels that are hidden from all methods, from -1 to 1."""

            def measure(placed: Placed) -> Mapping[str, float]:
                made = np.asarray(placed.model.decode(placed.latents))
                squares = 4 * (made - placed.unseen.images / 255.0) ** 2
                return {"hidden pixels": float(squares[hidden].mean())}

            return measure

        # The weight is chosen by known pixels of held-out training images, hidden for this.
        rest, held = _hold_out(train)
        assert held.mask is not None
        fewer = held.mask & _known(kind, held.images.shape, rng)
        found = _choose(
            *(run, folder, replace(dataset, train=rest, val=replace(held, mask=fewer))),
            kinds={"variational": {"codes": "gaussian", "prior": "gaussian"}},
            weights=(1.0, 3.0, 10.0, 30.0, 60.0, 120.0),
            measures=error_on(held.mask & ~fewer),
            key="hidden pixels",
            decoder=decoder,
        )
        assert val.mask is not None
        return {
            **run.compare(
                *(dataset, folder / "final"),
                decoder=decoder,
                methods=("pca", "ae", "ae-refined", OURS),
                others=found.pop("others"),
                measures=error_on(~val.mask),
            ),
            **found,
        }

    return run


def _hold_out(train: ad.ImageSet) -> tuple[ad.ImageSet, ad.ImageSet]:
    """Five sixths of the training images, and one sixth."""
    order, n_held = np.random.default_rng(0).permutation(len(train)), len(train) // 6
    return train.take(np.sort(order[n_held:])), train.take(np.sort(order[:n_held]))


def _choose(
    run: Run,
    folder: Path,
    search: ad.Dataset,
    *,
    kinds: Mapping[str, Mapping[str, Any]],
    weights: tuple[float, ...],
    measures: Callable[[Placed], Mapping[str, float]],
    key: str,
    **shared: Any,
) -> dict[str, Any]:
    """The weight of the prior with the least of a measure on held-out images, for each kind."""
    kinds = {kind: changed for kind, changed in kinds.items() if run.wants(kind)}
    if not kinds:
        return {"others": {}}
    names = {(kind, weight): f"{kind}, weight {weight:g}" for kind in kinds for weight in weights}
    tried = {
        name: {**kinds[kind], "prior_weight": weight} for (kind, weight), name in names.items()
    }
    choice = replace(run, renewed=frozenset()).compare(
        *(search, folder / "choice"),
        methods=(),
        others=tried,
        rates=(5e-3,),
        seeds=(0,),
        measures=measures,
        **shared,
    )
    scores = {row["name"]: row["scores"][0] for row in choice["rows"]}
    found = {name: score["measures"].get(key) for name, score in scores.items()}
    least = {name: np.inf if value is None else value for name, value in found.items()}
    best = {
        kind: min((names[kind, weight] for weight in weights), key=least.__getitem__)
        for kind in kinds
    }
    return {
        "others": {kind: tried[name] for kind, name in best.items()},
        "weights": {kind: tried[name]["prior_weight"] for kind, name in best.items()},
        "search": found,
    }


def _known(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Known pixels: half of them at random, or all but a square of half the side."""
    n, height, width, _ = shape
    if kind == "dots":
        known = rng.random((n, height, width, 1)) < 0.5
    else:
        known = np.ones((n, height, width, 1), bool)
        tops, lefts = (rng.integers(0, side - side // 2 + 1, n) for side in (height, width))
        rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
        inside_rows = (rows >= tops[:, None, None]) & (rows < tops[:, None, None] + height // 2)
        inside = inside_rows & (columns >= lefts[:, None, None])
        inside &= columns < lefts[:, None, None] + width // 2
        known[inside] = False
    return np.broadcast_to(known, shape).copy()


def generation(name: str, dims: int, arch: str) -> Callable[[Run, Path], dict[str, Any]]:
    """Samples of several methods: from a density fitted afterwards, and from a normal one."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        is_conv = arch.startswith("conv")
        dataset = run.load(name, run.scale.n_conv if is_conv else None)
        decoder = ad.DecoderConfig(arch=ad.parse_arch(arch), latent_dims=dims)
        shared = {
            "decoder": decoder,
            "epochs": run.scale.conv_epochs if is_conv else run.scale.epochs,
        }
        _classifier(dataset.name, dataset)  # the same one for the search and for the result
        prior = {"prior": "mixture", "n_components": 64}
        rest, held = _hold_out(dataset.train)
        search = replace(dataset, train=rest, val=held)
        chosen = _choose(
            *(run, folder, search),
            kinds={"mixture prior": prior, "variational": {"codes": "gaussian", **prior}},
            weights=(1.0, 3.0, 10.0),
            measures=lambda placed: _judge_samples(placed, search, None),
            key="frechet_distance",
            **shared,
        )
        drawn = run.pictures / f"samples-{name}"
        found = run.compare(
            *(dataset, folder / "final"),
            methods=("ae", "vae", OURS),
            others=chosen.pop("others"),
            measures=lambda placed: _judge_samples(placed, dataset, drawn),
            **shared,
        )
        return {**found, **chosen}

    return run


def real_images(name: str, n: int | None) -> Callable[[Run, Path], dict[str, Any]]:
    """Training images in place of samples: as good as samples can be."""

    def run(run: Run, _: Path) -> dict[str, Any]:
        dataset = run.load(name, n)
        rng = np.random.default_rng(0)
        some = rng.permutation(len(dataset.train))[: min(5000, len(dataset.val))]
        images = _unit(dataset.train.flat[np.sort(some)])
        return {"measures": _measure(dataset, images, images)[0]}

    return run


def _judge_samples(placed: Placed, dataset: ad.Dataset, drawn: Path | None) -> dict[str, float]:
    """Samples beside unseen images; a hundred of them as a picture."""
    from autodecoder.model.density import draw_latents

    model, n = placed.model, min(5000, len(dataset.val))
    made = model.decode(placed.latents[:n]).reshape(n, -1)
    normal = np.random.default_rng(0).standard_normal((n, model.latent_dims)).astype(np.float32)
    sources = {"": draw_latents(model.density, n, 0)}
    if placed.name == "vae":
        sources[" (normal)"] = normal
    found: dict[str, float] = {}
    for suffix, latents in sources.items():
        images = model.decode(latents)
        measures, floor = _measure(dataset, images.reshape(n, -1), made)
        found |= {f"{key}{suffix}": value for key, value in measures.items()}
        if not suffix:
            found |= {f"{key} (reconstructions)": value for key, value in floor.items()}
        if drawn is not None:
            key = f"{placed.name}{suffix}".replace(" ", "-").replace("(", "").replace(")", "")
            _draw(images[:100], drawn.with_name(f"{drawn.name}-{key}.png"))
    return found


def _measure(
    dataset: ad.Dataset, samples: np.ndarray, reconstructions: np.ndarray
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Measures of samples beside unseen images, and those of reconstructions."""
    from autodecoder.measures.generation import measure_samples
    from autodecoder.measures.record import Record

    record = Record()
    measure_samples(
        record,
        _unit(dataset.val.flat[: len(samples)]),
        samples,
        reconstructions,
        _classifier(dataset.name, dataset),
        "",
        [str(k) for k in range(len(dataset.class_names))],
    )
    content = record.finish()
    return content.generation, content.floor


def _unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / 255


_CLASSIFIERS: dict[str, Any] = {}


def _classifier(name: str, dataset: ad.Dataset) -> Any:
    """The same classifier for all methods of a data set."""
    from autodecoder.measures.classifier import Classifier

    if name not in _CLASSIFIERS:
        train = dataset.train.take(np.arange(min(10_000, len(dataset.train))))
        _CLASSIFIERS[name] = Classifier(_unit(train.flat), train.labels, 0)
    return _CLASSIFIERS[name]


def _draw(images: np.ndarray, path: Path) -> None:
    """A hundred images as a picture of 10 × 10."""
    from PIL import Image

    n, height, width, channels = images.shape
    side = int(np.sqrt(n))
    grid = images[: side * side].reshape(side, side, height, width, channels)
    grid = grid.transpose(0, 2, 1, 3, 4).reshape(side * height, side * width, channels)
    pixels = np.rint(255 * np.clip(grid, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def robustness(name: str) -> Callable[[Run, Path], dict[str, Any]]:
    """Errors over many learning rates, and over many seeds."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        dataset = run.load(name, 10_000)
        decoder = ad.DecoderConfig(arch=(500, 500), latent_dims=2)
        rates = tuple(float(f"{2.0**k:.6g}") for k in range(-12, -2))
        seeds = tuple(range(run.scale.n_spoilt))
        shared = {"decoder": decoder, "measures": None}
        chosen = run.compare(
            *(dataset, folder / "search"),
            methods=("ae", "vae", "gon", OURS),
            rates=rates,
            seeds=seeds[:1],
            epochs=run.scale.conv_epochs,
            **shared,
        )
        known = {row["name"]: row for row in chosen["rows"]}
        # With rates that are given, a comparison gives none up, however many fits it spoils.
        found = run.repeat(dataset, folder / "seeds", known, seeds=seeds, **shared)
        rows = [{**row, "searched": known[row["name"]]["searched"]} for row in found["rows"]]
        return {"settings": {**chosen["settings"], "seeds": list(seeds)}, "rows": rows}

    return run


def time_to_error(name: str) -> Callable[[Run, Path], dict[str, Any]]:
    """Errors after fits of 2, 4, 8 seconds and so on, with learning rates and speed of `two`."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        dataset, decoder = run.load(name), ad.DecoderConfig(arch=(500, 500), latent_dims=2)
        known = run.known("two", f"{name}-500-500")
        known = {method: known[method] for method in ("ae", "ae-refined", "vae", OURS)}
        rows = []
        for k in range(6):
            seconds = run.scale.seconds / 15 * 2**k
            found = run.repeat(
                *(dataset, folder / str(k), known, seconds),
                decoder=decoder,
                seeds=run.scale.seeds[:1],
                measures=None,
            )
            rows += [{"budget": seconds, **row} for row in found["rows"]]
        return {"rows": rows}

    return run


def hidden_half(name: str, dims: int) -> Callable[[Run, Path], dict[str, Any]]:
    """Right halves of test images, filled in by a decoder of whole images."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        from hidden import RATES, plain_errors, visible

        dataset = run.load(name)
        images = dataset.val.images[: min(1000, len(dataset.val))]
        seen = visible("half", images.shape[1:3])
        mean, components = plain_errors(dataset.train.images, images, seen)
        rows = []
        for seed in run.scale.seeds:
            model = ad.fit_model(
                dataset.train.images,
                decoder=ad.DecoderConfig(arch=(500, 500), latent_dims=dims),
                fit=ad.fit_config("fast", num_epochs=run.scale.epochs),
                learning_rate=RATES.get(dims, 3e-3),
                seed=seed,
            )
            found: dict[str, float] = {"seed": seed}
            for key, weight in (("without", 0.0), ("with", None)):
                made = model.reconstruct(images, seen, config=ad.InferConfig(prior_weight=weight))
                squares = 4 * (made - images / 255.0) ** 2
                found[key] = float(squares[:, ~seen].mean())
            draws = model.draw(images, seen, 8).images
            squares = 4 * (draws.mean(axis=1) - images / 255.0) ** 2
            found["draws"] = float(squares[:, ~seen].mean())
            rows.append(found)
        return {"mean image": mean, "pca": components, "rows": rows}

    return run


def densities(dims: int) -> Callable[[Run, Path], dict[str, Any]]:
    """Telling Fashion-MNIST from MNIST by the log density of images."""

    def run(run: Run, folder: Path) -> dict[str, Any]:
        from sklearn.metrics import roc_auc_score

        sets = {name: run.load(name) for name in ("mnist", "fmnist")}
        rows = []
        for name, dataset in sets.items():
            (other,) = (key for key in sets if key != name)
            model = ad.fit_model(
                dataset.train.images,
                decoder=ad.DecoderConfig(arch=(500, 500), latent_dims=dims),
                fit=ad.fit_config("fast", num_epochs=run.scale.epochs, prior="mixture"),
                seed=0,
            )
            n = min(2000, run.scale.n_unseen)
            scores = [model.log_density(images=sets[key].val.images[:n]) for key in (name, other)]
            truth = np.repeat([1, 0], n)
            area = float(roc_auc_score(truth, np.concatenate(scores)))
            rows.append({"trained on": name, "against": other, "area": area})
        return {"rows": rows}

    return run


def cells() -> Iterator[Cell]:
    """All cells, the quick ones of each part first."""
    for arch in ("500-500", "1000-500-250"):
        for name in SETS:
            yield Cell("two", f"{name}-{arch}", two_dimensions(name, arch))
    for name in SETS:
        yield Cell("peers", name, peers(name))
    for name in ("mnist", "fmnist"):
        for dims in (2, 16):
            for n in (100, 1000, 10_000):  # all images are in `two` and `longer`
                yield Cell("few", f"{name}-{dims}-{n}", few_images(name, dims, n))
    for name in ("mnist", "fmnist"):
        for kind in ("dots", "square"):
            yield Cell("holes", f"{name}-{kind}", holes(name, kind))
    for name, dims, arch in (
        ("mnist", 16, "500-500"),
        ("fmnist", 20, "500-500"),
        ("cifar10", 64, "conv:64-32-16"),
    ):
        n = FULL.n_conv if arch.startswith("conv") else None
        yield Cell("real", name, real_images(name, n))
        yield Cell("generation", name, generation(name, dims, arch))
    for name in ("mnist", "fmnist"):
        for dims in (16, 64):
            yield Cell("hidden", f"{name}-{dims}", hidden_half(name, dims))
    yield Cell("densities", "16", densities(16))
    yield Cell("robustness", "mnist", robustness("mnist"))
    yield Cell("time", "mnist", time_to_error("mnist"))
    # An epoch of ours takes half the time of an autoencoder's, so both budgets are shown.
    for arch, budget, lengths in (
        ("500-500", "epochs", (64, 16, 256)),
        ("500-500", "seconds", (64, 16)),
        ("conv:64-32-16", "epochs", (64, 16, 256)),
        ("conv:64-32-16", "seconds", (64,)),
    ):
        kind = "conv" if arch.startswith("conv") else "dense"
        for dims in lengths:
            for name in SETS:
                key = f"{name}-{dims}-{kind}-{budget}"
                yield Cell("longer", key, longer(name, dims, arch, budget))
    for name in ("mnist", "fmnist"):
        yield Cell("published", f"{name}-256", published(name, 256))


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--parts", help="parts, joined by commas; by default all")
    parser.add_argument("--only", default="", help="cells whose name begins with this")
    parser.add_argument("--reduced", action="store_true", help="small comparisons, in minutes")
    parser.add_argument("--data_dir", type=Path, help="folder with the folders mnist and fmnist")
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"), help="for the fits")
    parser.add_argument("--again", action="store_true", help="run cells that have a result")
    parser.add_argument(
        "--renew", default="", help="rows to fit again, as auto-decoder,variational"
    )
    parser.add_argument(
        "--add_seeds", action="store_true", help="fit rows of `longer` from the seeds they lack"
    )
    parser.add_argument(
        "--keep_rates", action="store_true", help="renew rows of `longer` with the rates they have"
    )
    parser.add_argument("--list", action="store_true", help="list all cells and their state")
    options = parser.parse_args()
    kind = "evidence-reduced" if options.reduced else "evidence"
    out, scale = HERE / kind, REDUCED if options.reduced else FULL
    if (options.add_seeds or options.keep_rates) and options.parts != "longer":
        parser.error("--add_seeds and --keep_rates need --parts longer")
    known = [cell for cell in cells() if cell.is_reduced or not options.reduced]
    parts = (
        options.parts.split(",") if options.parts else list(dict.fromkeys(c.part for c in known))
    )
    if unknown := set(parts) - {cell.part for cell in known}:
        parser.error(f"--parts has no {', '.join(sorted(unknown))}")
    renewed = frozenset(filter(None, options.renew.split(",")))
    run = Run(scale, options.data_dir, options.cifar, out, renewed, options.keep_rates)
    for cell in known:
        path = out / cell.part / f"{cell.name}.json"
        if cell.part not in parts or not cell.name.startswith(options.only):
            continue
        if options.add_seeds and path.exists():
            run = _with_lacking_seeds(run, scale.seeds, json.loads(path.read_text()))
            renewed = run.renewed
        again = options.again or renewed
        if options.list or bool(renewed) > path.exists() or (path.exists() and not again):
            print(f"{cell.part}/{cell.name}: {'done' if path.exists() else 'to do'}")
            continue
        folder = options.work / kind / cell.part / cell.name
        start = time.perf_counter()
        print(f"{cell.part}/{cell.name}", flush=True)
        found = cell.run(run, folder)
        about = {"machine": _machine(), "seconds": round(time.perf_counter() - start)}
        if renewed:
            old = json.loads(path.read_text())
            about, found = {}, _renew(old, {**found, **about}, keeps_scores=options.add_seeds)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**about, **_rounded(found)}, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        jax.clear_caches()  # programs of other shapes would add up
        print(f"{cell.part}/{cell.name}: {time.perf_counter() - start:.0f} s", flush=True)


def _with_lacking_seeds(run: Run, seeds: tuple[int, ...], old: Mapping[str, Any]) -> Run:
    """Fits the rows of a result that lack seeds, from these."""
    lacking = {
        row["name"]: set(seeds) - {score["seed"] for score in row["scores"]} for row in old["rows"]
    }
    missing = tuple(sorted(set().union(*lacking.values())))
    rows = frozenset(name for name, some in lacking.items() if some)
    scale = run.scale._replace(seeds=missing or seeds)
    return replace(run, scale=scale, renewed=rows, keeps_rates=True)


def _renew(
    old: dict[str, Any], new: dict[str, Any], *, keeps_scores: bool = False
) -> dict[str, Any]:
    """A result in which some rows are replaced, or have further seeds. Paired tests of the old
    result are left out."""
    if not new["rows"]:
        raise SystemExit("no row of this cell is renewed.")
    rows = {row["name"]: row for row in old["rows"]}
    for row in new["rows"]:
        before = rows.get(row["name"], {})
        # Rates that are kept were not searched again.
        rest = {**row, "searched": row["searched"] or before.get("searched", {})}
        rows[row["name"]] = _joined(before, row) if keeps_scores else rest
    merged = {key: {**old[key], **new[key]} for key in ("weights", "search") if key in new}
    settings = {**old["settings"]}
    settings["methods"] = {**settings["methods"], **new["settings"]["methods"]}
    settings["seeds"] = sorted({*settings["seeds"], *new["settings"]["seeds"]})
    return {
        **old,
        **merged,
        "settings": settings,
        "added" if keeps_scores else "renewed": {
            "rows": [row["name"] for row in new["rows"]],
            "machine": new["machine"],
        },
        "rows": [{**row, "ours_against_it": None} for row in rows.values()],
    }


def _joined(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the scores of both, by seed."""
    scores = {score["seed"]: score for score in [*old["scores"], *new["scores"]]}
    errors = [score["error"] for score in scores.values() if not score["diverged"]]
    return {
        **old,
        "error": sum(errors) / len(errors) if errors else None,
        "scores": [scores[seed] for seed in sorted(scores)],
    }


_told: list[str] = []


def _tell(what: str, done: int, total: int) -> None:
    if _told[-1:] != [what]:
        _told[:] = [what]
        print(f"  {what}", flush=True)


def _rounded(content: Any) -> Any:
    """Six digits are enough, and keep files small."""
    if isinstance(content, Mapping):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


def _machine() -> dict[str, Any]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "python": platform.python_version(),
        **versions,
        "date": str(date.today()),
    }


if __name__ == "__main__":
    main()
