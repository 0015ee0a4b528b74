"""The main job on the real data sets, at the figures it is known for. Minutes: `make test-slow`."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from autodecoder import (
    DataConfig,
    DecoderConfig,
    SearchConfig,
    StudyConfig,
    fit_config,
    load_dataset,
    load_study,
    load_study_data,
    run_study,
)
from autodecoder.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ORIGINAL = ("--recipe=original", "--arch=500-500", "--nobatch_norm", "--lr=1e-3", "--seed=0")


def train(folder: Path, *flags: str) -> dict[str, float]:
    """Run the command line with one learning rate; the last values of its one execution."""
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--examples_frac=0.", "--executions_per_trial=1", f"--out={folder}", *flags])
    assert exit_.value.code == 0
    assert len(list((folder / "report").glob("*.png"))) >= 3
    (trial,) = load_study(folder).trials
    (execution,) = trial.executions
    assert execution.status == "finished"
    return {name: execution.last(name) for name in execution.history}


def test_mnist_as_the_original(shared_data: Path, tmp_path: Path) -> None:
    last = train(
        tmp_path / "mnist",
        "--dataset=mnist",
        f"--data_dir={shared_data}",
        "--num_epochs=20",
        *ORIGINAL,
    )
    assert last["loss"] == pytest.approx(0.17, abs=0.015)
    assert last["fresh_val_loss"] == pytest.approx(0.155, abs=0.015)


def test_mnist_stays_below_2_gb(shared_data: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, ROOT / "train.py", "--dataset=mnist", f"--data_dir={shared_data}"),
        *("--arch=500-500", "--lr=1e-3", "--num_epochs=1", "--examples_frac=0"),
        *("--executions_per_trial=1", "--latent_start=pca", f"--out={tmp_path / 'mnist'}"),
    ]
    program = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
    )
    kibibytes = int(done.stdout.splitlines()[-1])
    assert kibibytes < 2e9 / 1024


def test_fashion_mnist_as_the_original(shared_data: Path, tmp_path: Path) -> None:
    last = train(
        tmp_path / "fmnist",
        "--dataset=fmnist",
        f"--data_dir={shared_data}",
        "--num_epochs=10",
        *ORIGINAL,
    )
    assert last["loss"] == pytest.approx(0.153, abs=0.02)
    assert last["fresh_val_loss"] == pytest.approx(0.128, abs=0.02)


def test_cifar10_as_a_folder_of_jpegs(shared_data: Path, tmp_path: Path) -> None:
    archive = shared_data / "cifar10-jpeg.tar.gz"
    if not archive.exists():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "cifar", filter="data")
    data = load_dataset(f"folder:{tmp_path / 'cifar'}", strict=True)
    assert (len(data.train), len(data.val), data.image_shape) == (50_000, 10_000, (32, 32, 3))
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    config = StudyConfig(
        data=DataConfig(dataset=f"folder:{tmp_path / 'cifar'}", examples_frac=0.1),
        decoder=DecoderConfig(arch=(256,), latent_dims=16),
        fit=fit_config("fast", num_epochs=2),
        search=SearchConfig({"learning_rate": (1e-3,)}),
        executions_per_trial=1,
    )
    study = run_study(config, load_study_data(config), tmp_path / "study")
    assert study.trials[0].executions[0].last("fresh_val_loss") < 0.1


def test_cifar10_learns(shared_data: Path, tmp_path: Path) -> None:
    maker = shared_data / "make_cifar10_bin.py"
    data = tmp_path / "data"
    subprocess.run([sys.executable, maker, data / "cifar10"], check=True, capture_output=True)
    last = train(
        tmp_path / "cifar10",
        "--dataset=cifar10",
        f"--data_dir={data}",
        "--arch=500-500",
        "--latent_dims=16",
        "--lr=1e-3",
        "--num_epochs=3",
        "--seed=0",
    )
    # The mean image has a mean squared error of about 0.25 in [-1, 1].
    assert last["loss"] < 0.2
    assert last["fresh_val_loss"] < 0.2
