"""Fits and studies over several devices of a process: the same runs as on one.

A process has as many devices of a CPU as it asks for when it starts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodecoder import DecoderConfig, FitConfig, fit_model, load_dataset, load_study
from autodecoder.errors import ConfigError
from autodecoder.model.devices import choose_devices

N = 8


def run(*command: str | Path, devices: int = N) -> str:
    """What a process with so many devices prints."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FITS = """
import json, sys
import numpy as np
import autodecoder as ad
from autodecoder.core import priors

priors._FIRST_STEPS = 2  # each takes long to compile
digits = ad.load_dataset("digits", examples_frac=0.4)
images, val = digits.train.images[:301], digits.val.images[:101]
arch, dims, norm, loss, masked, *more = json.loads(sys.argv[1])
config = ad.DecoderConfig(arch=arch, latent_dims=dims, norm=norm, norm_groups=4)
names = "latent_second_moment", "latent_first_moment_dtype", "prior", "n_components", "codes"
fit = ad.FitConfig(num_epochs=3, batch_size=64, loss=loss, **dict(zip(names, more)))
mask = np.random.default_rng(0).random(images.shape) < 0.7 if masked else None
for devices in map(int, sys.argv[2:]):
    model = ad.fit_model(
        images, decoder=config, fit=fit, learning_rate=1e-2, val_images=val, devices=devices,
        mask=mask, scaler="zero_one" if loss == "bce" else None,
    )
    last = [model.history[name][-1] for name in ("loss", "val_loss", "latent_variance")]
    print(json.dumps([*map(float, last), float(np.abs(model.latents).sum())]))
"""

#: What a fit may keep or learn beside its latents, all of which is summed over the devices.
ALONG = ("row", "bfloat16", "mixture", 3, "gaussian")


@pytest.mark.parametrize(
    ("case", "counts"),
    [
        (((32,), 16, "batch", "mse", True, *ALONG), "18"),
        pytest.param(((32,), 16, "batch", "mse", True), "18", marks=pytest.mark.thorough),
        pytest.param(((32,), 16, "none", "mse", False, *ALONG), "12", marks=pytest.mark.thorough),
        pytest.param(((32,), 2, "none", "mse", False), "1248", marks=pytest.mark.thorough),
        pytest.param(("conv:8-4", 4, "group", "bce", False), "1248", marks=pytest.mark.thorough),
    ],
)
def test_a_fit_is_the_same_on_any_number_of_devices(case: tuple[Any, ...], counts: str) -> None:
    """Parts of 301 and 101 images are filled up; the latter has fewer shards than devices."""
    printed = run("-c", FITS, json.dumps(case), *counts).splitlines()
    one, *several = (json.loads(line) for line in printed)
    assert len(several) == len(counts) - 1
    for other in several:
        np.testing.assert_allclose(other, one, rtol=2e-4)


TRAFFIC = """
import json, re, sys
import jax, jax.numpy as jnp, numpy as np
import autodecoder as ad
from autodecoder.config import AugmentConfig, RunConfig, WatchConfig
from autodecoder.core.epoch import LearningRates
from autodecoder.core.runs import Images
from autodecoder.core.population import advance, init_population, place_images, place_population
from autodecoder.model.devices import choose_devices

fit = ad.FitConfig(num_epochs=2, batch_size=64, latent_start="normal")
config = RunConfig(
    decoder=ad.DecoderConfig(arch=(32, 32)), fit=fit, scaler="standard", image_shape=(8, 8, 1),
    augment=AugmentConfig(), watch=WatchConfig("loss"),
)
images = Images(*(jnp.ones((n, 64), jnp.uint8) for n in (640, 320)))
rates = LearningRates(*(jnp.ones(2) for _ in "ab"))
runs = np.arange(2, dtype=np.uint32)
population = init_population(jax.random.key(0), runs, rates, images, None, config)
layout = choose_devices(8).lay_out(2, (640, 320), config)
placed = place_population(population, layout), place_images(images, layout)
program = advance.lower(*placed, 0, 2, 1, config=config, side_by_side=False, layout=layout)
moved = []
for line in program.compile().as_text().splitlines():
    kind = re.search(r" (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)", line)
    if kind and "= " in line and "(" in line:
        shapes = re.findall(r"f32\\[([\\d,]*)\\]", line.split("= ")[1].split(kind[1] + "(")[0])
        counts = [int(np.prod([int(n) for n in s.split(",") if n])) for s in shapes]
        moved.append((kind[1], sum(counts)))
n_trained = sum(a.size for a in jax.tree.leaves(population.runs.state.decoder.trainable())) // 2
print(json.dumps([dict(layout.mesh.shape), n_trained, moved]))
"""


@pytest.mark.thorough
def test_what_travels_in_a_step_is_the_gradient_of_the_decoder() -> None:
    table, n_trained, moved = json.loads(run("-c", TRAFFIC))
    assert table == {"runs": 2, "data": 4}
    assert {kind for kind, _ in moved} == {"all-reduce"}, "rows stay where they are"
    *small, largest = sorted(n for _, n in moved)
    assert n_trained <= largest <= n_trained + 8
    assert sum(small) < 50


STUDY = """
import json, sys
from dataclasses import replace
import autodecoder as ad
from autodecoder.config import DataConfig, EarlyStoppingConfig, SearchConfig, StudyConfig, LogConfig
from autodecoder.study import load_study_data, run_study

folder, table, until, rates = json.loads(sys.argv[1])
config = StudyConfig(
    data=DataConfig("digits", examples_frac=0.3),
    decoder=ad.DecoderConfig(arch=(16,)),
    fit=ad.FitConfig(num_epochs=6),
    early_stopping=EarlyStoppingConfig(len(rates) > 3, min_delta=0.02, patience=0.2, start_epoch=0),
    search=SearchConfig({"learning_rate": tuple(rates)}),
    log=replace(LogConfig(), checkpoint_every=2),
    executions_per_trial=1,
)
reached = [0]
run_study(
    config, load_study_data(config), folder, mesh=table,
    report=lambda progress: reached.__setitem__(0, progress.epoch),
    should_stop=lambda: reached[0] >= until,
)
"""


RATES = [1e-3, 1e-2, 1e-1]


def ends(folder: Path) -> dict[float, float]:
    return {
        trial.learning_rate: trial.executions[0].last("fresh_val_loss")
        for trial in load_study(folder).trials
        if trial.state == "complete"
    }


@pytest.mark.thorough
def test_a_study_goes_on_with_another_number_of_devices(tmp_path: Path) -> None:
    """Runs over devices, which three do not fill; then rows too; then all on one device."""
    folder = str(tmp_path / "several")
    run("-c", STUDY, json.dumps([str(tmp_path / "one"), None, 99, RATES]), devices=1)
    run("-c", STUDY, json.dumps([folder, "runs=2", 2, RATES]))
    run("-c", STUDY, json.dumps([folder, "data=4,runs=2", 4, RATES]))
    assert not ends(tmp_path / "several")
    run("-c", STUDY, json.dumps([folder, None, 99, RATES]), devices=1)
    found, wanted = ends(tmp_path / "several"), ends(tmp_path / "one")
    assert len(wanted) == 3
    assert found.keys() == wanted.keys()
    for rate, value in wanted.items():
        assert found[rate] == pytest.approx(value, rel=1e-3)


@pytest.mark.thorough
def test_runs_that_end_early_make_room(tmp_path: Path) -> None:
    """Three of four end at once, which leaves one run for eight devices."""
    rates = [1e-5, 2e-5, 1e-2, 3e-5]
    for name, table, devices in (("one", None, 1), ("several", "data=2,runs=2", N)):
        run("-c", STUDY, json.dumps([str(tmp_path / name), table, 99, rates]), devices=devices)
    wanted = ends(tmp_path / "one")
    lengths = [
        {trial.learning_rate: trial.executions[0].epochs for trial in load_study(folder).trials}
        for folder in (tmp_path / "one", tmp_path / "several")
    ]
    assert lengths[0] == lengths[1]
    assert sorted(lengths[0].values())[-1] == 6 > sorted(lengths[0].values())[-2]
    assert ends(tmp_path / "several") == pytest.approx(wanted, rel=1e-3)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("devices", "mesh", "message"),
    [
        (0, None, "devices must be a number from 1 on, or all, got 0"),
        ("some", None, "devices must be a number from 1 on, or all, got 'some'"),
        (99, None, "99 devices asked for, but jax finds 1: cpu"),
        ("99", None, "99 devices asked for, but jax finds 1: cpu"),
        (None, "data=2", "2 devices asked for, but jax finds 1"),
        (None, "rows=2", "mesh must be like data=4,runs=2, got 'rows=2'"),
        (None, "data=0", "mesh must be like"),
        (None, "", "mesh must be like"),
        (None, "data=2,data=3", "mesh must be like"),
        (3, "data=2", "mesh data=2 is for 2 devices, but devices says 3"),
        ("all", "data=2,runs=2", "is for 4 devices, but devices says all, which is 1"),
    ],
)
def test_devices_that_there_are_not(devices: Any, mesh: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_devices(devices, mesh)


def test_one_device_is_the_default() -> None:
    assert len(choose_devices().chosen) == len(choose_devices("all").chosen) == 1
    images = load_dataset("digits", examples_frac=0.1).train.images
    config, fit = DecoderConfig(arch=(8,)), FitConfig(num_epochs=1)
    with pytest.raises(ConfigError, match="2 devices asked for"):
        fit_model(images, decoder=config, fit=fit, devices=2)
