"""Storage for pixels, on file systems that can reserve space and on others."""

import errno
import os
from pathlib import Path

import pytest

from autodecoder.data import storage
from autodecoder.errors import OutputError

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system reserves no space"
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(storage, "MOST_IN_MEMORY", 10)
    monkeypatch.setattr(storage, "cache_dir", lambda: tmp_path)


def failing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fallocate(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", fallocate)


@pytest.mark.parametrize("code", [None, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_holds_what_exceeds_memory(
    monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    if code is not None:
        failing(monkeypatch, code)
    array = storage.allocate((3, 100))
    assert array.shape == (3, 100)
    array[:] = 7
    assert array.sum() == 2100


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.ENOSPC)
    with pytest.raises(OutputError, match=r"cannot hold the 0\.0 GB .*: No space"):
        storage.allocate((3, 100))
