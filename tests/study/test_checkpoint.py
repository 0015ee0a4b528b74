"""Checkpoints and outcomes: exact, two of each run, and the one before where one is damaged."""

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.study.builders import CONFIG, assert_same_history, assert_same_shown, execution

from autodecoder.config import StudyConfig
from autodecoder.core.fit import init_run
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.runs import Images, Run
from autodecoder.core.tree import tree_to_arrays
from autodecoder.errors import DataError
from autodecoder.files import UnreadableError, sweep_temporary
from autodecoder.model.hollow import ROW_PATHS
from autodecoder.study import checkpoint
from autodecoder.study.checkpoint import (
    Outcome,
    Saved,
    drop_checkpoints,
    drop_outcome,
    joined,
    load_outcome,
    newest_kind,
    read_checkpoints,
    restore_run,
    save_outcome,
    write_shard,
)
from autodecoder.study.checkpoint import save_checkpoint as save
from autodecoder.study.results import Shown
from autodecoder.tensors import read_tensors, write_tensors


def shapes(config: StudyConfig = CONFIG) -> Run:
    """What a run looks like."""
    images = Images(jnp.zeros((9, 4), jnp.uint8), jnp.zeros((5, 4), jnp.uint8))
    run_config = config.run_config({"learning_rate": 1e-3}, (2, 2, 1))
    return jax.eval_shape(
        lambda: init_run(jax.random.key(0), images, find_starts(images, run_config), run_config)
    )


def run_at(epoch: int, like: Run) -> Run:
    """A run full of noise."""
    rng = np.random.default_rng(epoch)

    def fill(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(epoch)
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.full(leaf.shape, epoch, leaf.dtype)
        return jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(fill, like)


def assert_same_run(one: Run, other: Run) -> None:
    arrays, others = tree_to_arrays(one), tree_to_arrays(other)
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], strict=True)


def save_checkpoint(folder: Path, run: Run, seconds: float) -> None:
    save(folder, Saved(int(run.state.epoch), seconds, tree_to_arrays(run)))


def load_checkpoint(folder: Path, like: Run) -> tuple[Run, float] | None:
    return restore_run(like, read_checkpoints(folder))


@pytest.fixture(scope="module")
def like() -> Run:
    return shapes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    """One bit of an array."""
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


DAMAGES: list[Callable[[bytes], bytes]] = [
    cut,
    flip,
    lambda content: b"",
    lambda content: bytes(len(content)),
    lambda content: content[8:],
    lambda content: b"no checkpoint at all",
]


def test_small_moments_come_back_bit_for_bit(tmp_path: Path) -> None:
    fit = replace(CONFIG.fit, latent_second_moment="row", latent_first_moment_dtype="bfloat16")
    small = shapes(replace(CONFIG, fit=fit))
    run = run_at(7, small)
    save_checkpoint(tmp_path, run, 1.25)
    found = load_checkpoint(tmp_path, small)
    assert found is not None
    assert_same_run(found[0], run)
    rows = found[0].state.train.rows
    assert (rows.square.shape, rows.mean.dtype) == ((9, 1), jnp.bfloat16)


def test_a_run_comes_back_bit_for_bit(like: Run, tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, like) is None
    assert load_checkpoint(tmp_path / "nowhere", like) is None
    run = run_at(7, like)
    save_checkpoint(tmp_path, run, 1.25)
    found = load_checkpoint(tmp_path, like)
    assert found is not None
    assert_same_run(found[0], run)
    assert found[1] == 1.25
    assert isinstance(jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(found[0])), Run)


def test_the_best_epoch_is_part_of_a_run(tmp_path: Path) -> None:
    keeping = shapes(replace(CONFIG, log=replace(CONFIG.log, save_best_model=True)))
    run = run_at(3, keeping)
    assert run.best is not None
    save_checkpoint(tmp_path, run, 0.0)
    found = load_checkpoint(tmp_path, keeping)
    assert found is not None
    assert_same_run(found[0], run)


def test_the_newest_two_are_kept(like: Run, tmp_path: Path) -> None:
    for epoch in (2, 9, 10, 100):
        save_checkpoint(tmp_path, run_at(epoch, like), 0.0)
    assert names(tmp_path) == [f"checkpoint-{epoch:07d}.safetensors" for epoch in (10, 100)]
    found = load_checkpoint(tmp_path, like)
    assert found is not None
    assert int(found[0].state.epoch) == 100


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_the_newest_is_damaged_the_one_before_is_taken(
    like: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable
) -> None:
    for epoch in (2, 4):
        save_checkpoint(tmp_path, run_at(epoch, like), epoch / 2)
    newest, older = (tmp_path / f"checkpoint-{epoch:07d}.safetensors" for epoch in (4, 2))
    newest.write_bytes(damage(newest.read_bytes()))
    with caplog.at_level(logging.WARNING):
        found = load_checkpoint(tmp_path, like)
    assert found is not None
    assert_same_run(found[0], run_at(2, like))
    assert found[1] == 1
    (message,) = caplog.messages
    assert str(newest) in message
    assert "damaged" in message
    assert "the previous one is used" in message

    older.write_bytes(damage(older.read_bytes()))
    caplog.clear()
    assert load_checkpoint(tmp_path, like) is None
    assert str(older) in caplog.text
    assert "starts over" in caplog.text


def failing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails at files whose names begin so."""
    plain = Path.open

    def read(self: Path, *given: Any, **named: Any) -> Any:
        if self.name.startswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return plain(self, *given, **named)

    monkeypatch.setattr(Path, "open", read)


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_disk_that_fails_costs_no_checkpoint(
    like: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    for saved in (2, 4):
        save_checkpoint(tmp_path, run_at(saved, like), 0.0)
    before = names(tmp_path)
    with monkeypatch.context() as patch:
        failing(f"checkpoint-{epoch:07d}", patch)
        with pytest.raises(UnreadableError, match=r"cannot be read: Input/output error\.$"):
            list(read_checkpoints(tmp_path))
        if epoch == 4:
            with pytest.raises(UnreadableError):
                newest_kind(tmp_path)
    assert names(tmp_path) == before
    found = load_checkpoint(tmp_path, like)
    assert found is not None
    assert_same_run(found[0], run_at(4, like))


def save_in_parts(folder: Path, run: Run) -> None:
    arrays, epoch = tree_to_arrays(run), int(run.state.epoch)
    rows = {name: arrays[path] for name, path in ROW_PATHS.items() if path in arrays}
    shards = tuple(
        write_shard(folder, epoch, a, {name: some[a:b] for name, some in rows.items()})
        for a, b in ((0, 4), (4, 9))
    )
    empty = {path: arrays[path][:0] for path in ROW_PATHS.values() if path in arrays}
    save(folder, Saved(epoch, 1.0, {**arrays, **empty}, shards))


def test_a_disk_that_fails_costs_no_part_of_a_checkpoint(
    like: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while parts are checked, nor while they are read."""
    for epoch in (2, 4):
        save_in_parts(tmp_path, run_at(epoch, like))
    before, (newest, *_) = names(tmp_path), read_checkpoints(tmp_path)
    with monkeypatch.context() as patch:
        failing("part-0000004-000000000004", patch)
        for work in (lambda: load_checkpoint(tmp_path, like), lambda: restore_run(like, [newest])):
            with pytest.raises(UnreadableError):
                work()
    assert names(tmp_path) == before
    found = restore_run(like, [newest])
    assert found is not None
    assert_same_run(found[0], run_at(4, like))


def test_a_part_of_another_checkpoint_is_not_taken(like: Run, tmp_path: Path) -> None:
    for epoch in (2, 4):
        save_in_parts(tmp_path, run_at(epoch, like))
    newest, older = read_checkpoints(tmp_path)
    newest.shards[0].path.write_bytes(older.shards[0].path.read_bytes())
    with pytest.raises(DataError, match="belongs to other files than those beside it"):
        joined(newest)
    assert [saved.epoch for saved in read_checkpoints(tmp_path)] == [2]


def test_a_checkpoint_of_another_shape_is_not_taken(
    like: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = shapes(replace(CONFIG, decoder=replace(CONFIG.decoder, latent_dims=3)))
    save_checkpoint(tmp_path, run_at(2, other), 0.0)
    assert load_checkpoint(tmp_path, like) is None
    assert "must be float32" in caplog.text


def test_what_a_killed_process_was_writing_is_no_checkpoint(like: Run, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, run_at(2, like), 0.0)
    half = tmp_path / ".checkpoint-0000004.safetensors.0123abcd.tmp"
    half.write_bytes(b"half of it")
    found = load_checkpoint(tmp_path, like)
    assert found is not None
    assert int(found[0].state.epoch) == 2
    drop_checkpoints(tmp_path)
    assert names(tmp_path) == [half.name]
    drop_checkpoints(tmp_path)
    sweep_temporary(tmp_path)
    assert names(tmp_path) == []


# Outcomes


def outcome(shown: bool = True) -> Outcome:
    rng = np.random.default_rng(0)
    pictures = Shown(
        decoder={"layers/0/weight": rng.normal(size=(2, 4)).astype(np.float32)},
        train_latents=rng.normal(size=(6, 2)).astype(np.float32),
        val_latents=rng.normal(size=(3, 2)).astype(np.float32),
        train_labels=np.arange(6, dtype=np.int32),
        val_labels=np.arange(3, dtype=np.int32),
        val_loss=rng.random(3, np.float32),
    )
    history = execution(3, np.nan, 2, seed=1).history
    return Outcome(history, "finished", 1.5, pictures if shown else None, "fresh")


def test_an_outcome_counts_without_all_that_is_to_be_shown(tmp_path: Path) -> None:
    save_outcome(tmp_path, outcome())
    path = tmp_path / "outcome.safetensors"
    tensors, about = read_tensors(path)
    del tensors["shown/val_loss"]
    write_tensors(path, tensors | {"shown/val_shown": np.arange(3)}, about)
    found = load_outcome(tmp_path)
    assert found is not None
    assert found.ended
    assert found.shown is None


@pytest.mark.parametrize("shown", [True, False])
def test_an_outcome_comes_back_as_it_was(tmp_path: Path, shown: bool) -> None:
    assert load_outcome(tmp_path) is None
    saved = outcome(shown)
    save_outcome(tmp_path, saved)
    found = load_outcome(tmp_path)
    assert found is not None
    assert_same_history(found.history, saved.history)
    assert (found.status, found.seconds, found.protocol) == ("finished", 1.5, "fresh")
    assert found.ended
    assert (found.shown is None) == (not shown)
    if found.shown is not None and saved.shown is not None:
        assert_same_shown(found.shown, saved.shown)
    drop_outcome(tmp_path)
    drop_outcome(tmp_path)
    assert load_outcome(tmp_path) is None


def test_a_disk_that_fails_costs_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, the run would be done again."""
    save_outcome(tmp_path, outcome())
    with monkeypatch.context() as patch:
        failing("outcome", patch)
        with pytest.raises(UnreadableError):
            load_outcome(tmp_path)
    assert load_outcome(tmp_path) is not None


def test_records_are_flushed_before_those_that_they_replace_go(
    like: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[list[str]] = []
    monkeypatch.setattr(checkpoint, "sync_folder", lambda folder: flushed.append(names(folder)))
    for epoch in (1, 2, 3):
        save_checkpoint(tmp_path, run_at(epoch, like), 0.0)
    kept = [f"checkpoint-{epoch:07d}.safetensors" for epoch in (1, 2, 3)]
    assert flushed == [kept[:1], kept[:2], kept]
    save_outcome(tmp_path, outcome())
    assert flushed[3:] == [[*kept[1:], "outcome.safetensors"]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_outcome_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable
) -> None:
    save_outcome(tmp_path, outcome())
    path = tmp_path / "outcome.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert load_outcome(tmp_path) is None
    assert str(path) in caplog.text
    assert "damaged" in caplog.text
