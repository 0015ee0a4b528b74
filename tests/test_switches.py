"""Whatever switches of jax a process has set: the same numbers, and no error of theirs."""

import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tests.study.builders import CONFIG
from tests.switches import SWITCHES, switched

import autodecoder as ad
from autodecoder.config import SearchConfig

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8)
AUGMENTED = ad.AugmentConfig(enabled=("zoom", "translation", "contrast", "brightness"))


def fitted(**options: Any) -> ad.Model:
    decoder = ad.DecoderConfig(arch=(8,), batch_norm=True, dropout_rate=0.2, latent_dims=3)
    fit = ad.fit_config("fast", num_epochs=2, batch_size=16)
    return ad.fit_model(
        IMAGES, decoder=decoder, fit=fit, learning_rate=1e-2, val_images=IMAGES[:9], **options
    )


def numbers(folder: Path) -> dict[str, Any]:
    """Of a model from its fit to what is drawn from it, by every method and path."""
    model = fitted(augment=AUGMENTED)
    ad.save_model(model, folder)
    model = ad.load_model(folder)
    found: dict[str, Any] = {"latents": model.latents, **model.history}
    starts = ("nearest", "zeros", "random")
    seen = np.random.default_rng(1).random((9, 6, 6)) > 0.5
    seen[3] = False
    for method in ("lm", "lbfgs", "adam"):
        config = ad.InferConfig(method=method, starts=starts, n_starts=2, n_steps=5)
        found[method] = model.infer(IMAGES[:9], seen, config=config)
    found["trace"] = model.trace(IMAGES[0]).latents
    for path in ("linear", "spherical", "data"):
        found[path] = model.interpolate(IMAGES[0], model.latents[1], 4, path=path)
    found["sample"] = model.sample(3)
    found["nowhere"] = model.decode(np.full((1, 3), np.nan))
    table = ad.AutoDecoder(arch="8", num_epochs=2, random_state=0)
    found["table"] = table.fit_transform(IMAGES.reshape(40, 36) / 255)
    return found


def assert_same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.slow
def test_a_model_is_the_same_under_every_switch(tmp_path: Path) -> None:
    want = numbers(tmp_path / "plain")
    with switched(**SWITCHES):
        assert_same(numbers(tmp_path / "switched"), want)


@pytest.mark.thorough
def test_a_model_opens_under_the_switches_of_another_process(tmp_path: Path) -> None:
    model = fitted()
    ad.save_model(model, tmp_path)
    with switched(**SWITCHES):
        found = ad.load_model(tmp_path)
        assert_same(found.decode(found.latents), model.decode(model.latents))
    assert_same(found.infer(IMAGES), model.infer(IMAGES))


@pytest.mark.slow
def test_a_study_goes_on_under_other_switches(tmp_path: Path) -> None:
    config = replace(
        CONFIG,
        decoder=ad.DecoderConfig(arch=(8,), batch_norm=True),
        fit=ad.fit_config("fast", num_epochs=6, batch_size=50),
        search=SearchConfig({"learning_rate": (1e-2, 1e30)}),
        early_stopping=ad.EarlyStoppingConfig(enabled=True, patience=0.2, start_epoch=1),
        log=ad.LogConfig(save_best_model=True, trackers=("gradients",), checkpoint_every=1),
        executions_per_trial=1,
    )
    data = ad.load_study_data(config)
    asked = 0

    def stop_early() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    want = ad.run_study(config, data, tmp_path / "plain")
    with switched(**SWITCHES):
        ad.run_study(config, data, tmp_path / "switched", should_stop=stop_early)
        found = ad.run_study(config, data, tmp_path / "switched")
        model = found.best_model()
    of = ("trial",)
    assert found.histories.drop(columns=[*of]).equals(want.histories.drop(columns=[*of]))
    plain = want.best_model()
    assert model is not None
    assert plain is not None
    assert_same(model.latents, plain.latents)


@pytest.mark.skipif(sys.platform == "win32", reason="no process is forked there")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_process_that_is_forked_off_does_not_wait_for_ever() -> None:
    """It lacks the threads of jax, as joblib's backend `multiprocessing` makes it."""
    model = fitted()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        ended = pool.apply_async(model.decode, [model.latents])
        with pytest.raises(ad.ConfigError, match=r"must not be forked.*spawn.*loky"):
            ended.get(30)


@pytest.mark.thorough
def test_a_guard_against_transfers_is_named(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "autodecoder", "train", "--dataset=digits", "--lr=1e-2", "--seed=1"],
        env={**os.environ, "JAX_TRANSFER_GUARD": "disallow"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "JAX_TRANSFER_GUARD" in ended.stderr
    assert not list(tmp_path.rglob("config.json"))
