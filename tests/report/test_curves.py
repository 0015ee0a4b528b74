"""What the page is told of histories."""

import json

import numpy as np
from tests.study.builders import execution, trial

from autodecoder.report.curves import pack_curves, pack_history


def test_trials_come_in_the_order_of_their_values_with_every_run() -> None:
    trials = [
        trial(execution(3, 2), execution(5, np.nan), learning_rate=1e-1),
        trial(execution(1), number=1, learning_rate=1e-3),
    ]
    packed = pack_curves(trials)
    assert [t["label"] for t in packed["trials"]] == ["learning rate 0.001", "learning rate 0.1"]
    assert packed["epochs"] == [1, 2]
    assert packed["trials"][0]["runs"]["val_loss"] == [[1, None]]
    assert packed["trials"][1]["runs"]["val_loss"] == [[3, 2], [5, None]]
    assert packed["metrics"]["val_loss"] == "validation (co-trained), mean squared error"
    json.dumps(packed, allow_nan=False)


def test_of_many_epochs_some_are_told_the_first_and_the_last_among_them() -> None:
    losses = np.linspace(1, 0, 1234, dtype=np.float32)
    packed = pack_history({"loss": losses, "latent_mean": np.full(1234, np.inf)})
    assert packed["epochs"][0] == 1
    assert packed["epochs"][-1] == 1234
    assert len(packed["epochs"]) == 200
    (told,) = packed["trials"][0]["runs"]["loss"]
    np.testing.assert_allclose(told, losses[np.array(packed["epochs"]) - 1], rtol=1e-4)
    assert list(packed["metrics"]) == ["loss"]


def test_nothing_is_told_of_nothing() -> None:
    assert pack_curves([])["metrics"] == {}
    assert pack_history({})["metrics"] == {}
    assert pack_history({"loss": np.zeros(1)})["metrics"] == {}


def test_no_value_of_a_metric_that_has_few_is_lost() -> None:
    losses = np.ones(1000, np.float32)
    fresh = np.full(1000, np.nan, np.float32)
    fresh[[100, 301, 502]] = [3, 2, 1]
    packed = pack_history({"loss": losses, "fresh_val_loss": fresh})
    assert {101, 302, 503} <= set(packed["epochs"])
    (told,) = packed["trials"][0]["runs"]["fresh_val_loss"]
    assert [v for v in told if v is not None] == [3, 2, 1]


def test_dashed_lines_belong_to_the_metrics_that_are_drawn() -> None:
    lines = [("mean image", 0.2699123), ("2 principal components", 0.2227)]
    levels = {"val_loss": lines, "fresh_val_loss": lines}
    packed = pack_curves([trial(execution(3, 2), learning_rate=1e-1)], levels)
    assert packed["levels"]["val_loss"] == [
        {"label": "mean image", "value": 0.26991},
        {"label": "2 principal components", "value": 0.2227},
    ]
    assert set(packed["levels"]) <= set(packed["metrics"])
    history = {"loss": np.ones(3, np.float32)}
    assert pack_history(history, levels)["levels"] == {}
    assert pack_history(history)["levels"] == {}
