"""A command that runs out of memory says in a sentence what to lower."""

import errno
import os
from pathlib import Path

import jax
import pytest
from tests.cli.builders import call, refusal

from autodecoder import model as models
from autodecoder.cli.main import _tell_memory

ERRORS = [
    MemoryError(),
    MemoryError("Unable to allocate 3.64 TiB for an array"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
    jax.errors.JaxRuntimeError("INTERNAL: YNNPACK operation failed: error"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
]


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Path) -> None:
        raise error

    monkeypatch.setattr(models, "load_model", load)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_too_little_memory_is_told_in_a_sentence(
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_with(error, monkeypatch)
    assert call("info", tmp_path) == 2
    assert "needs more memory than is available: give fewer images" in refusal(capsys)


def test_other_errors_of_programs_keep_their_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(RuntimeError("a defect"), monkeypatch)
    with pytest.raises(RuntimeError, match="a defect"):
        call("info", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["train"], "lower batch_size, arch, latent_dims, image_size or examples_frac, or end"),
        (["evaluate", "runs/a"], "lower n_images or n_subset, or end"),
        (["reconstruct", "runs/a"], "lower draws, or end"),
        (["sample", "runs/a"], "lower n, or end"),
        (["encode", "runs/a"], "give fewer images or latents at once, or end"),
        ([], "give fewer images or latents at once, or end"),
    ],
)
def test_the_advice_names_flags_of_the_command(arguments: list[str], advice: str) -> None:
    assert advice in _tell_memory(arguments)
