"""Fits over several real processes of this machine: equal losses; who is gone is named.

All of these start several processes that import jax, so they are thorough tests.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autodecoder.study import Study, load_study, load_study_data
from autodecoder.study.checkpoint import joined, read_checkpoints, read_rows

QUICK = ("--dataset=digits", "--examples_frac=0.5", "--arch=32", "--lr=1e-2", "--seed=3")
ONE = ("--executions_per_trial=1",)
GONE = "the same command, on fewer or more processes, goes on from the last checkpoint."


def command(*flags: object) -> list[str]:
    return [sys.executable, "-m", "autodecoder", *map(str, flags)]


def last_of(*flags: object) -> list[str]:
    """Of each flag the last."""
    return list({str(flag).partition("=")[0]: str(flag) for flag in flags}.values())


def environment(devices: int) -> dict[str, str]:
    return {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)}


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def launch(n: int, folder: Path, *flags: object, devices: int = 1) -> Study:
    done = subprocess.run(
        command("launch", "-n", n, "--", "train", *last_of(*QUICK, *flags), f"--out={folder}"),
        env=environment(devices),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return load_study(folder)


def start(
    n: int, folder: Path, *flags: object, each: Sequence[Sequence[str]] = ()
) -> list["subprocess.Popen[str]"]:
    """Processes of one fit, each with flags of its own behind those of all."""
    words = [*QUICK, *ONE, *flags, f"--out={folder}", f"--coordinator={free_address()}"]
    return [
        subprocess.Popen(
            command("train", *last_of(*words, *own), f"--num_processes={n}", f"--process_id={i}"),
            env=environment(1),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, own in enumerate(each or [()] * n)
    ]


def ends(processes: Sequence["subprocess.Popen[str]"], seconds: float = 60) -> list[str]:
    """What they say at their ends, within that time."""
    return [process.communicate(timeout=seconds)[1] for process in processes]


def wait_for_checkpoint(folder: Path, seconds: float = 200) -> None:
    until = time.monotonic() + seconds
    while not list(folder.glob("trials/*/*/checkpoint-*")):
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.1)


def history(study: Study, name: str) -> np.ndarray:
    (trial,) = study.trials
    return trial.executions[0].history[name]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("alone") / "study"
    subprocess.run(
        command("train", *QUICK, *ONE, "--num_epochs=5", f"--out={folder}"),
        check=True,
        capture_output=True,
    )
    return load_study(folder)


@pytest.mark.thorough
def test_two_processes_fit_as_one(alone: Study, tmp_path: Path) -> None:
    both = launch(2, tmp_path / "both", *ONE, "--num_epochs=5")
    for name in ("loss", "val_loss", "fresh_val_loss"):
        np.testing.assert_allclose(history(both, name), history(alone, name), rtol=1e-3)
    np.testing.assert_allclose(history(both, "loss")[0], history(alone, "loss")[0], rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "flags",
    [
        ("--arch=conv:8-4", "--latent_dims=16"),
        ("--batch_norm",),
        ("--executions_per_trial=2", "--tracker=gradients"),
    ],
    ids=" ".join,
)
def test_so_do_other_decoders_and_several_runs(tmp_path: Path, flags: tuple[str, ...]) -> None:
    flags = (*ONE, "--num_epochs=2", *flags)
    both = launch(2, tmp_path / "both", *flags, devices=2)
    one = tmp_path / "one"
    done = subprocess.run(
        command("train", *last_of(*QUICK, *flags), f"--out={one}"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, found in both.trials[0].executions[0].history.items():
        wanted = load_study(one).trials[0].executions[0].history[name]
        # Inference may end in another minimum where a start is nearest by a hair.
        rtol = 1e-2 if "fresh" in name else 2e-3
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-5, err_msg=name)


@pytest.mark.thorough
def test_one_that_is_killed_is_named(tmp_path: Path) -> None:
    flags = ("--num_epochs=3000", "--checkpoint_every=1")
    processes = start(3, tmp_path / "study", *flags)
    wait_for_checkpoint(tmp_path / "study")
    victim = processes[1]
    victim.kill()
    begin = time.monotonic()
    said = ends([processes[0], processes[2]], 20)
    assert time.monotonic() - begin < 20
    ends([victim])
    for words in said:
        assert f"error: process 1 ({victim.pid} on " in words
        assert f"is gone; {GONE}" in words
    assert [p.wait() for p in processes] == [3, -signal.SIGKILL, 3]


@pytest.mark.thorough
def test_it_goes_on_with_the_same_losses(alone: Study, tmp_path: Path) -> None:
    """Two processes until a checkpoint, then four, at the epochs of an undisturbed fit."""
    folder = tmp_path / "study"
    processes = start(2, folder, "--num_epochs=5", "--checkpoint_every=1")
    wait_for_checkpoint(folder)
    processes[1].kill()
    ends(processes)
    study = launch(4, folder, *ONE, "--num_epochs=5")
    np.testing.assert_allclose(history(study, "loss"), history(alone, "loss"), rtol=1e-3)


@pytest.mark.thorough
def test_without_the_leader_the_others_end(tmp_path: Path) -> None:
    processes = start(2, tmp_path / "study", "--num_epochs=3000", "--checkpoint_every=1")
    wait_for_checkpoint(tmp_path / "study")
    processes[0].kill()
    assert f"error: process 0 ({processes[0].pid} on " in ends(processes[1:], 20)[0]
    ends(processes[:1])


@pytest.mark.thorough
def test_one_that_is_stuck_is_named_in_time(tmp_path: Path) -> None:
    processes = start(
        2, tmp_path / "study", "--num_epochs=3000", "--checkpoint_every=1", "--watchdog=15"
    )
    wait_for_checkpoint(tmp_path / "study")
    processes[1].send_signal(signal.SIGSTOP)
    try:
        said = ends(processes[:1], 60)[0]
    finally:
        processes[1].kill()
        ends(processes[1:])
    assert f"error: process 1 ({processes[1].pid} on " in said
    assert "has not been heard of for" in said


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("--num_epochs=4", "has another fit.num_epochs than process 0"),
        ("--arch=16", "has another decoder.arch than process 0"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path: Path, own: str, message: str) -> None:
    processes = start(2, tmp_path / "study", "--num_epochs=3", each=[(), (own,)])
    said = ends(processes)
    assert [process.returncode for process in processes] == [2, 2]
    assert all(message in words for words in said)
    assert not (tmp_path / "study").exists()


def write_mnist(folder: Path, seed: int) -> None:
    """Few images under the names of MNIST."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for part, n in (("train", 64), ("t10k", 8)):
        images = rng.integers(0, 255, (n, 5, 5), np.uint8).tobytes()
        header = struct.pack(">iiii", 0x803, n, 5, 5)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images)
        labels = struct.pack(">ii", 0x801, n) + bytes(n)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)


@pytest.mark.thorough
def test_other_data_are_refused_by_name(tmp_path: Path) -> None:
    processes = []
    address = free_address()
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        write_mnist(tmp_path / str(i) / "mnist", seed=i)
    for i in range(2):
        flags = ("--dataset=mnist", "--arch=8", "--lr=1e-2", "--num_epochs=1", "--seed=1")
        words = (*flags, f"--out={tmp_path / 'study'}", f"--coordinator={address}")
        processes.append(
            subprocess.Popen(
                command("train", *words, "--num_processes=2", f"--process_id={i}"),
                env={**environment(1), "AUTODECODER_DATA": str(tmp_path / str(i))},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = ends(processes)
    assert [process.returncode for process in processes] == [2, 2]
    assert all("has another data than process 0" in words for words in said)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num_processes=2",), "num_processes is for several processes: give --distributed"),
        (("--coordinator=127.0.0.1:1",), "coordinator, num_processes and process_id go together"),
        (
            ("--coordinator=127.0.0.1:1", "--num_processes=2", "--process_id=2"),
            "process_id must be from 0 to 1, got 2",
        ),
        (("--distributed",), "no launcher gives the index of this process"),
    ],
)
@pytest.mark.thorough
def test_flags_that_go_ill_together(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    done = subprocess.run(
        command("train", *QUICK, *flags, f"--out={tmp_path / 'no'}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr


LISTENING = """
import socket, sys
from autodecoder.study.hosts import join_hosts

hosts = join_hosts(sys.argv[1], 1, 0)
port = int(sys.argv[1].rpartition(":")[2])
for place in ("127.0.0.1", "127.0.0.2"):  # the second one is reached by what listens everywhere
    with socket.socket() as probe:
        print(place, probe.connect_ex((place, port)) == 0)
hosts.leave()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine on Linux alone")
def test_a_coordinator_of_this_machine_listens_here_alone() -> None:
    run = subprocess.run(
        [sys.executable, "-c", LISTENING, free_address()],
        env=environment(1),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stdout.split() == ["127.0.0.1", "True", "127.0.0.2", "False"]


@pytest.mark.thorough
def test_each_process_writes_its_rows_and_one_reads_them_all(alone: Study, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    flags = ("--num_epochs=5", "--checkpoint_every=1")
    processes = start(4, folder, *flags, "--num_epochs=3000")
    wait_for_checkpoint(folder)
    for process in processes:
        process.kill()
    ends(processes)
    (execution,) = folder.glob("trials/*/execution-0")
    newest = max(execution.glob("checkpoint-*"))
    saved, *_ = read_checkpoints(execution)
    assert saved.epoch == int(newest.stem.partition("-")[2])
    n = len(load_study_data(alone.config).train)
    assert len(saved.shards) == 4
    assert sorted(shard.first for shard in saved.shards) == [k * n // 4 for k in range(4)]
    assert saved.shards[-1].stop == n
    assert joined(saved).arrays["state/train/rows/values"].shape == (n, 2)
    assert saved.arrays["state/train/rows/values"].shape == (0, 2)
    np.testing.assert_array_equal(
        read_rows(saved, "values", 100, n - 7),
        joined(saved).arrays["state/train/rows/values"][100 : n - 7],
    )
    # Of one that lacks a part, that is named, and the one before is taken.
    saved.shards[1].path.unlink()
    earlier = list(read_checkpoints(execution))
    assert all(other.epoch < saved.epoch for other in earlier)


@pytest.mark.thorough
def test_a_fit_is_carried_from_processes_to_one_and_back(alone: Study, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    flags = ("--num_epochs=5", "--checkpoint_every=1")
    processes = start(2, folder, *flags)
    wait_for_checkpoint(folder)
    processes[0].send_signal(signal.SIGTERM)
    ends(processes)
    subprocess.run(
        command("train", *last_of(*QUICK, *ONE, *flags), f"--out={folder}", "--rows=host"),
        check=True,
        capture_output=True,
        timeout=300,
    )
    study = load_study(folder)
    np.testing.assert_allclose(history(study, "loss"), history(alone, "loss"), rtol=1e-3)


@pytest.mark.thorough
def test_packed_images_are_read_by_those_that_have_them(tmp_path: Path) -> None:
    packed = tmp_path / "digits.packed"
    subprocess.run(
        [sys.executable, "-m", "autodecoder", "pack", "digits", str(packed)],
        check=True,
        capture_output=True,
    )
    flags = (*ONE, "--num_epochs=2", f"--dataset=packed:{packed}", "--latent_dims=3")
    both = launch(2, tmp_path / "both", *flags, devices=2)
    one = tmp_path / "one"
    subprocess.run(
        command("train", *last_of(*QUICK, *flags), f"--out={one}"), check=True, capture_output=True
    )
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(history(both, name), history(load_study(one), name), rtol=1e-3)
