"""One fit over several devices and processes of this machine: its losses, and what a kill costs.

    python benchmarks/hosts.py losses --data_dir FOLDER    # the table, on MNIST
    python benchmarks/hosts.py kills --data_dir FOLDER     # one of four, at ten random instants

`losses`: a fit on 1, 2, 4 and 8 simulated devices of one process, on 2 and on 4 processes of two
devices each, and one that is carried from 8 devices to 2, to 4 processes and to 1 device, an
epoch on each. What is told is the largest relative difference of an epoch's loss from that on one
device.

`kills`: a fit on four processes of which one is killed with -9, the leader or another. The others
must end by themselves and name it; the fit then goes on with three. What is told is how long that
took, and the difference of the losses from those of a fit that was left alone.
"""

import argparse
import csv
import os
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

#: Decoders of the table: arch, length of the latents, normalisation.
KINDS = (
    ("64-64", 2, "none"),
    ("64-64", 64, "none"),
    ("64-64", 2, "batch"),
    ("64-64", 64, "batch"),
    ("conv:16-8", 2, "none"),
    ("conv:16-8", 64, "none"),
    ("conv:16-8", 64, "batch"),
)
#: Devices of a process, and processes.
PLACES = ((2, 1), (4, 1), (8, 1), (2, 2), (2, 4))
JOURNEY = ((8, 1), (2, 1), (2, 4), (1, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("losses", "kills"))
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--share", type=float, default=1.0, help="of the images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, Python {platform.python_version()}, jax {version('jax')}",
        flush=True,
    )
    base = Path(tempfile.mkdtemp(prefix="hosts-"))
    try:
        (losses if options.what == "losses" else kills)(options, base)
    finally:
        shutil.rmtree(base)


def words(options: argparse.Namespace, folder: Path, epochs: int, *more: str) -> list[str]:
    """The command, to be told of an end that is further away: an epoch's step sizes follow from
    `num_epochs`, so that a fit that is cut must name the whole."""
    return [
        *("train", "--dataset=mnist", f"--data_dir={options.data_dir}", f"--out={folder}"),
        *(f"--examples_frac={options.share}", "--executions_per_trial=1", "--lr=5e-3", "--seed=1"),
        *("--notensorboard", "--visualize_freq=0", "--checkpoint_every=1"),
        *(f"--num_epochs={epochs}", *more),
    ]


def run(given: list[str], devices: int, processes: int) -> None:
    """To the end, on so many devices of so many processes."""
    launched = ["launch", "-n", str(processes), "--"] if processes > 1 else []
    own = [] if processes > 1 else [f"--devices={devices}"]
    subprocess.run(
        [sys.executable, "-m", "autodecoder", *launched, *given, *own],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
        check=True,
        capture_output=True,
    )


def read_losses(folder: Path) -> list[list[float]]:
    """Training and co-trained loss of each epoch, and the fresh one at the end."""
    with (folder / "histories.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ("loss", "val_loss", "fresh_val_loss")
    return [[float(row[name] or "nan") for name in names] for row in rows]


def apart(found: list[list[float]], wanted: list[list[float]]) -> list[float]:
    """The largest relative difference of each epoch."""
    return [
        max(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True) if a == a)
        for ours, theirs in zip(found, wanted, strict=True)
    ]


def losses(options: argparse.Namespace, base: Path) -> None:
    print("| decoder | latents | norm | devices | processes | by epoch, from one device |")
    print("|---|---|---|---|---|---|")
    for number, (arch, dims, norm) in enumerate(KINDS):
        more = (f"--arch={arch}", f"--latent_dims={dims}", f"--norm={norm}")
        one = base / f"{number}-one"
        run(words(options, one, options.epochs, *more), 1, 1)
        wanted = read_losses(one)
        for devices, processes in PLACES:
            folder = base / f"{number}-{devices}-{processes}"
            run(words(options, folder, options.epochs, *more), devices, processes)
            told = ", ".join(f"{share:.0e}" for share in apart(read_losses(folder), wanted))
            print(f"| {arch} | {dims} | {norm} | {devices} | {processes} | {told} |", flush=True)
            shutil.rmtree(folder)
        folder = base / f"{number}-journey"
        for stop, (devices, processes) in enumerate(JOURNEY, start=1):
            leg(words(options, folder, options.epochs, *more), devices, processes, folder, stop)
        told = ", ".join(f"{share:.0e}" for share in apart(read_losses(folder), wanted))
        print(f"| {arch} | {dims} | {norm} | 8, 2, 8, 1 | 1, 1, 4, 1 | {told} |", flush=True)


def leg(given: list[str], devices: int, processes: int, folder: Path, stop: int) -> None:
    """On the way: until the checkpoint of an epoch is there, then it is told to stop."""
    launched = ["launch", "-n", str(processes), "--"] if processes > 1 else []
    own = [] if processes > 1 else [f"--devices={devices}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "autodecoder", *launched, *given, *own],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        found = sorted(folder.glob("trials/*/*/checkpoint-*"))
        if found and int(found[-1].stem.partition("-")[2][:7]) >= stop:
            process.send_signal(signal.SIGTERM)
            process.wait()
        time.sleep(0.05)


def kills(options: argparse.Namespace, base: Path) -> None:
    rng = random.Random(options.seed)
    more = ("--arch=64-64",)
    seconds = 0.0
    for name in ("first", "whole"):  # the first compiles
        whole = base / name
        begin = time.perf_counter()
        for process in start(words(options, whole, options.epochs, *more), 4):
            assert process.wait() == 0
        seconds = time.perf_counter() - begin
    wanted = read_losses(base / "whole")
    print(f"four processes, left alone: {seconds:.0f} s", flush=True)
    print("| killed | after, s | others ended within, s | all name it | last losses differ by |")
    print("|---|---|---|---|---|")
    for k in range(options.kills):
        folder, victim = base / f"{k}", rng.randrange(4)
        after = rng.uniform(3, 0.8 * seconds)
        processes = start(words(options, folder, options.epochs, *more), 4)
        time.sleep(after)
        dead = processes[victim]
        was_running = dead.poll() is None
        dead.kill()
        begin = time.perf_counter()
        said = [p.communicate()[1] for i, p in enumerate(processes) if i != victim]
        ended = time.perf_counter() - begin
        named = all(f"process {victim} ({dead.pid}" in text for text in said)
        if not was_running:
            named = True  # it had ended before
        for process in start(words(options, folder, options.epochs, *more), 3):
            assert process.wait() == 0
        told = max(apart(read_losses(folder), wanted))
        which = "leader" if victim == 0 else f"process {victim}"
        print(
            f"| {which}{'' if was_running else ' (had ended)'} | {after:.1f} | {ended:.1f} "
            f"| {'yes' if named else 'NO: ' + ' / '.join(t[-80:] for t in said)} | {told:.0e} |",
            flush=True,
        )


def start(given: list[str], n: int) -> "list[subprocess.Popen[str]]":
    """The processes of one fit, by hand."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "autodecoder", *given),
                *(f"--coordinator={address}", f"--num_processes={n}", f"--process_id={i}"),
            ],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "1", "NPROC": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(n)
    ]


if __name__ == "__main__":
    main()
