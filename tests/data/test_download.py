import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch
import pytest
from tests.data.server import Site

from autodecoder.data.download import cache_dir, download
from autodecoder.errors import DataError

CONTENT = b"the published file" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Without root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("root, and no other user to become")
    try:
        yield
    finally:
        os.seteuid(0)


def test_file_lands_whole_and_quietly(
    site: Site,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pooch.get_logger(), "handlers", [caplog.handler])
    site.files["a.gz"] = CONTENT
    target = tmp_path / "new" / "folder" / "a.gz"
    assert download((f"{site.url}/a.gz",), MD5, target, progress=False) == target
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["a.gz"]
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []


def test_progress_bar_goes_to_standard_error(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site.files["a.gz"] = CONTENT
    download((f"{site.url}/a.gz",), MD5, tmp_path / "a.gz", progress=True)
    out, err = capfd.readouterr()
    assert "100%" in err
    assert out == ""


@pytest.mark.parametrize("fault", ["not found", "wrong content", "cut short", "nobody there"])
def test_mirror_steps_in(site: Site, dead_url: str, tmp_path: Path, fault: str) -> None:
    site.files["mirror/a.gz"] = CONTENT
    if fault == "wrong content":
        site.files["a.gz"] = b"another file"
    elif fault == "cut short":
        site.files["a.gz"] = CONTENT
        site.cut.add("a.gz")
    first = dead_url if fault == "nobody there" else site.url
    urls = (f"{first}/a.gz", f"{site.url}/mirror/a.gz")
    download(urls, MD5, tmp_path / "a.gz", progress=False)
    assert (tmp_path / "a.gz").read_bytes() == CONTENT
    asked = [] if fault == "nobody there" else ["a.gz"]
    assert site.requests == [*asked, "mirror/a.gz"]


def test_mirror_is_left_alone_where_the_publisher_delivers(site: Site, tmp_path: Path) -> None:
    site.files |= {"a.gz": CONTENT, "mirror/a.gz": CONTENT}
    urls = (f"{site.url}/a.gz", f"{site.url}/mirror/a.gz")
    download(urls, MD5, tmp_path / "a.gz", progress=False)
    assert site.requests == ["a.gz"]


def test_one_sentence_names_every_address_and_its_fault(
    site: Site, dead_url: str, tmp_path: Path
) -> None:
    site.files |= {"wrong/a.gz": b"another file", "cut/a.gz": CONTENT}
    site.cut.add("cut/a.gz")
    urls = tuple(f"{site.url}/{folder}/a.gz" for folder in ("gone", "wrong", "cut"))
    with pytest.raises(DataError, match=r"^a\.gz could not be downloaded from ") as caught:
        download((*urls, f"{dead_url}/a.gz"), MD5, tmp_path / "new" / "a.gz", progress=False)
    message = str(caught.value)
    for fault in (
        f"{urls[0]} (HTTP status 404)",
        f"{urls[1]} (its hash is not the published one)",
        f"{urls[2]} (",
        f"{dead_url}/a.gz (no connection)",
        "--data_dir",
    ):
        assert fault in message
    assert "\n" not in message
    assert list(tmp_path.rglob("*.gz")) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], "no remains either"


def test_file_that_lies_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(CONTENT)
    download((f"{site.url}/a.gz",), MD5, tmp_path / "a.gz", progress=False)
    assert site.requests == []


def test_damaged_file_that_lies_there_is_replaced(site: Site, tmp_path: Path) -> None:
    site.files["a.gz"] = CONTENT
    (tmp_path / "a.gz").write_bytes(CONTENT[:100])
    download((f"{site.url}/a.gz",), MD5, tmp_path / "a.gz", progress=False)
    assert (tmp_path / "a.gz").read_bytes() == CONTENT


@pytest.mark.parametrize("below", ["", "deeper"])
def test_file_in_the_way_of_the_folder(site: Site, tmp_path: Path, below: str) -> None:
    site.files["a.gz"] = CONTENT
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / below
    with pytest.raises(DataError, match=f"^{re.escape(str(folder))} cannot be written: Not a dir"):
        download((f"{site.url}/a.gz",), MD5, folder / "a.gz", progress=False)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX users")
def test_forbidden_folder_is_named_with_the_reason(site: Site) -> None:
    site.files["a.gz"] = CONTENT
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, which other users cannot enter
        folder = Path(name)
        folder.chmod(0o555)
        for locked in (folder, folder / "new"):
            message = f"^{re.escape(str(locked))} cannot be written: Permission denied"
            with as_ordinary_user(), pytest.raises(DataError, match=message):
                download((f"{site.url}/a.gz",), MD5, locked / "a.gz", progress=False)
        folder.chmod(0o755)
        assert list(folder.iterdir()) == []


def test_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "autodecoder"
