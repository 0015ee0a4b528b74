"""A short run of the fuzzers, and what they have found, in small."""

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.data.builders import idx
from tests.fuzz.edits import KINDS, Edit, edited
from tests.fuzz.engines import run_edits, run_hypothesis
from tests.fuzz.run import ROOT
from tests.fuzz.seals import seal_png, seal_tensors, zipped
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import Hang, Watch, quiet
from tests.measures.builders import make_evaluation
from tests.study.small import write_small_study
from tests.study.test_checkpoint import outcome, run_at, shapes

from autodecoder.compare.result import Score
from autodecoder.compare.store import Store
from autodecoder.config import read_toml, study_config
from autodecoder.core.tree import tree_to_arrays
from autodecoder.data import files, load_dataset
from autodecoder.data.files import read_maybe_gzipped, read_members
from autodecoder.errors import ConfigError, DataError
from autodecoder.measures.evaluation import read_evaluation, write_evaluation
from autodecoder.model.hollow import ROW_PATHS
from autodecoder.report.film import read_film
from autodecoder.study import load_study
from autodecoder.study.checkpoint import (
    Saved,
    Shard,
    load_outcome,
    newest_kind,
    read_checkpoints,
    restore_run,
    save_checkpoint,
    save_outcome,
)
from autodecoder.tensors import read_about, read_tensors, write_tensors

#: Users run without the checks of annotations, which come before the errors of the package.
pytestmark = pytest.mark.usefixtures("as_shipped")

#: Seconds that an input may take on a machine that does much else.
_PATIENT = 60.0
#: Inputs of each target: of the quick ones, and of those that take milliseconds each.
_MANY, _FEW = 150, 20
_SLOW = {"listed", "npy", "npz", "mask", "packed", "images", "model", "study", "history"}
_SLOW |= {"checkpoints", "explorer"}


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> tuple[str, Target]:
    with quiet():
        return request.param, TARGETS[request.param]()


def no_findings(
    target: Target, run: Callable[[Target, Callable[[bytes], bool], int], None], inputs: int
) -> None:
    watch = Watch(target, _PATIENT)

    def feed(content: bytes) -> bool:
        watch.feed(content)
        return watch.inputs < inputs

    with quiet():
        run(target, feed, 0)
    assert watch.inputs >= inputs
    assert not [finding.to_plain() for finding in watch.findings.values()]


def test_damaged_inputs_are_refused_in_a_sentence(target: tuple[str, Target]) -> None:
    name, reader = target
    no_findings(reader, run_edits, _FEW if name in _SLOW else _MANY)


@pytest.mark.parametrize("name", ["csv", "toml", "tensors"])
def test_inputs_that_hypothesis_makes(name: str) -> None:
    with quiet():
        reader = TARGETS[name]()
    no_findings(reader, run_hypothesis, _FEW)


#: Targets of which some valid inputs are refused: by one of several readers, or for want of a
#: range of floats.
_SEVERAL = {"csv", "images"}


def test_valid_inputs_are_accepted(target: tuple[str, Target]) -> None:
    name, reader = target
    watch = Watch(reader, _PATIENT)
    with quiet():
        for content in reader.seeds:
            watch.feed(content)
    assert watch.refused == 0 or name in _SEVERAL
    assert not watch.findings


#: Inputs that were findings, named after their targets.
FOUND = sorted((Path(__file__).parent / "found").iterdir())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_is_mended(path: Path) -> None:
    with quiet():
        reader = TARGETS[path.name.rpartition("-")[0]]()
        watch = Watch(reader, _PATIENT)
        watch.feed(path.read_bytes())
    assert not watch.findings


# The tools themselves


def test_an_edit_makes_the_same_input_again() -> None:
    content = b'x{"a": [1, {"b": null}], "c": "{\\"d\\": 2}"}y'
    for kind in range(len(KINDS)):
        for place in range(0, 2**16, 4099):
            edit = Edit(kind, place, place * 7 % 2**16)
            assert edited(content, [edit], [b"z"]) == edited(content, [edit], [b"z"])
            assert isinstance(edited(b"", [edit], []), bytes)


def test_findings_are_told() -> None:
    def read(content: bytes) -> None:
        if content == b"hang":
            raise Hang("more than a while")
        if content:
            raise KeyError(content.decode())

    watch = Watch(Target((b"",), read))
    for content in (b"", b"a", b"b", b"hang"):
        watch.feed(content)
    told = [finding["what"].partition(" (")[0] for finding in watch.to_plain(1.0)["findings"]]
    assert told == ["KeyError: 'a'", "Hang: more than a while"], "one for each place"
    assert watch.inputs == 4


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is reset on Linux only")
def test_the_memory_of_each_input_is_seen() -> None:
    """Also after an input that takes more, as it may by its length."""
    sizes = {2_000_000: 120 * 2**20, 9: 90 * 2**20, 0: 1}

    def read(content: bytes) -> None:
        assert b"x" * sizes[len(content)]

    watch = Watch(Target((b"",), read))
    for length in (0, 2_000_000, 9):
        watch.feed(bytes(length))
    (finding,) = watch.findings.values()
    assert re.fullmatch(r"took (89|90|91) MiB of memory", finding.what)
    assert finding.n_bytes == 9
    told = watch.to_plain(1.0)
    assert told["peak_memory_growth_mib"] == pytest.approx(120, abs=2)
    assert told["memory_limit_mib"] == 64


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["edits", "hypothesis"])
def test_the_command(tmp_path: Path, engine: str) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "tests.fuzz.run", "--only", "idx", "--only", "csv"]
    command += ["--inputs", "50", "--engine", engine, "--out", str(out)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.count("50 inputs") == 2
    content = json.loads(out.read_text())
    assert [(row["target"], row["inputs"], row["findings"]) for row in content] == [
        ("idx", 50, []),
        ("csv", 50, []),
    ]


def test_checksums_are_made_true(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": np.arange(3.0)}, {"x": 1})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1}", b"2}"))
    with pytest.raises(DataError, match="checksum"):
        read_tensors(path)
    path.write_bytes(seal_tensors(content.replace(b"1}", b"22}")))
    arrays, about = read_tensors(path)
    assert about == {"x": 22}
    assert arrays["a"].tolist() == [0, 1, 2]
    assert seal_tensors(b"nothing of this kind") == b"nothing of this kind"
    assert seal_png(b"no picture") == b"no picture"


# What was found


def test_numbers_that_are_no_characters(tmp_path: Path) -> None:
    words = np.array(["a", "b"] * 3)
    broken = np.frombuffer(b"\xff\xff\xff\x7f" + words.tobytes()[4:], words.dtype)
    np.savez(tmp_path / "a.npz", images=np.zeros((6, 2, 2), np.uint8), labels=broken)
    with pytest.raises(DataError, match=r"a\.npz is damaged: its labels have characters"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    for order in "<>":
        given = words.astype(f"{order}U1")
        np.savez(tmp_path / "b.npz", images=np.zeros((6, 2, 2), np.uint8), labels=given)
        assert load_dataset(f"npz:{tmp_path / 'b.npz'}").class_names == ("a", "b")


def test_a_listed_name_that_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("x" * 5000 + "\n")
    with pytest.raises(DataError, match=r"list has no image to train on"):
        load_dataset(f"csv:{tmp_path / 'list.csv'}")


def deep(path: Path) -> None:
    """A file whose plain values are nested too deeply."""
    header = {"__metadata__": {"about": "[" * 100_000, "crc32": "0"}}
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)


def test_plain_values_that_are_nested_deeply(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-0000001.safetensors"
    deep(path)
    with pytest.raises(DataError, match="is damaged"):
        read_about(path)
    assert newest_kind(tmp_path) is None


def test_tables_of_settings_that_are_nested_deeply(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(f"[log]\nvisualize_freq{'.a' * 900} = 1\n")
    with pytest.raises(ConfigError, match="visualize_freq is nested too deeply"):
        study_config(read_toml(path))


def test_shapes_that_no_array_can_have(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-0000001.safetensors"
    header = {
        "__metadata__": {"about": "{}", "crc32": "0"},
        "a": {"dtype": "U8", "shape": [1] * 100, "data_offsets": [0, 1]},
    }
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"\0")
    assert newest_kind(tmp_path) is None


@pytest.mark.parametrize("about", [{"epoch": 1e999, "seconds": 1.0}, {"epoch": 1, "seconds": "x"}])
def test_a_checkpoint_of_an_endless_epoch(tmp_path: Path, about: dict[str, object]) -> None:
    path = tmp_path / "checkpoint-0000001.safetensors"
    write_tensors(path, {}, about)
    assert list(read_checkpoints(tmp_path)) == []
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"status": "asleep"},
        {"seconds": "x"},
        {"seconds": 1e999},
        {"protocol": 3},
        {"order": ["loss", "short"]},
        {"order": []},
    ],
    ids=str,
)
def test_an_outcome_of_other_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object]
) -> None:
    save_outcome(tmp_path, outcome())
    path = tmp_path / "outcome.safetensors"
    tensors, about = read_tensors(path)
    write_tensors(path, {**tensors, "history/short": np.zeros(1, np.float32)}, about | change)
    assert load_outcome(tmp_path) is None
    assert "outcome.safetensors is damaged" in caplog.text


@pytest.mark.parametrize("value", [("seconds", "x"), ("seconds", 10**400), ("status", "asleep")])
def test_a_trial_of_other_values(tmp_path: Path, value: tuple[str, object]) -> None:
    write_small_study(tmp_path)
    path = next(tmp_path.rglob("trial.json"))
    content = json.loads(path.read_text())
    content["executions"][0] |= dict([value])
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"trial\.json is damaged: .* is no"):
        load_study(tmp_path)


def test_a_measure_beyond_all_floats(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_evaluation(make_evaluation(sizes={"n_images": 10**400}), path)
    with pytest.raises(DataError, match=r"evaluation\.json is damaged"):
        read_evaluation(path)


def test_a_score_of_other_values(tmp_path: Path) -> None:
    settings = {"fingerprint": "x", "decoder": {}, "scaler": "x", "seconds": 1, "methods": {}}
    values = np.ones(3, np.float32)
    score = Score(0, 0.5, False, 0.5, values, values, 1.0, 1.0, 3, 3, 3)
    store = Store(tmp_path, settings)
    wrong = (
        {"seconds": "x"},
        {"seconds": 10**400},
        {"measures": {"a": None}},
        {"errors": values[None]},
    )
    for change in wrong:
        store.keep("decoder", "a", score, measured=True)
        assert store.read("decoder", "a", 0.5, 0) is not None
        store.keep("decoder", "a", score._replace(**change), measured=True)
        assert store.read("decoder", "a", 0.5, 0) is None


def test_frames_of_other_shapes(tmp_path: Path) -> None:
    values = np.zeros((3, 2), np.float32)
    for epoch, train in enumerate((values[0], values, values[:1], values)):
        path = tmp_path / f"film/epoch-{epoch}.safetensors"
        write_tensors(path, {"train": train, "val": values}, {})
    assert [frame.epoch for frame in read_film(tmp_path)] == [1, 3]


def test_rows_of_an_unknown_kind(tmp_path: Path) -> None:
    like = shapes()
    path = tmp_path / "part-0000001-0.safetensors"
    shard = Shard(path, 0, 3, write_tensors(path, {"colour": np.zeros(3)}, {}))
    arrays = tree_to_arrays(run_at(1, like))
    empty = {path: arrays[path][:0] for path in ROW_PATHS.values() if path in arrays}
    save_checkpoint(tmp_path, Saved(1, 1.0, {**arrays, **empty}, (shard,)))
    (saved,) = read_checkpoints(tmp_path)
    assert restore_run(like, [saved]) is None


def test_a_small_file_that_unpacks_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_UNPACKED", 2**22)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(bytes(2**24)))
    with pytest.raises(DataError, match=r"images\.gz unpacks to more than the 0\.0 GiB"):
        read_maybe_gzipped(path)
    path.write_bytes(gzip.compress(idx(np.zeros((2, 3, 4)))))
    assert read_maybe_gzipped(path) == idx(np.zeros((2, 3, 4)))


def test_a_sparse_member_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    member = tarfile.TarInfo("a.bin")
    member.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.size": str(2**50),
        "GNU.sparse.map": f"{2**50 - 1},1",
    }
    member.size = 1
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(DataError, match=r"but lacks a\.bin"):
        read_members(path, ["a.bin"])


@pytest.mark.parametrize(
    "read", [lambda p: read_members(p, ["a"]), lambda p: load_dataset(f"tar:{p}")]
)
def test_a_long_chain_of_headers(tmp_path: Path, read: Callable[[Path], object]) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 0
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf() * 3000)
    with pytest.raises(DataError, match=r"archive"):
        read(path)


def test_archives_are_made_of_any_bytes() -> None:
    assert zipped(b"").startswith(b"PK")
    assert zipped(b"\0x\ny").startswith(b"PK")
