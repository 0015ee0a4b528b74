"""The model that a run of a study leaves."""

import numpy as np

from autodecoder.config import StudyConfig, to_dict
from autodecoder.core.fit import Snapshot
from autodecoder.data import Dataset
from autodecoder.model import Model
from autodecoder.study.observer import RunInfo
from autodecoder.study.space import to_parameter


def make_model(snapshot: Snapshot, info: RunInfo, dataset: Dataset, config: StudyConfig) -> Model:
    """A model that knows where it comes from."""
    return Model(
        decoder=snapshot.decoder,
        scaler=config.data.scaler,
        image_shape=dataset.image_shape,
        latents=np.asarray(snapshot.train_latents),
        val_latents=np.asarray(snapshot.val_latents),
        labels=dataset.train.labels,
        val_labels=dataset.val.labels,
        about={
            "dataset": dataset.name,
            "class_names": list(dataset.class_names),
            "data_fingerprint": dataset.fingerprint,
            "trial": info.trial_id,
            "execution": info.execution,
            "epoch": int(snapshot.epoch),
            "settings": to_dict(config),
            "values": {name: to_parameter(value) for name, value in info.values.items()},
        },
    )
