"""The four example commands of the original's documentation, as written there but for the epochs.

Once on images of noise, for the flags; and, slowly, on the real ones by `./train.py`.
"""

import gzip
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import start, train
from tests.data.builders import (
    CIFAR10_FOLDER,
    CIFAR100_FOLDER,
    cifar_record,
    gzipped,
    idx,
    tar,
    write,
)

from autodecoder import Study, load_study
from autodecoder.config import METRICS

#: With a blank where the second one lacks it before the end of a line.
COMMANDS = r"""
# lr not specified, will tune
./train.py --dataset mnist --num_epochs 100 --activation relu \
--examples_frac .5 --executions_per_trial 1 \
--batch_norm --objective val_loss --arch 500-500

# lr specified, will not tune
./train.py --dataset cifar10 --num_epochs 50 \
 --lr 1e-3 --activation tanh \
--examples_frac 0. --executions_per_trial 3 \
--nobatch_norm --objective loss --arch 500-500-1000-500

# will track gradient norms
./train.py --dataset cifar100 --num_epochs 150 \
 --lr 1e-4 --activation swish \
--examples_frac 0. --executions_per_trial 1 \
--nobatch_norm --objective loss --arch 500-500-1000-500 \
--tracker gradients

# will clear out project dir and not use xla
./train.py --reset-training --nouse_xla --dataset fmnist \
--num_epochs 150 --activation swish \
--examples_frac 0.5 --executions_per_trial 10 \
--batch_norm --objective val_error --arch 500-1500-1000
"""
LEARNING_RATES = [1e-4, 1e-3, 1e-2, 1e-1]


def command(dataset: str, num_epochs: int) -> list[str]:
    """The arguments of the command for a data set, with fewer epochs."""
    lines = [
        line for line in COMMANDS.replace("\\\n", "").splitlines() if dataset in shlex.split(line)
    ]
    (line,) = lines
    program, *arguments = shlex.split(line)
    assert program == "./train.py"
    arguments[arguments.index("--num_epochs") + 1] = str(num_epochs)
    return arguments


def assert_ran(study: Study, rates: list[float], executions: int, epochs: int) -> None:
    """Every trial has run to its end, with finite numbers in every metric."""
    assert sorted(trial.learning_rate for trial in study.trials) == rates
    for trial in study.trials:
        assert trial.state == "complete"
        assert [execution.epochs for execution in trial.executions] == [epochs] * executions
        for execution in trial.executions:
            assert execution.status == "finished"
            assert np.isfinite([execution.last(metric) for metric in METRICS]).all()


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of small sets in the published layouts, of as many images as a batch needs."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)

    def idx_part(name: str, n: int) -> dict[str, bytes]:
        return {
            f"{name}-images-idx3-ubyte": idx(rng.integers(256, size=(n, 6, 5))),
            f"{name}-labels-idx1-ubyte": idx(np.arange(n) % 10),
        }

    def records(n: int, *classes: int) -> bytes:
        images = rng.integers(256, size=(n, 32, 32, 3))
        return b"".join(
            cifar_record(tuple(k % c for c in classes), image) for k, image in enumerate(images)
        )

    for name in ("mnist", "fmnist"):
        write(folder / name, gzipped(idx_part("train", 280) | idx_part("t10k", 20)))
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    ten = {f"{CIFAR10_FOLDER}/{name}.bin": records(30, 10) for name in names}
    write(folder / "cifar10", {"cifar-10-binary.tar.gz": tar(ten)})
    hundred = {
        f"{CIFAR100_FOLDER}/train.bin": records(150, 20, 100),
        f"{CIFAR100_FOLDER}/test.bin": records(30, 20, 100),
    }
    write(folder / "cifar100", {"cifar-100-binary.tar.gz": tar(hundred)})
    return folder


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("dataset", "rates", "executions"),
    [
        ("mnist", LEARNING_RATES, 1),
        pytest.param("cifar10", [1e-3], 3, marks=pytest.mark.slow),
        pytest.param("cifar100", [1e-4], 1, marks=pytest.mark.thorough),
        pytest.param("fmnist", LEARNING_RATES[:1], 10, marks=pytest.mark.slow),
    ],
)
def test_the_originals_examples_are_accepted(
    noise: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dataset: str,
    rates: list[float],
    executions: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    # Of the forty runs of the last one, ten.
    Path("short.toml").write_text(f"search.max_trials = {len(rates)}\ninfer.n_steps = 5")
    flags = command(dataset, num_epochs=1)
    assert train(*flags, f"--data_dir={noise}", "--config=short.toml") == 0
    out = capsys.readouterr().out
    (folder,) = Path("runs").glob(f"{dataset}-*")
    study = load_study(folder)
    assert_ran(study, rates, executions, epochs=1)
    assert study.config.objective == flags[flags.index("--objective") + 1]
    assert ("debugging" in out) is ("--nouse_xla" in flags)
    tracked = any(name.startswith("gradient_norm") for name in study.histories.columns)
    assert tracked is ("--tracker" in flags)


# On the real images


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real sets: MNIST, a tenth of Fashion-MNIST, CIFAR-10, and CIFAR-100 made from that.

    CIFAR-100 itself is not at hand: its layout holds the photographs of CIFAR-10, ten of its
    classes for each one of theirs. All of Fashion-MNIST would take an hour in forty runs without
    optimisation, most of it for fresh validation.
    """
    folder = tmp_path_factory.mktemp("real")
    (folder / "mnist").symlink_to(shared_data / "mnist", target_is_directory=True)
    for path in (shared_data / "fmnist").iterdir():
        content = gzip.decompress(path.read_bytes())
        n_axes = content[3]
        array = np.frombuffer(content[4 + 4 * n_axes :], np.uint8)
        shape = [int.from_bytes(content[4 * k : 4 * k + 4]) for k in range(1, n_axes + 1)]
        part = idx(array.reshape(shape)[: shape[0] // 10])
        write(folder / "fmnist", gzipped({path.name.removesuffix(".gz"): part}))
    maker = shared_data / "make_cifar10_bin.py"
    subprocess.run([sys.executable, maker, folder / "cifar10"], check=True, capture_output=True)
    source = folder / "cifar10" / CIFAR10_FOLDER
    rng = np.random.default_rng(0)
    target = folder / "cifar100" / CIFAR100_FOLDER
    target.mkdir(parents=True)
    for name, pattern in (("train", "data_batch_*.bin"), ("test", "test_batch.bin")):
        content = b"".join(path.read_bytes() for path in sorted(source.glob(pattern)))
        old = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        fine = 10 * old[:, :1] + rng.integers(10, size=(len(old), 1), dtype=np.uint8)
        new = np.concatenate([fine // 5, fine, old[:, 1:]], axis=1)
        (target / f"{name}.bin").write_bytes(new.tobytes())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "rates", "executions", "epochs"),
    [
        ("mnist", LEARNING_RATES, 1, 2),
        ("cifar10", [1e-3], 3, 1),
        ("cifar100", [1e-4], 1, 1),
        ("fmnist", LEARNING_RATES, 10, 1),
    ],
)
def test_the_originals_examples_run_to_their_end(
    real: Path, tmp_path: Path, dataset: str, rates: list[float], executions: int, epochs: int
) -> None:
    flags = command(dataset, epochs)
    process = start(*flags, f"--data_dir={real}", cwd=tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    (folder,) = tmp_path.glob(f"runs/{dataset}-*")
    study = load_study(folder)
    assert_ran(study, rates, executions, epochs)
    assert study.best_trial is not None
    assert study.best_trial.executions[0].last("loss") < 0.5
    assert study.best_trial.trial_id in out
    assert {path.name for path in (folder / "report").iterdir()} >= {
        "loss_curves.png",
        "latent_space_train.png",
        "latent_space_val.png",
    }
