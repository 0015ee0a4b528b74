"""`autodecoder info` describes a model in short lines."""

from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import call

from autodecoder import fit_model, save_model
from autodecoder.config import DecoderConfig, FitConfig


def test_long_names_are_cut_and_their_numbers_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), np.uint8)
    names = [f"{'long ' * 20}{k}.png" for k in range(6)]
    model = fit_model(
        images,
        val_images=images[:2],
        names=names,
        val_names=names[:2],
        decoder=DecoderConfig(arch=(4,)),
        fit=FitConfig(num_epochs=1),
    )
    save_model(model, tmp_path / "model")
    assert call("info", tmp_path / "model") == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("names "))
    for part in (
        "train:0 ",
        " to train:5 ",
        "; val:0 ",
        " to val:1 ",
        "0.png",
        "; all in images.csv",
    ):
        assert part in line
    assert "\u2026" in line
    assert len(line) < 300
