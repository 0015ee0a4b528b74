"""The metrics of a model are those of its saved epoch."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autodecoder import fit_model
from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.model import Model
from autodecoder.model.card import describe_model
from autodecoder.model.metrics import describe_epoch, model_metrics, named_metrics

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)
FITTED = FitConfig(num_epochs=4)
HISTORY = {
    "loss": np.array([0.3, 0.2, 0.1]),
    "val_loss": np.array([0.5, 0.4, 0.6]),
    "val_psnr": np.array([9.0, 8.0, 7.0]),
    "fresh_val_loss": np.array([np.nan, np.nan, 0.7]),
    "gradient_norm": np.array([1.0, 2.0, 3.0]),
}


@pytest.fixture(scope="module")
def fitted() -> Model:
    return fit_model(IMAGES, decoder=DecoderConfig(arch=(4,)), fit=FITTED, until=2)


def of_epoch(fitted: Model, epoch: Any, objective: str | None = "val_loss") -> Model:
    settings = {} if objective is None else {"settings": {"objective": objective}}
    about = ({} if epoch is None else {"epoch": epoch}) | settings
    return replace(fitted, about=about, history=HISTORY)


def test_a_model_of_an_early_epoch_has_the_metrics_of_that_epoch(fitted: Model) -> None:
    model = of_epoch(fitted, 2)
    assert model_metrics(model) == {
        "loss": 0.2,
        "val_loss": 0.4,
        "val_psnr": 8.0,
        "gradient_norm": 2.0,
    }
    assert named_metrics(model) == {
        "loss": 0.2,
        "val_loss": 0.4,
        "val_psnr": 8.0,
        "fresh_val_loss after epoch 3": 0.7,
    }
    card = describe_model(model)
    assert "These errors were measured in epoch 2 of the training" in card
    assert "| epoch | 2 of 3, where val_loss was least |" in card
    assert "| loss | 0.2 |" in card
    assert "A row that names another epoch is not about this model." in card


def test_a_model_of_the_last_epoch_has_the_last_metrics(fitted: Model) -> None:
    for epoch in (3, None):
        model = of_epoch(fitted, epoch)
        assert model_metrics(model)["fresh_val_loss"] == 0.7
        assert list(named_metrics(model)) == ["loss", "val_loss", "val_psnr", "fresh_val_loss"]
        assert "names another epoch" not in describe_model(model)


@pytest.mark.parametrize(
    ("epoch", "objective", "told"),
    [
        (2, "val_loss", "2 of 3, where val_loss was least"),
        (2, "val_error", "2 of 3, where val_loss was least"),
        (1, "val_psnr", "1 of 3, where val_psnr was greatest"),
        (3, "loss", "3 of 3, where loss was least"),
        (3, "fresh_val_loss", "3 of 3, where fresh_val_loss was least"),
        (1, "val_loss", "1 of 3"),
        (2, None, "2 of 3"),
        (2, "speed", "2 of 3"),
        (3, "val_loss", "3"),
        (9, "val_loss", "9"),
        ("1 |", "val_loss", "1 |"),
        (None, "val_loss", None),
    ],
)
def test_the_epoch_is_described(
    fitted: Model, epoch: Any, objective: str | None, told: str | None
) -> None:
    assert describe_epoch(of_epoch(fitted, epoch, objective)) == told


def test_a_fit_that_goes_on_counts_all_epochs(fitted: Model) -> None:
    model = fit_model(IMAGES, start=fitted, fit=FITTED)
    assert describe_epoch(model) == "4"
    assert model_metrics(model)["loss"] == model.history["loss"][-1]
