"""Models of the runs of a study."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import DecoderConfig, StudyConfig, to_dict
from autodecoder.core.decoders import shape_decoder
from autodecoder.core.runs import Snapshot
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.tree import arrays_to_tree
from autodecoder.data import Dataset
from autodecoder.data.pixels import as_labels
from autodecoder.measures.yardstick import Yardstick
from autodecoder.model import Model
from autodecoder.study.checkpoint import Outcome
from autodecoder.study.observer import RunInfo
from autodecoder.study.space import to_parameter
from autodecoder.text import count


def make_model(
    snapshot: Snapshot, info: RunInfo, dataset: Dataset, config: StudyConfig, yardstick: Yardstick
) -> Model:
    """Make the model of a run, with its origin in `about`."""
    return Model(
        decoder=snapshot.decoder,
        scaler=config.data.scaler,
        image_shape=dataset.image_shape,
        latents=np.asarray(snapshot.train_latents),
        val_latents=np.asarray(snapshot.val_latents),
        latent_deviations=jax.tree.map(np.asarray, snapshot.train_deviations),
        labels=dataset.train.labels,
        val_labels=dataset.val.labels,
        pixel_range=config.data.pixel_range,
        loss=config.fit.loss,
        names=dataset.train.names,
        val_names=dataset.val.names,
        columns=dataset.train.columns,
        val_columns=dataset.val.columns,
        about={
            "dataset": dataset.name,
            "class_names": list(dataset.class_names),
            "data_fingerprint": dataset.fingerprint,
            "trial": info.trial_id,
            "execution": info.execution,
            "epoch": int(snapshot.epoch),
            "settings": to_dict(config),
            "values": {name: to_parameter(value) for name, value in info.values.items()},
            "yardstick": yardstick.to_dict(),
        },
    )


def shown_model(
    outcome: Outcome,
    decoder: DecoderConfig,
    config: StudyConfig,
    image_shape: tuple[int, int, int],
    about: Mapping[str, Any],
) -> Model:
    """Make the model of a run after its last epoch, which its pictures show.

    Raises
    ------
    ValueError
        If its decoder does not have that configuration.
    """
    shown = outcome.shown
    assert shown is not None  # checked by the caller
    for latents in (shown.train_latents, shown.val_latents):
        if latents.ndim != 2 or latents.shape[1] != decoder.latent_dims:
            raise ValueError(f"its latents are not of {count(decoder.latent_dims, 'dimension')}")
    output = SCALINGS[config.data.scaler].output_activation
    like = shape_decoder(decoder, image_shape, output)
    return Model(
        decoder=jax.tree.map(jnp.asarray, arrays_to_tree(like, shown.decoder)),
        scaler=config.data.scaler,
        image_shape=image_shape,
        latents=shown.train_latents,
        val_latents=shown.val_latents,
        labels=as_labels("labels", shown.train_labels, len(shown.train_latents)),
        val_labels=as_labels("labels", shown.val_labels, len(shown.val_latents)),
        history=outcome.history,
        pixel_range=config.data.pixel_range,
        loss=config.fit.loss,
        about=about,
    )
