"""Files are whole or absent, and show it when they were damaged."""

import errno
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from autodecoder import tensors
from autodecoder.errors import DataError, MemoryLimitError, OutputError
from autodecoder.files import (
    LARGEST_JSON,
    UnreadableError,
    new_folder,
    newest_file,
    read_json,
    replaced_files,
    settle,
    sync_folder,
    write_file,
    write_json,
)
from autodecoder.tensors import (
    read_about,
    read_checksum,
    read_tensor_rows,
    read_tensors,
    write_tensors,
)

TENSORS = {
    "layers/0/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "epoch": np.array(3, np.int32),
    "key": np.array([1, 2], np.uint32),
    "nothing": np.zeros((0, 3), np.float32),
    "mask": np.array([True, False, True]),
    "pixels": np.arange(5, dtype=np.uint8),
    "wide": np.array([[0.1], [math.nan]]),
}
ABOUT = {"epoch": 12, "seconds": 1.5, "status": "finished", "order": ["loss", "mae"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some" / "folder" / "file"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_written_with_its_folders_and_nothing_beside_it(path: Path) -> None:
    write_file(path, b"one")
    assert path.read_bytes() == b"one"
    write_file(path, b"other")
    assert path.read_bytes() == b"other"
    assert names(path.parent) == ["file"]


@contextmanager
def small_disk(n_bytes: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond some size, as if the disk were full."""
    resource = pytest.importorskip("resource", reason="limits of a process need Unix")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_halfway_leaves_the_old_file(path: Path) -> None:
    write_file(path, b"old")
    with small_disk(4096), pytest.raises(OutputError, match=r"file cannot be written: .+\.$"):
        write_file(path, b"new" * 4096)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


def test_a_write_that_fails_leaves_no_new_file(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with small_disk(4096), pytest.raises(OutputError):
        write_tensors(path, {"a": np.zeros(5000)}, {})
    assert names(path.parent) == []


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "below", tmp_path / "folder"):
        with pytest.raises(OutputError, match=f"^{path} cannot be written: .+") as error:
            write_file(path, b"content")
        assert isinstance(error.value.__cause__, OSError)
    assert names(tmp_path) == ["file", "folder"]


def test_json_comes_back(path: Path) -> None:
    content = {"a": [1, 2.5, None], "b": {"ü": "×"}}
    write_json(path, content)
    assert read_json(path) == content
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_json_is_strict(path: Path) -> None:
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is damaged: it is no JSON"),
        (b'{"a": 1', "is damaged: it is no JSON"),
        (b"\xff", "is not encoded in UTF-8"),
        (b"[" * 100_000, "is damaged: it is no JSON"),
        (b"[1]", "is damaged: it holds no JSON object"),
    ],
)
def test_damaged_json_is_refused(path: Path, content: bytes, reason: str) -> None:
    write_file(path, content)
    with pytest.raises(DataError, match=f"^{path} {reason}"):
        read_json(path)


def test_a_missing_file_is_named(path: Path) -> None:
    for read in (read_json, read_tensors):
        with pytest.raises(DataError, match=f"^{path} cannot be read: No such file"):
            read(path)


def fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_tensors(path, TENSORS, ABOUT)

    def refuse(*_: object) -> None:
        raise fail(number)

    monkeypatch.setattr(Path, "open", refuse)
    reads = (read_json, read_tensors, read_about, read_checksum)
    for read in (*reads, lambda path: read_tensor_rows(path, "pixels", 0, 1)):
        with pytest.raises(UnreadableError, match=f"^{path} cannot be read: .+[.]$"):
            read(path)


def test_what_safetensors_cannot_open_is_not_absent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so of any file, such as one beyond the limit of open files."""
    write_tensors(path, TENSORS, ABOUT)

    def refuse(name: Path, **_: object) -> None:
        raise FileNotFoundError(f"No such file or directory: {name}")

    monkeypatch.setattr(tensors, "safe_open", refuse)
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_tensors(path)


def test_arrays_beyond_the_memory_are_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even those of a file with holes, which takes no room on the disk."""
    crc32 = write_tensors(path, {"a": np.zeros(1000)}, {})
    monkeypatch.setattr(tensors, "free_memory", lambda: 8000)
    with pytest.raises(MemoryLimitError, match=r"0\.0 GB of memory are free: end other programs"):
        read_tensors(path)
    assert read_checksum(path) == crc32
    assert read_about(path)[0] == {"a": (1000,)}


def test_a_file_in_the_place_of_another_is_refused(path: Path) -> None:
    crc32 = write_tensors(path, {"a": np.zeros(3)}, {})
    assert read_tensors(path, crc32=crc32)[1] == {}
    write_tensors(path, {"a": np.ones(3)}, {})
    with pytest.raises(DataError, match="belongs to other files than those beside it"):
        read_tensors(path, crc32=crc32)


@pytest.mark.skipif(os.name != "posix", reason="other systems flush no folders")
def test_only_a_failing_disk_is_told_of_where_folders_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise fail(number)

    monkeypatch.setattr(os, "fsync", refuse)
    number = errno.EINVAL
    sync_folder(tmp_path)
    number = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_folder(tmp_path)


def test_tensors_come_back_bit_for_bit(path: Path) -> None:
    write_tensors(path, TENSORS, ABOUT)
    tensors, about = read_tensors(path)
    assert about == ABOUT
    assert set(tensors) == set(TENSORS)
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        assert tensors[name].shape == array.shape
        assert tensors[name].tobytes() == array.tobytes()


def test_arrays_may_lie_in_any_order_in_memory(path: Path) -> None:
    transposed, strided = np.arange(6.0).reshape(2, 3).T, np.arange(10)[::-3]
    write_tensors(path, {"transposed": transposed, "strided": strided}, {})
    tensors, _ = read_tensors(path)
    np.testing.assert_array_equal(tensors["transposed"], transposed)
    np.testing.assert_array_equal(tensors["strided"], strided)


@pytest.fixture
def whole(path: Path) -> bytes:
    write_tensors(path, TENSORS, ABOUT)
    return path.read_bytes()


def assert_refused(path: Path, content: bytes, what: object) -> None:
    path.write_bytes(content)
    try:
        read_tensors(path)
    except DataError as error:
        assert str(error).startswith(f"{path} is damaged (")  # noqa: PT017
    else:
        pytest.fail(f"read although damaged: {what}")


@pytest.mark.slow
def test_every_flipped_bit_is_noticed(path: Path, whole: bytes) -> None:
    """In the arrays, their names, shapes and dtypes, the plain values and the checksum itself."""
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            context = whole[max(0, position - 8) : position + 8]
            assert_refused(path, bytes(damaged), f"bit {bit} of byte {position}, {context!r}")


def test_every_truncation_and_what_is_added_is_noticed(path: Path, whole: bytes) -> None:
    for length in range(len(whole)):
        assert_refused(path, whole[:length], f"{length} bytes of {len(whole)}")
    for tail in (b"\0", whole):
        assert_refused(path, whole + tail, tail)


def test_json_with_a_mark_before_it_is_read_and_utf_16_is_told(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_bytes('{"a": "ä"}'.encode("utf-8-sig"))
    assert read_json(path) == {"a": "ä"}
    path.write_bytes(b'{"a": 1}'.decode().encode("utf-16"))
    with pytest.raises(DataError, match="is encoded in UTF-16; save it in UTF-8"):
        read_json(path)


#: Replaces, adds and removes files, in forks that die at each change that is made to folders.
_DYING = """
import os, sys
from pathlib import Path
from autodecoder.files import replaced_files, settle, write_file

folder = Path(sys.argv[1])
NAMES = ("mkdir", "replace", "rename", "rmdir", "unlink")
plain = {name: getattr(os, name) for name in NAMES}

def dying_at(at):
    left = [at]
    def patched(name):
        def call(*given, **named):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return plain[name](*given, **named)
        return call
    for name in NAMES:
        setattr(os, name, patched(name))

def replace(texts):
    with replaced_files(folder, "abcd") as fresh:
        for name, text in texts.items():
            write_file(fresh / name, text)

def fork(work, at):
    child = os.fork()
    if child == 0:
        dying_at(at)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

former, new = {"a": b"1", "b": b"1", "d": b"1"}, {"a": b"2", "c": b"2"}
seen = set()
for at in range(100):
    replace(former)
    ended = fork(lambda: replace(new), at)
    fork(lambda: settle(folder, "abcd"), at % 5)  # dies too, as often as not
    settle(folder, "abcd")
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert found in (former, new), (at, found)
    assert not (folder / ".whole").exists(), at
    seen.add(len(found))
    if ended == 0:
        break
assert seen == {2, 3} and at > 12, (seen, at)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_files_are_replaced_together_whenever_the_process_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _DYING, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 0


def test_an_error_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"1")
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError, match="b is a folder"), replaced_files(tmp_path, "ab") as fresh:
        write_json(fresh / "b", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_link_to_files_of_others_moves_none(tmp_path: Path) -> None:
    own, model = tmp_path / "own", tmp_path / "model"
    model.mkdir()
    write_file(own / "letter", b"1")
    (model / ".whole").symlink_to(own)
    settle(model, ["letter"])
    assert (own / "letter").exists()
    assert newest_file(model, "letter") == model / "letter"
    (model / ".whole").unlink()
    (model / ".whole").mkdir()
    (model / ".whole" / ".letter.removed").symlink_to(own)
    write_file(model / "letter", b"2")
    settle(model, ["letter"])
    assert (own / "letter").read_bytes() == b"1"


def test_files_of_other_names_are_left_where_they_are(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"1")
    write_file(tmp_path / ".whole" / "letter", b"1")
    settle(tmp_path, "ab")
    assert names(tmp_path) == [".whole", "a"]
    told = r"\.whole holds files of something else: remove it\.$"
    with pytest.raises(OutputError, match=told), replaced_files(tmp_path, "ab") as fresh:
        write_file(fresh / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert names(tmp_path / ".whole") == ["letter"]
    assert names(tmp_path) == [".whole", "a"]


def test_of_two_that_replace_files_the_later_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, earlier = Path.rename, ["b", "a"]

    def rename(self: Path, target: Path) -> Path:
        while earlier:  # the other process is just moving its files up
            write_file(tmp_path / ".whole" / earlier.pop(), b"1")
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with replaced_files(tmp_path, "ab") as fresh:
        write_file(fresh / "a", b"2")
    assert names(tmp_path) == ["a", "b"], "the earlier one came between"
    assert (tmp_path / "a").read_bytes() == b"2"


def test_many_replace_files_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    errors: list[OutputError] = []

    def work(own: int) -> None:
        for k in range(30):
            try:
                with replaced_files(tmp_path, "abcd") as fresh:
                    for name in "abc" if (k + own) % 2 else "abd":
                        write_file(fresh / name, str(own).encode())
            except OutputError as error:
                errors.append(error)

    workers = [threading.Thread(target=work, args=(own,)) for own in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert not [name for name in names(tmp_path) if name.startswith(".")]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_folder_in_use_is_refused_as_it_was(tmp_path: Path) -> None:
    """Hidden files of others, and of processes at work below, were removed before the refusal."""
    for name in ("other", "a/.notes.0123abcd.tmp", "a/.0123abcd.new/work.txt", ".mine.tmp"):
        write_file(tmp_path / name, b"mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="is not empty"):
        new_folder(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    write_file(tmp_path / ".0123abcd.new" / "weights", b"half")
    write_file(tmp_path / ".config.json.89abcdef.tmp", b"half")
    new_folder(tmp_path)
    assert names(tmp_path) == []


def test_long_settings_of_arrays_are_not_parsed(tmp_path: Path) -> None:
    """Nine megabytes of empty lists took a quarter of a gigabyte."""
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, {"words": "x" * LARGEST_JSON})
    for read in (read_tensors, read_about):
        with pytest.raises(DataError, match=f"its settings have more than {LARGEST_JSON} char"):
            read(path)
