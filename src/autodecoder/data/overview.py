"""Sizes and folders of the published data sets, found without reading them."""

from dataclasses import dataclass
from pathlib import Path

from autodecoder.config import DATASETS
from autodecoder.data.catalogue import SOURCES, locate

#: Training and validation images, shape and classes, as published.
_CONTENTS = {
    "digits": (1_438, 359, (8, 8, 1), 10),
    "mnist": (60_000, 10_000, (28, 28, 1), 10),
    "fmnist": (60_000, 10_000, (28, 28, 1), 10),
    "cifar10": (50_000, 10_000, (32, 32, 3), 10),
    "cifar100": (50_000, 10_000, (32, 32, 3), 100),
}


@dataclass(frozen=True)
class Overview:
    """One published data set."""

    name: str
    n_train: int
    n_val: int
    image_shape: tuple[int, int, int]
    n_classes: int
    folder: Path | None
    """Folder of its files; `None` if they are absent, or not needed."""
    megabytes: int
    """Size of the download in MB; 0 if none is needed."""

    @property
    def is_here(self) -> bool:
        return self.folder is not None or self.megabytes == 0


def list_datasets(data_dir: Path | None = None) -> list[Overview]:
    """Every published data set, and where `load_dataset` would read it.

    Raises
    ------
    ConfigError
        If `data_dir` or the value of `AUTODECODER_DATA` is not a folder.
    """
    listed = []
    for name in DATASETS:
        n_train, n_val, shape, n_classes = _CONTENTS[name]
        megabytes = SOURCES[name].megabytes if name in SOURCES else 0
        folder = locate(name, data_dir)
        listed.append(Overview(name, n_train, n_val, shape, n_classes, folder, megabytes))
    return listed
