"""`autodecoder explore` answers with the model's page and images, and ends on Ctrl-C."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.builders import QUICK, call, heard_interrupts, train, without_pictures

from autodecoder.data import load_dataset
from autodecoder.model import load_model, save_model
from autodecoder.study import load_study

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best model of a study."""
    folder = tmp_path_factory.mktemp("kept") / "study"
    with without_pictures():
        assert train(*QUICK, "--lr=1e-2", "--seed=1", "--save_best_model", "--out", folder) == 0
    return folder / "best"


def explore(*arguments: str | Path) -> tuple[subprocess.Popen[str], str, list[str]]:
    """The command on a free port, its address, and what it said before."""
    command = [sys.executable, "-m", "autodecoder", "explore", *arguments, "--port=0"]
    pipe = subprocess.PIPE
    with heard_interrupts():
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if found := re.match(r"(http://127.0.0.1:\d+/)  \(Ctrl-C stops it\)\n", line):
            return process, found[1], said
        said.append(line)
    raise AssertionError(process.communicate()[1])


def ask(address: str, path: str, file: bytes | None = None, **values: object) -> dict:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body = json.dumps(values).encode() if values else file
    kind = "application/json" if file is None else "application/octet-stream"
    request = urllib.request.Request(address + path, body, {"Content-Type": kind})
    with opener.open(request, timeout=60) as answer:
        content = answer.read()
    return {"page": content.decode()} if body is None else json.loads(content)


@posix
def test_it_answers_and_ends_on_request(kept: Path) -> None:
    process, address, said = explore(kept)
    try:
        assert said == []
        assert "<title>Digits, 2-D, 16</title>" in ask(address, "")["page"]
        picked = ask(address, "pick", name="validation", index=3)
        val = load_dataset("digits", examples_frac=0.3, seed=1).val
        assert picked["values"] == val.images[3].ravel().tolist()
        assert (picked["label"], picked["name"]) == (int(val.labels[3]), str(val.names[3]))  # pyright: ignore
        placed = ask(address, "place", values=picked["values"])
        want = load_model(kept).infer(val.images[3:4])
        assert placed["loss"] == pytest.approx(float(want.errors.loss[0]), rel=1e-3)
        image = io.BytesIO()
        # Of which Pillow warns, but which is decoded at an eighth of its size.
        Image.new("L", (9500, 9500), 200).save(image, "JPEG")
        assert set(ask(address, "read", image.getvalue())["values"]) == {200}
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == ""


@pytest.mark.thorough
@posix
def test_it_answers_under_names_that_it_is_given(kept: Path) -> None:
    process, address, _ = explore(kept, "--name=maps.example.org", "--name=other.example.org")
    try:
        for name, want in (("maps.example.org", 200), ("evil.example.org", 403)):
            request = urllib.request.Request(address, headers={"Host": name})
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                status = opener.open(request, timeout=60).status
            except urllib.error.HTTPError as error:
                status = error.code
            assert status == want, name
    finally:
        process.kill()
        process.communicate()


@posix
@pytest.mark.slow
def test_it_ends_at_once_while_it_compiles(kept: Path) -> None:
    for _ in range(3):
        process, _, _ = explore(kept)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err


@pytest.mark.thorough
@posix
def test_a_study_is_explored_by_its_best_run(grid: tuple[Path, str]) -> None:
    process, address, said = explore(grid[0])
    try:
        assert said == [], "its images are at hand"
        found = load_study(grid[0]).shown_model()
        assert found is not None
        assert f"{len(found.latents)} training latents" in ask(address, "")["page"]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.thorough
@posix
def test_where_its_images_are_not_at_hand_it_says_so(kept: Path, tmp_path: Path) -> None:
    model = load_model(kept)
    about = {**model.about, "data_fingerprint": "of others"}
    save_model(replace(model, about=about), tmp_path / "model")
    process, address, said = explore(tmp_path / "model")
    try:
        assert said == [
            "No images to choose from: digits has changed since the training. Use --images "
            "for others.\n"
        ]
        assert '"shelves": {}' in ask(address, "")["page"]
    finally:
        process.kill()
        process.communicate()


def test_what_cannot_be_explored(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for arguments, message in (
            ((tmp_path,), "cannot be read"),
            ((kept, f"--port={taken}"), "in use"),
            ((kept, "--port=70000"), "port must lie between 0 and 65535"),
            ((kept, "--host=no such host"), "host must be an address"),
            ((kept, "--images", tmp_path / "none.npy"), "none.npy"),
        ):
            assert call("explore", *arguments) == 2
            out, err = capsys.readouterr()
            assert out == ""
            assert message in err
            assert err.count("\n") == 1
