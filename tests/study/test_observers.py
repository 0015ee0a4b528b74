"""What a study tells its observers, and the models that it keeps."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    all_runs,
    assert_same_history,
    assert_same_trial,
)
from tests.study.recorder import Recorder

from autodecoder import load_model
from autodecoder.config import DecoderConfig, LogConfig
from autodecoder.core.decoders import decode
from autodecoder.data import Dataset
from autodecoder.study import Study, run_study

N_RUNS = 4
#: Of a width of its own, as another module of the same process may have compiled the usual one
#: with little optimisation.
OWN = replace(CONFIG, decoder=DecoderConfig(arch=(17,), batch_norm=True))


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def plain(
    as_users_compile: None, digits: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Study:
    return run_study(OWN, digits, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def keeping(
    as_users_compile: None,
    digits: Dataset,
    recorder: Recorder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Study:
    """Of a maximised objective, with everything that can be watched."""
    log = LogConfig(
        trackers=("gradients",), histogram_freq=1, visualize_freq=0, save_best_model=True
    )
    config = replace(OWN, objective="val_psnr", log=log)
    folder = tmp_path_factory.mktemp("keeping")
    return run_study(config, digits, folder, observers=[recorder])


@pytest.mark.slow
def test_a_maximised_objective_puts_the_highest_first(keeping: Study) -> None:
    assert keeping.trials[0].score > keeping.trials[1].score
    shown = keeping.shown_run()
    assert shown is not None
    trial, k, _ = shown
    assert trial is keeping.trials[0]
    assert trial.executions[k].best == max(e.best for e in trial.executions)


@pytest.mark.thorough
def test_observers_and_keeping_models_have_no_influence(keeping: Study, plain: Study) -> None:
    norms = ["gradient_norm_layer_1", "gradient_norm_output", "gradient_norm_latents"]
    for name, execution in all_runs(plain).items():
        history = dict(all_runs(keeping)[name].history)
        assert list(history)[-3:] == norms
        assert all((history.pop(norm) > 0).all() for norm in norms)
        assert_same_history(history, execution.history)
    assert list(keeping.histories)[-3:] == norms


@pytest.mark.thorough
def test_observers_are_told_everything_once(keeping: Study, recorder: Recorder) -> None:
    runs = sorted((trial.trial_id, k) for trial in keeping.trials for k in range(2))
    assert sorted(recorder.begun) == [(*run, 0) for run in runs]
    assert sorted(recorder.ended) == runs
    assert recorder.last == dict.fromkeys(runs, True)
    assert sorted(recorder.snapshots) == [
        (*run, epoch) for run in runs for epoch in range(EPOCHS + 1)
    ]
    for trial in keeping.trials:
        (told,) = (t for t in recorder.trials if t.trial_id == trial.trial_id)
        assert_same_trial(told, trial)
        for k, execution in enumerate(trial.executions):
            for name, values in recorder.metrics[trial.trial_id, k].items():
                expected = execution.history[name]
                expected = expected[-1:] if name.startswith("fresh_") else expected
                np.testing.assert_array_equal(np.array(values, np.float32), expected)


@pytest.mark.thorough
def test_the_model_that_is_kept_is_that_of_the_best_epoch(
    keeping: Study, recorder: Recorder
) -> None:
    trial = keeping.trials[0]
    k = trial.best_execution or 0
    execution = trial.executions[k]
    model = load_model(keeping.folder / "best")
    assert model.about["epoch"] == execution.best_epoch
    assert model.about["values"] == {"learning_rate": trial.learning_rate}
    assert set(model.history) == set(execution.history)
    snapshot = recorder.snapshots[trial.trial_id, k, execution.best_epoch or 0]
    for one, other in (
        (model.decoder, snapshot.decoder),
        (model.latents, snapshot.train_latents),
        (model.val_latents, snapshot.val_latents),
    ):
        jax.tree.map(np.testing.assert_array_equal, one, other)
    assert not list(keeping.folder.glob("trials/**/model")), "no other one stays"


@pytest.mark.thorough
def test_the_best_model_of_all_is_found_in_the_folder(keeping: Study, digits: Dataset) -> None:
    best = keeping.best_trial
    assert best is not None
    model = load_model(keeping.folder / "best")
    run = (best.trial_id, best.best_execution)
    assert (model.about["trial"], model.about["execution"]) == run
    assert (model.scaler, model.image_shape) == ("standard", (8, 8, 1))
    assert model.about["data_fingerprint"] == digits.fingerprint
    decoded = np.asarray(decode(model.decoder, jnp.asarray(model.latents)))
    error = np.mean(((decoded + 1) / 2 - digits.train.flat / 255) ** 2)
    # The loss in the history is measured in [-1, 1], before each batch's step.
    loss = best.executions[best.best_execution or 0].history["loss"][model.about["epoch"] - 1]
    assert error == pytest.approx(loss / 4, rel=0.2)
