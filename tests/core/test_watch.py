"""The watch over a run: Keras' rule of early stopping, the best epoch, and divergence."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.core.builders import keras_stop

from autodecoder.config import METRICS, WatchConfig
from autodecoder.core.watch import DIVERGED, RUNNING, STOPPED, Watch, init_watch, watch_epoch

# Eighths, which single precision adds exactly: whether an improvement suffices is no matter of
# rounding.
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)
RULES = st.builds(
    WatchConfig,
    metric=st.sampled_from([name for name in METRICS if not name.startswith("fresh")]),
    patience=st.integers(1, 5),
    min_delta=st.sampled_from([0.0, 0.125, 0.5]),
    start_epoch=st.integers(0, 6),
)


def look(watch: Watch, config: WatchConfig, epoch: int, value: float, **others: float):
    """One epoch whose watched metric has that value; losses are finite unless given."""
    metrics = {"loss": 1.0, "val_loss": 1.0, config.metric: value, **others}
    arrays = {name: jnp.float32(number) for name, number in metrics.items()}
    return watch_epoch(watch, arrays, jnp.int32(epoch), config)


def statuses(values: list[float], config: WatchConfig) -> list[int]:
    watch, found = init_watch(), []
    for epoch, value in enumerate(values, start=1):
        watch, _ = look(watch, config, epoch, value)
        found.append(int(watch.status))
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(EIGHTHS, min_size=1, max_size=14), RULES)
@example([1.0, 0.5, 0.5, 0.5], WatchConfig("loss", patience=2, min_delta=0.0))
@example([1.0, 0.5, 0.5, 0.5], WatchConfig("psnr", patience=2, min_delta=0.0))
@example([0.0, 1.0, 1.0, 1.0], WatchConfig("mae", patience=1, min_delta=0.125, start_epoch=1))
@example([1.0, 0.875, 0.75, 0.625], WatchConfig("loss", patience=2, min_delta=0.125))
def test_a_run_stops_when_keras_would_stop_it(values: list[float], config: WatchConfig) -> None:
    assert config.patience is not None
    last = keras_stop(
        values, METRICS[config.metric], config.patience, config.min_delta, config.start_epoch
    )
    n = len(values) if last is None else last
    expected = [RUNNING] * n if last is None else [RUNNING] * (n - 1) + [STOPPED]
    assert statuses(values[:n], config) == expected


@settings(deadline=None, max_examples=30)
@given(st.lists(EIGHTHS, min_size=1, max_size=14), RULES)
def test_an_epoch_is_better_if_it_beats_all_before(
    values: list[float], config: WatchConfig
) -> None:
    """The first of equals is the best; neither `min_delta` nor `start_epoch` has a say."""
    sign = 1 if METRICS[config.metric] == "min" else -1
    watch = init_watch()
    for epoch, value in enumerate(values, start=1):
        watch, better = look(watch, config, epoch, value)
        assert better == all(sign * value < sign * old for old in values[: epoch - 1])
        assert watch.best == min(sign * old for old in values[:epoch])


def test_without_patience_nothing_stops_a_run() -> None:
    assert set(statuses([1.0] * 50, WatchConfig("val_loss"))) == {RUNNING}


@pytest.mark.parametrize("metric", ["val_loss", "psnr"])
@pytest.mark.parametrize("name", ["loss", "val_loss"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_divergence(metric: str, name: str, bad: float) -> None:
    config = WatchConfig(metric, patience=1)
    watch, better = look(init_watch(), config, 1, 0.5)
    assert better
    best = float(watch.best)
    for value in (0.25, 0.75):  # for one of them patience ends here too
        diverged, better = look(watch, config, 2, value, **{name: bad})
        assert int(diverged.status) == DIVERGED
        assert not better
        assert float(diverged.best) == best
