"""A bar of epochs from the first to the last, which changes nothing of the fit."""

import re

import numpy as np
import pytest

from autodecoder import DecoderConfig, fit_config, fit_model
from autodecoder.errors import ConfigError
from autodecoder.model.progress import told

DECODER = DecoderConfig(arch=(4,))
IMAGES = np.random.default_rng(0).random((20, 3, 3))


def test_a_fit_shows_its_epochs_and_loss(capsys: pytest.CaptureFixture[str]) -> None:
    fit = fit_config("fast", num_epochs=5)
    first = fit_model(IMAGES, decoder=DECODER, fit=fit, until=3, verbose=True)
    lines = re.split("[\r\n]", capsys.readouterr().err)
    assert lines[1].startswith("compiling:   0%|")
    assert re.search(rf"fit: .*3/3 .*loss {first.history['loss'][-1]:.4f}", lines[-2])
    seen: list[int] = []
    model = fit_model(
        IMAGES, fit=fit, start=first, verbose=True, callback=lambda epoch, _: seen.append(epoch)
    )
    lines = re.split("[\r\n]", capsys.readouterr().err)
    assert "3/5" in lines[1]
    assert "5/5" in lines[-2]
    assert seen[-1] == 5
    silent = fit_model(IMAGES, decoder=DECODER, fit=fit)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(silent.latents, model.latents)


def test_the_time_for_compiling_is_not_that_of_an_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    with told(None, True, 0, 100) as tell:
        assert tell is not None
        now = 11.0
        tell(10, {"loss": 0.5})
        for epoch in range(20, 60, 10):
            now += 1.0
            tell(epoch, {"loss": 0.5})
    shown = capsys.readouterr().err
    assert "compiling:   0%" in shown
    assert re.search(r"fit: .* 10/100 \[00:00<\?", shown), "nothing is promised yet"
    assert re.search(r"fit: .* 50/100 \[00:04<00:05, 10.00epoch/s", shown)


def test_the_bar_ends_where_the_fit_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="no longer finite"):
        fit_model(
            IMAGES,
            decoder=DECODER,
            learning_rate=3e38,
            fit=fit_config("fast", num_epochs=5),
            verbose=True,
        )
    assert capsys.readouterr().err.endswith("\n")
