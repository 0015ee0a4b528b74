"""Fresh validation of ended runs, and the data for their pictures."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from autodecoder.config import StudyConfig
from autodecoder.core.decoders import Decoder
from autodecoder.core.fit import FRESH_METRICS
from autodecoder.core.infer import Inference, infer_latents
from autodecoder.core.losses import Criterion
from autodecoder.core.plan import plan_inference
from autodecoder.core.runs import Images, Run, Snapshot
from autodecoder.core.scaling import to_unit
from autodecoder.core.tree import tree_to_arrays
from autodecoder.data import Dataset
from autodecoder.model.devices import Devices
from autodecoder.model.programs import one_inference
from autodecoder.study.results import Shown

#: Images per grid of reconstructions.
_N_SHOWN = 20


def validate_fresh(
    run: Run, images: Images, config: StudyConfig, criterion: Criterion, devices: Devices
) -> Inference:
    """Fresh validation: infer the latents of the validation images under the present decoder from
    their known pixels, on all devices."""
    state, infer, prior = run.state, config.infer, None
    if state.prior is not None:
        prior = state.prior.mixture
        if infer.prior_weight is None:
            infer = replace(infer, prior_weight=config.fit.prior_weight)
    with one_inference:
        plan = plan_inference(
            state.decoder,
            state.latents,
            scaler=config.data.scaler,
            config=infer,
            key=jax.random.fold_in(state.key, config.fit.num_epochs),
            criterion=criterion,
            prior=prior,
            noise=_last_loss(run, criterion),
        )
        return infer_latents(plan, images.val, weights=images.val_mask, devices=devices.in_turn)


def _last_loss(run: Run, criterion: Criterion) -> float | None:
    """The loss of the training images in the last epoch done; `None` before the first."""
    epoch = int(run.state.epoch)
    name = "loss" if criterion.loss == "mse" else criterion.loss
    return float(run.history[name][epoch - 1]) if epoch else None


def fresh_metrics(inference: Inference) -> dict[str, np.float32]:
    """Means of the errors over the images."""
    errors = inference.errors._asdict()
    return {
        name: np.float32(np.mean(errors[name.removeprefix("fresh_val_")])) for name in FRESH_METRICS
    }


def show_run(snapshot: Snapshot, inference: Inference | None, dataset: Dataset) -> Shown:
    """The data of a run for its pictures; without inference, validation latents are co-trained."""
    unknown = np.full(len(dataset.val), np.nan, np.float32)
    return Shown(
        decoder=tree_to_arrays(snapshot.decoder),
        train_latents=np.asarray(snapshot.train_latents),
        val_latents=np.asarray(snapshot.val_latents if inference is None else inference.latents),
        train_labels=dataset.train.labels.astype(np.int32),
        val_labels=dataset.val.labels.astype(np.int32),
        val_loss=unknown if inference is None else np.asarray(inference.errors.loss),
    )


def reconstruct_some(
    decoder: Decoder, latents: Float[Array | np.ndarray, "n dims"], labels: np.ndarray, scaler: str
) -> tuple[Int[np.ndarray, " k"], UInt8[np.ndarray, "k pixels"]]:
    """Reconstruct a few images of every class; returns their indices and their pixels."""
    indices = choose_shown(labels)
    outputs = to_unit(decoder.decode(jnp.asarray(latents[indices])), scaler)
    return indices, np.rint(np.nan_to_num(np.asarray(outputs)) * 255).astype(np.uint8)


def choose_shown(labels: np.ndarray) -> np.ndarray:
    """Indices of images in turns over the classes: every class appears before one repeats."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) > 0])
    position = np.arange(len(labels)) - np.repeat(starts, np.diff(np.r_[starts, len(labels)]))
    turn = np.lexsort((labels[order], position))
    return order[turn][:_N_SHOWN]
