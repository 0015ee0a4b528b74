"""What it costs to train on images that do not fit into memory, and that nothing is lost by it.

    python benchmarks/synthetic_shards.py strokes.packed --images 10000000
    python benchmarks/streaming.py strokes.packed --data_dir FOLDER   # images a second
    python benchmarks/streaming.py strokes.packed --limit 2GB         # under a limit, killed once

The first reads the first images of the packed set, as many as each row says, and trains on them
with rows in memory and on the disk, beside MNIST and as many of the packed images on the device.
Every row is the median over epochs behind the first, which compiles, or that one where there is
no other. The second runs `autodecoder train` under a limit that the system sets on the process's
own memory (RLIMIT_DATA), kills it in the midst of an epoch, goes on, and compares with a run that
was left alone.
"""

import argparse
import csv
import multiprocessing
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import autodecoder as ad
from autodecoder.config import DecoderConfig, RunConfig, WatchConfig, fit_config, parse_arch
from autodecoder.core.epoch import LearningRates
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.population import init_population
from autodecoder.core.runs import Images
from autodecoder.data.packed import open_packed
from autodecoder.model.disk_rows import DiskRows
from autodecoder.model.driver import Driver
from autodecoder.model.memory import parse_bytes
from autodecoder.model.row_stores import HostRows, row_types
from autodecoder.model.stream import StreamDriver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--data_dir", type=Path, help="of MNIST")
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--dims", default="2,16")
    parser.add_argument("--sizes", default="60000,1000000,10000000")
    parser.add_argument("--rows", default="host,disk")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--most", type=int, default=30_000_000, help="images of a row, all epochs")
    parser.add_argument("--limit", help="bytes; runs the command line under it")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {jax.devices()[0].device_kind}, Python "
        f"{platform.python_version()}, jax {version('jax')}; {options.arch}",
        flush=True,
    )
    if options.limit is not None:
        run_limited(options)
        return
    print("| images | latents | where | images/s | of MNIST in memory | peak MB | loss |")
    print("|---|---|---|---|---|---|---|")
    for dims in map(int, options.dims.split(",")):
        rate = None
        for name, images in sets(options):
            n = len(images.train)
            on_device = n <= 60_000
            for where in (["device"] if on_device else []) + (
                options.rows.split(",") if name != "MNIST" else []
            ):
                found = apart(name, n, dims, where, options)
                rate = rate or float(found[0])
                share = f"{float(found[0]) / rate:.2f}"
                print(
                    f"| {name} {n:,} | {dims} | {where} | {float(found[0]):,.0f} | {share} "
                    f"| {found[1]} | {found[2]} |",
                    flush=True,
                )


def sets(options: argparse.Namespace) -> Iterator[tuple[str, Images]]:
    """MNIST, and the first images of the packed set."""
    if options.data_dir is not None:
        mnist: Any = ad.load_dataset("mnist", data_dir=options.data_dir).train.flat
        yield "MNIST", Images(mnist, mnist[:0])
    images: Any = open_packed(options.packed).train.images
    for size in map(int, options.sizes.split(",")):
        chosen = images.select(np.arange(min(size, len(images)))).reshape(-1, 28 * 28)
        yield "strokes", Images(chosen, chosen[:0])


def apart(*what: Any) -> list[str]:
    """A measurement in a process of its own, for the memory that it takes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, what)


def measure(
    set_name: str, size: int, dims: int, where: str, options: argparse.Namespace
) -> list[str]:
    """Images a second, peak of memory and last loss of one row of the table."""
    images = next(
        images for name, images in sets(options) if (name, len(images.train)) == (set_name, size)
    )
    n, epochs = len(images.train), max(1, min(options.epochs, options.most // len(images.train)))
    fit = fit_config("fast", num_epochs=epochs, latent_learning_rate=None)
    decoder = DecoderConfig(parse_arch(options.arch), dims)
    config = RunConfig(decoder, fit, "standard", (28, 28, 1), watch=WatchConfig("loss"))
    key, first = jax.random.key(0), np.zeros(1, np.uint32)
    rates = LearningRates(jnp.full(1, 5e-3), jnp.full(1, 0.05))
    folder = Path(tempfile.mkdtemp(prefix="streaming-", dir=options.packed.parent))
    try:
        driver: Any
        if where == "device":
            held = Images(jnp.asarray(np.asarray(images.train)), jnp.asarray(images.val))
            starts = find_starts(held, config)
            driver = Driver(init_population(key, first, rates, held, starts, config), held, config)
        else:
            types = row_types(fit, dims)
            store = HostRows(n, types) if where == "host" else DiskRows(folder, n, types)
            driver = StreamDriver(key, first, rates, images, config, [store])
        seconds = []
        while not driver.ended.all():
            start, epoch = time.perf_counter(), driver.epochs[0]
            while driver.epochs[0] == epoch:
                driver.move(lambda epoch: epoch + 1)
            seconds.append(time.perf_counter() - start)
        loss = driver.histories()["loss"][0, -1]
    finally:
        shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rate = n / statistics.median(seconds[1:] or seconds)
    return [f"{rate}", f"{peak}", f"{loss:.7f}"]


def run_limited(options: argparse.Namespace) -> None:
    """The command under a limit: once left alone, once killed in its midst and gone on with."""
    limit = parse_bytes("limit", options.limit)
    base = Path(tempfile.mkdtemp(prefix="streaming-", dir=options.packed.parent))

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    def start(dims: str, name: str) -> "subprocess.Popen[bytes]":
        words = [
            sys.executable,
            "-m",
            "autodecoder",
            "train",
            f"--dataset=packed:{options.packed}",
            f"--latent_dims={dims}",
            f"--arch={options.arch}",
            "--lr=5e-3",
            "--seed=1",
            f"--num_epochs={options.epochs}",
            "--executions_per_trial=1",
            "--examples_frac=1",
            f"--memory={options.limit}",
            "--save_best_model",
            f"--out={base / name}",
        ]
        return subprocess.Popen(words, preexec_fn=limited, stdout=subprocess.DEVNULL)

    try:
        for dims in options.dims.split(","):
            alone, killed = f"alone-{dims}", f"killed-{dims}"
            begin = time.perf_counter()
            assert start(dims, alone).wait() == 0
            whole = time.perf_counter() - begin
            process = start(dims, killed)
            time.sleep(whole / 2)
            process.send_signal(signal.SIGKILL)
            process.wait()
            found = [*(base / killed).glob("trials/*/execution-0/checkpoint-*")]
            at = f"killed at {whole / 2:.0f} s, with {len(found)} checkpoint(s)"
            begin = time.perf_counter()
            assert start(dims, killed).wait() == 0
            rest = time.perf_counter() - begin
            same = losses(base / alone) == losses(base / killed)
            print(
                f"{dims} dimensions under {options.limit}: {whole:.0f} s in all; {at}; the rest "
                f"took {rest:.0f} s; losses {'the same' if same else 'DIFFERENT'}: "
                f"{losses(base / alone)[-1]}",
                flush=True,
            )
            for name in (alone, killed):
                shutil.rmtree(base / name)
    finally:
        shutil.rmtree(base)


def losses(folder: Path) -> list[tuple[str, str, str]]:
    with (folder / "histories.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [(row["loss"], row["val_loss"], row["fresh_val_loss"]) for row in rows]


if __name__ == "__main__":
    main()
