"""`autodecoder pack`, in this process and in ones that are killed, or find the disk full."""

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import QUICK, call, heard_interrupts, train
from tests.data.builders import assert_same
from tests.data.pictures import classes

from autodecoder import DecoderConfig, compare_methods, fit_config
from autodecoder.data import load_dataset, unpacking
from autodecoder.data.packed import PackedImages, check_packed
from autodecoder.study import load_study

PIXELS = np.random.default_rng(0).integers(0, 256, (400, 12, 12), np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> str:
    np.savez(tmp_path / "some.npz", images=PIXELS, labels=np.arange(400) % 5)
    return f"npz:{tmp_path / 'some.npz'}"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "autodecoder", "pack", *map(str, arguments)]


def test_what_is_said(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert call("pack", source, out, "--shard_images", "100", "--val_fraction", "0.25") == 0
    said, err = capsys.readouterr()
    assert err == ""
    first, second, third = said.splitlines()
    assert first == f"{out}: 300 training and 100 validation images of 12 × 12 × 1, 5 classes"
    assert re.fullmatch(r"4 shards, 0\.1 MB: 4 written, in \d+\.\d s", second)
    assert third == f"To train on them: --dataset packed:{out}"
    assert call("pack", source, out, "--shard_images=100", "--val_fraction=0.25") == 0
    assert "4 shards, 0.1 MB: all complete already\n" in capsys.readouterr().out
    (out / "train-00001.npy").unlink()
    assert call("pack", source, out, "--shard-images=100", "--val-fraction=0.25") == 0
    assert "4 shards, 0.1 MB: 1 written, 3 complete already, in " in capsys.readouterr().out


def test_for_programs(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert call("pack", source, out, "--val_fraction=0", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    seconds = told.pop("seconds")
    assert 0 < seconds < 60
    shown = {
        "out": str(out),
        "n_train": 400,
        "n_val": 0,
        "image_shape": [12, 12, 1],
        "n_classes": 5,
        "n_shards": 1,
        "n_bytes": 57_600,
    }
    assert told == {**shown, "n_written": 1, "n_left_out": 0}
    assert call("pack", "--check", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == shown
    assert call("pack", out, "--check") == 0
    assert "and no validation images" in (said := capsys.readouterr().out)
    assert "1 shard, 0.1 MB: as they were written" in said


def test_flags_are_those_of_training(tmp_path: Path) -> None:
    classes(tmp_path / "pets", {"cat": 4, "dog": 4})
    name = f"folder:{tmp_path / 'pets'}"
    flags = ("--image_size=2x3", "--colour=rgb", "--range=0:100", "--seed=3", "--val_fraction=0.5")
    assert call("pack", name, tmp_path / "out", *flags) == 0
    whole = load_dataset(
        name, image_size="2x3", colour="rgb", pixel_range="0:100", seed=3, val_fraction=0.5
    )
    assert_same(load_dataset(f"packed:{tmp_path / 'out'}"), whole)


def test_errors_are_a_sentence(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call("pack", source, out) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("text")
    capsys.readouterr()
    cases: list[tuple[tuple[object, ...], str]] = [
        ((source,), "a folder OUT must follow SOURCE: autodecoder pack SOURCE OUT."),
        (("--check", source, out), "--check takes the folder alone"),
        (("--check", tmp_path / "none"), "but is no folder"),
        (("nothing", out), "dataset must be one of"),
        ((source, out, "--seed=1"), "(seed 0 there, 1 now): name another folder"),
        ((source, tmp_path / "other"), "other holds other files"),
        ((source, out, "--shard_images=0"), "shard_images must be a positive whole number"),
        ((source, out, "--shard_images=2.5"), "shard_images must be a whole number, got '2.5'"),
        ((source, out, "--image_size=8"), "image_size is for folder:, csv:, tar: and hf:"),
        ((f"npz:{tmp_path / 'no.npz'}", out), "No such file"),
    ]
    for arguments, message in cases:
        assert call("pack", *map(str, arguments)) == 2
        said, err = capsys.readouterr()
        assert said == ""
        assert err.startswith("error: ")
        assert message in err
        assert err.count("\n") == 1
    (out / "train-00000.npy").write_bytes(b"")
    assert call("pack", "--check", out) == 2
    assert "train-00000.npy is damaged" in (err := capsys.readouterr().err)
    assert f"`autodecoder pack SOURCE {out}`, with the same source, writes it again." in err


def shards(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*.labels.npy"))


def kill_when(process: subprocess.Popen[str], folder: Path, n: int) -> bool:
    """End a process by -9 once there are so many shards; whether it was still at work."""
    deadline = time.monotonic() + 60
    while shards(folder) < n and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def packing(*arguments: object) -> subprocess.Popen[str]:
    with heard_interrupts():
        return subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def test_killed_in_the_middle_it_goes_on(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, whole, flags = tmp_path / "out", tmp_path / "whole", ("--shard_images=1",)
    assert kill_when(packing(source, out, *flags), out, 10)
    assert not (out / "manifest.json").exists()
    assert call("pack", "--check", out) == 2
    assert "is not finished: run the same command" in capsys.readouterr().err
    assert call("train", f"--dataset=packed:{out}") == 2
    assert "is not finished: run the same command" in capsys.readouterr().err
    lines = (out / "unfinished.jsonl").read_text().splitlines()
    known = [json.loads(line)["file"] for line in lines[1:]]
    assert 8 <= len(known) < 310
    before = {name: (out / name).stat().st_mtime_ns for name in known}
    # As if it had been killed while it wrote these too.
    (out / ".train-00319.npy.0123abcd.tmp").write_bytes(b"half")
    np.save(out / "train-00318.npy", PIXELS[:1])
    with (out / "unfinished.jsonl").open("a") as file:
        file.write('{"file": "train-001')
    assert call("pack", source, out, *flags) == 0
    assert f"{400 - len(known)} written, {len(known)} complete already" in capsys.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in known} == before
    assert call("pack", source, whole, *flags) == 0
    assert content(out) == content(whole)
    check_packed(out)


@pytest.mark.thorough
def test_killed_again_and_again(source: str, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    n_shards = itertools.count(9, 31)
    while kill_when(packing(source, out, "--shard_images=2"), out, next(n_shards)):
        assert not (out / "manifest.json").exists() or not (out / "unfinished.jsonl").exists()
    assert next(n_shards) > 100
    assert call("pack", source, out, "--shard_images=2") == 0
    assert call("pack", source, whole, "--shard_images=2") == 0
    assert content(out) == content(whole)


def test_a_second_process_is_refused(source: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = packing(source, out, "--shard_images=1")
    while shards(out) < 3 and first.poll() is None:
        time.sleep(0.002)
    first.send_signal(signal.SIGSTOP)
    try:
        second = subprocess.run(
            command(source, out, "--shard_images=1"), capture_output=True, text=True
        )
    finally:
        first.send_signal(signal.SIGCONT)
        _, err = first.communicate()
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"error: {out} is being packed by another process; wait until it has ended.\n"
    )
    assert (first.returncode, err) == (0, "")
    check_packed(out)


@pytest.mark.thorough
def test_interrupted_it_goes_on(source: str, tmp_path: Path) -> None:
    process = packing(source, tmp_path / "out", "--shard_images=4")
    while shards(tmp_path / "out") < 3 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    said, err = process.communicate()
    assert (process.returncode, said) == (130, "")
    assert err == "interrupted at once: what was not written is lost\n"
    assert call("pack", source, tmp_path / "out", "--shard_images=4") == 0


def test_a_file_that_grows_too_large(source: str, tmp_path: Path) -> None:
    """As on a full disk, a write fails in the middle of a shard."""
    out = tmp_path / "out"
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from autodecoder.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command(source, out, "--shard_images=200")[3:]],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {out / 'train-00000.npy'} cannot be written: File too large.\n"
    assert set(content(out)) == {".pack.lock", "unfinished.jsonl"}
    assert call("pack", source, out, "--shard_images=200") == 0
    check_packed(out)


def test_a_full_disk(source: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        done = subprocess.run(
            command(source, disk / "out", "--shard_images=25"), capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(
            rf"error: {disk}/out/\S+ cannot be written: No space left on device\.\n", done.stderr
        )
        assert 2 < shards(disk / "out") < 16
        assert not list((disk / "out").glob(".*.tmp"))
        assert call("pack", source, disk / "out", "--shard_images=25") == 2
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert call("pack", source, disk / "out", "--shard_images=25") == 0
        check_packed(disk / "out")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert call("pack", source, tmp_path / "file" / "out") == 2
    assert "cannot be written: Not a directory." in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.usefixtures("no_pictures")
def test_a_study_of_images_on_the_disk(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("pack", source, tmp_path / "out", "--shard_images=70", "--seed=1") == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unpacking, "MOST_IN_MEMORY", 0)
    assert train("--dataset=packed:out", *QUICK, "--lr=1e-2", "--out=study") == 0
    about = json.loads((tmp_path / "study" / "config.json").read_text())
    assert about["settings"]["data"]["dataset"] == f"packed:{tmp_path / 'out'}"


@pytest.mark.thorough
@pytest.mark.usefixtures("no_pictures")
def test_it_trains_as_the_source_does(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory and on the disk; and a study that began with one goes on with the other."""
    assert call("pack", source, tmp_path / "out", "--seed=1") == 0
    scores = []
    for name, most in (("source", 0), ("packed", 0), ("packed", 2**30)):
        monkeypatch.setattr(unpacking, "MOST_IN_MEMORY", most)
        dataset = source if name == "source" else f"packed:{tmp_path / 'out'}"
        flags = (*QUICK, "--lr=1e-2", "--seed=1", f"--out={tmp_path / name}")
        assert train(f"--dataset={dataset}", *flags) == 0
        scores.append(load_study(tmp_path / name).trials[0].score)
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.thorough
def test_pictures_of_images_on_the_disk(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page and picture takes them as it takes arrays."""
    monkeypatch.setattr(unpacking, "MOST_IN_MEMORY", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert call("pack", source, tmp_path / "out", "--shard_images=70") == 0
    name = f"packed:{tmp_path / 'out'}"
    assert isinstance(load_dataset(name).train.images, PackedImages)
    flags = ("--lr=1e-2", "--seed=1", f"--out={tmp_path / 'study'}", "--save_best_model")
    assert train(*QUICK, f"--dataset={name}", "--visualize_freq=1", *flags) == 0
    assert (tmp_path / "study" / "report" / "index.html").is_file()
    assert call("report", tmp_path / "study" / "best") == 0


@pytest.mark.thorough
def test_methods_are_compared_on_images_on_the_disk(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("pack", source, tmp_path / "out", "--shard_images=70") == 0
    errors = []
    for most in (0, 2**30):
        monkeypatch.setattr(unpacking, "MOST_IN_MEMORY", most)
        found = compare_methods(
            load_dataset(f"packed:{tmp_path / 'out'}"),
            methods=("pca", "ae-refined", "auto-decoder"),
            decoder=DecoderConfig(arch=(8,)),
            fit=fit_config("fast", num_epochs=2, batch_size=16),
            rates=(1e-2,),
            seeds=(0,),
        )
        errors.append([row.mean("error") for row in found.rows])
    assert errors[0] == errors[1]
