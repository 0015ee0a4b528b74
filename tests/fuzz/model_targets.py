"""Readers of settings, models, studies and requests."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tests.fuzz.data_targets import pictures
from tests.fuzz.seals import seal_png, seal_tensors
from tests.fuzz.target import Target, of_file, of_folder, read_all, scratch
from tests.measures.builders import make_evaluation
from tests.model.test_files import make as small_model
from tests.report.test_page import make_model
from tests.study.small import write_small_study
from tests.study.test_checkpoint import outcome, run_at, shapes
from werkzeug.test import EnvironBuilder, run_wsgi_app

from autodecoder.compare.result import Score
from autodecoder.compare.store import Store
from autodecoder.config import read_toml, study_config
from autodecoder.core.training import fresh_training
from autodecoder.core.tree import tree_to_arrays
from autodecoder.data.names import FILE as NAMES
from autodecoder.errors import DataError
from autodecoder.explorer import Explorer, Shelf, create_app
from autodecoder.measures.evaluation import read_evaluation, write_evaluation
from autodecoder.model import load_model, save_model
from autodecoder.model.hollow import ROW_PATHS
from autodecoder.report.film import read_film
from autodecoder.study import load_study
from autodecoder.study.checkpoint import (
    Saved,
    load_outcome,
    newest_kind,
    read_checkpoints,
    restore_run,
    save_checkpoint,
    save_outcome,
    write_shard,
)
from autodecoder.study.records import read_trials
from autodecoder.study.results import format_score
from autodecoder.tensors import read_about, read_checksum, read_tensors, write_tensors

_DTYPES = tuple(f'"{name}"'.encode() for name in ("F32", "F64", "BF16", "F8_E4M3", "I64", "BOOL"))
#: Pieces of histories.
_CELLS = (
    *(b"\n", b",", b"epoch", b"loss", b"val_", b"nan", b"1e999", b"1e39", b'"', b"\0", b"\r"),
)
_CELLS += (b"x" * 140_000, b"\n1", b"-0.0")
_TOKENS = (*_DTYPES, b"NaN", b"1e999", b"[0]", b"[1]", b"{}", b"null", b"-1")


def _seal(name: str, content: bytes) -> bytes:
    return seal_tensors(content) if name.endswith(".safetensors") else content


def _content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def of_toml() -> Target:
    """Settings of a study."""
    seeds = (
        b'recipe = "original"\nseed = 3\nobjective = "val_loss"\n[data]\ndataset = "mnist"\n'
        b'image_size = "auto"\nexamples_frac = 0.5\n[decoder]\narch = "500-500"\nlatent_dims = 2\n',
        b"[fit]\nnum_epochs = 9\nbatch_size = 4\n[search]\nmax_trials = 5\nsampler = 'random'\n"
        b"[search.space]\nlearning_rate = 'log:1e-4:1e-1:10'\nlatent_dims = [2, 3]\n"
        b"arch = ['16-8', '4']\n",
        b"[log]\nvisualize_freq = 2\ntrackers = ['gradients']\n[early_stopping]\nenabled = true\n"
        b"patience = 0.1\n[infer]\nmethod = 'lm'\nstarts = ['nearest']\n[augment]\n",
    )
    words = (
        *("log:1e-9:1:1.0000001", "lin:0:1e9:1e-9", "lin:0:9:1", "log:1:2", "[", "]", "{", "}"),
        *("[[a]]", "1979-05-27T07:32:00Z", "1e999", "inf", "nan", "-0", "0x7fffffffffffffff"),
        *(
            "'''",
            '"""',
            "\\u0000",
            "a.b.c = 1",
            "9" * 400,
            "500-" * 300,
            "1x1",
            "[" * 3000,
            "a." * 900,
        ),
        *("true", "false", "learning_rate = []", "dropout_rate = 1.0", "activation = 'relu'"),
        *(
            "norm = 'batch'",
            "batch_norm = true",
            "latent_prior",
            "loss = 'bce'",
            "~root",
            "~nobody/",
        ),
    )
    tokens = tuple(word.encode() for word in words)
    return of_file("settings.toml", seeds, _read_settings, tokens=tokens)


def _read_settings(path: Path) -> None:
    config = study_config(read_toml(path))
    for values in itertools.islice(config.search.combinations(), 1):
        config.with_objective(9).run_config(values, (2, 2, 1))


def of_tensors() -> Target:
    """Any file of arrays and plain values."""
    place = scratch() / "file.safetensors"
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b/c": np.arange(3, dtype=np.int32)}
    write_tensors(place, arrays, {"x": 1, "y": [1, {"z": None}]})

    def read(folder: Path) -> None:
        read_all(folder / place.name, read_tensors, read_about, read_checksum)

    return of_folder({place.name: place.read_bytes()}, read, seal=_seal, tokens=_TOKENS)


def of_model() -> Target:
    """A model with names, labels and training state."""
    model = small_model(arch=(4,))
    training = fresh_training(model.decoder, 6, 3, _key(), 0)
    names = {"names": np.array([*"abcdef"], object), "labels": np.arange(6, dtype=np.int32) % 2}
    folder = scratch()
    save_model(replace(model, training=training, **names), folder, training=True)
    files = {name: content for name, content in _content(folder).items() if name != "README.md"}
    # Without them, changed arrays get past the comparison of checksums.
    config = json.loads(files["config.json"])
    files["config.json"] = json.dumps({**config, "checksums": {}}).encode()
    return of_folder(files, load_model, seal=_seal, tokens=_TOKENS)


def _key() -> Any:
    import jax

    return jax.random.key(0)


def of_study() -> Target:
    """The folder of a study: settings, trials, histories and the yardstick."""
    folder = scratch()
    write_small_study(folder)
    yardstick = {"part": "val", "n_images": 3, "n_fitted": 3, "n_train": 6, "mean_image": 0.5}
    content = json.dumps({**yardstick, "components": {"2": 0.25}})
    (folder / "yardstick.json").write_text(content, encoding="utf-8")
    files = _content(folder)

    def read(place: Path) -> None:
        study = load_study(place)
        assert len(study.histories) >= 0
        assert study.levels is not None
        study.shown_run()
        for trial in study.trials:
            assert format_score(trial)
            assert sum(execution.seconds for execution in trial.executions) >= 0

    return of_folder(files, read, tokens=(*_TOKENS, *_CELLS, NAMES.encode()))


def of_history() -> Target:
    """Histories alone, which the other files of a study outnumber, and whose settings take most of
    the time."""
    folder = scratch()
    write_small_study(folder)
    name = next(path for path in _content(folder) if path.endswith("execution-0/history.csv"))
    config = load_study(folder).config

    def read(place: Path) -> None:
        for trial in read_trials(place, config):
            assert format_score(trial)

    content = (folder / name).read_bytes()
    return of_folder({name: content}, read, folder=folder, tokens=_CELLS)


def of_outcome() -> Target:
    """Outcomes of ended executions."""
    folder = scratch()
    save_outcome(folder, outcome())

    def read(place: Path) -> None:
        found = load_outcome(place)
        assert found is None or found.ended in (True, False)

    return of_folder(_content(folder), read, seal=_seal, tokens=_TOKENS)


def of_checkpoints() -> Target:
    """Checkpoints of unfinished runs, with their rows in the same file or in others."""
    like = shapes()
    folder = scratch()
    whole = tree_to_arrays(run_at(2, like))
    save_checkpoint(folder, Saved(2, 1.5, whole))
    rows = {name: whole[path] for name, path in ROW_PATHS.items() if path in whole}
    parts = [(0, 4), (4, 9)]
    shards = tuple(
        write_shard(folder, 4, first, {name: some[first:stop] for name, some in rows.items()})
        for first, stop in parts
    )
    empty = {path: whole[path][:0] for path in ROW_PATHS.values() if path in whole}
    save_checkpoint(folder, Saved(4, 2.5, {**whole, **empty}, shards))

    files = _content(folder)

    def read(place: Path) -> None:
        newest_kind(place)
        try:
            restore_run(like, read_checkpoints(place))
        finally:  # damaged ones are removed
            for name, content in files.items():
                if not (place / name).exists():
                    (place / name).write_bytes(content)

    return of_folder(files, read, seal=_seal, tokens=_TOKENS)


def of_film() -> Target:
    """The frames of a film."""
    folder = scratch()
    for epoch in (1, 2):
        arrays = {"train": np.zeros((3, 2), np.float32), "val": np.zeros((2, 2), np.float32)}
        write_tensors(folder / f"film/epoch-{epoch}.safetensors", arrays, {})

    def read(place: Path) -> None:
        for frame in read_film(place):
            assert frame.train.ndim == frame.val.ndim == 2

    return of_folder(_content(folder), read, seal=_seal, tokens=_TOKENS)


def of_evaluation() -> Target:
    """The evaluation of a model."""
    path = scratch() / "evaluation.json"
    write_evaluation(make_evaluation(), path)
    return of_file(path.name, [path.read_bytes()], read_evaluation, tokens=_TOKENS)


def of_scores() -> Target:
    """The kept scores of a comparison."""
    folder = scratch()
    settings = {"fingerprint": "x", "decoder": {}, "scaler": "x", "seconds": 1, "methods": {}}
    values = np.ones(3, np.float32)
    score = Score(0, 0.5, False, 0.5, values, values, 1.0, 1.0, 3, 3, 3)
    Store(folder, settings).keep("decoder", "a", score, measured=True)

    def read(place: Path) -> None:
        score = Store(place, settings).read("decoder", "a", 0.5, 0)
        assert score is None or score.seconds + score.error + score.rate is not None

    return of_folder(_content(folder), read, seal=_seal, tokens=_TOKENS)


#: Requests that the explorer answers: address and body.
_REQUESTS: tuple[tuple[str, Any], ...] = (
    ("/plane", {"basis": "components", "across": 0, "up": 1}),
    ("/plane", {"basis": "dimensions", "across": 1, "up": 0}),
    ("/decode", {"latents": [[0.5, -1], [2, 0]]}),
    ("/place", {"values": [0, 128] * 15, "mask": [1] * 29 + [0], "start": [0.5, 1]}),
    ("/draw", {"n": 3, "seed": 1}),
    ("/way", {"a": [0, 0], "b": [1, 2.5], "n": 4, "path": "linear"}),
    ("/pick", {"name": "images", "index": 2}),
    ("/gallery", {"name": "images", "text": "a", "first": 0}),
)
_HEADERS = ("Host", "Origin", "Sec-Fetch-Site", "Content-Type", "Content-Encoding", "X-Other")


def of_explorer() -> Target:
    """Requests to the explorer. The first byte of an input chooses address and kind."""
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 5, 1), np.uint8)
    names = np.array([f"a/{k}.png" for k in range(5)], object)
    shelf = Shelf(images, np.arange(5) % 3, names=names)
    explorer = Explorer(make_model(), {"images": shelf})
    app = create_app(explorer, title="fuzz")
    app.testing = True

    def fail(error: Exception) -> NoReturn:
        raise error

    app.register_error_handler(Exception, fail)  # instead of an answer with status 500
    n = len(_REQUESTS)

    def read(content: bytes) -> None:
        kind, body = (content[0] if content else 0) % (n + 1 + len(_HEADERS)), content[1:]
        if kind < n:
            request = EnvironBuilder(
                _REQUESTS[kind][0], method="POST", data=body, content_type="application/json"
            )
        elif kind == n:
            request = EnvironBuilder(
                "/read", method="POST", data=seal_png(body), content_type="application/octet-stream"
            )
        else:
            value = body.decode("latin-1").replace("\r", "").replace("\n", "")
            request = EnvironBuilder("/", headers=[(_HEADERS[kind - n - 1], value)])
        # Not by a client, which fails itself at some hosts.
        parts, status, _ = run_wsgi_app(app, request.get_environ(), buffered=True)
        assert int(status[:3]) in (200, 400, 403, 404, 405, 413, 415), status
        if not status.startswith("200"):
            raise DataError(b"".join(parts).decode().strip())

    seeds = [bytes([k]) + json.dumps(body).encode() for k, (_, body) in enumerate(_REQUESTS)]
    seeds += [bytes([n]) + picture for picture in pictures()[:12]]
    values = (b"localhost:8000", b"http://localhost", b"same-origin", b"text/plain", b"gzip", b"x")
    seeds += [bytes([n + 1 + k]) + value for k, value in enumerate(values)]
    tokens = (b"[::1]:80", b"127.0.0.1", b"[", b"]", b"@", b"NaN", b"1e999", b"[" * 900, b"\\ud800")
    return Target(tuple(seeds), read, tokens, 2**30)


#: The targets of this module, by their names.
BUILDERS: dict[str, Callable[[], Target]] = {
    "toml": of_toml,
    "tensors": of_tensors,
    "model": of_model,
    "study": of_study,
    "history": of_history,
    "outcome": of_outcome,
    "checkpoints": of_checkpoints,
    "scores": of_scores,
    "film": of_film,
    "evaluation": of_evaluation,
    "explorer": of_explorer,
}
