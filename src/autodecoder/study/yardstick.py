"""The yardstick of a study: errors of the mean image and of principal components, in a file."""

from pathlib import Path

from autodecoder.config import Range, StudyConfig
from autodecoder.data import Dataset
from autodecoder.errors import DataError
from autodecoder.files import read_json, write_json
from autodecoder.measures.yardstick import Set, Yardstick, measure_yardstick, read_yardstick

#: Its file in the folder of a study.
FILE = "yardstick.json"


def keep_yardstick(folder: Path, config: StudyConfig, dataset: Dataset) -> Yardstick:
    """Read the yardstick of a study, or measure and write it if it has none yet.

    Raises
    ------
    DataError
        If its file is damaged.
    OutputError
        If it cannot be written.
    """
    found = load_yardstick(folder)
    if found is None:
        train, val = (Set(part.flat, part.flat_mask) for part in (dataset.train, dataset.val))
        judged = val if len(dataset.val) else None
        found = measure_yardstick(train, judged, _searched_dims(config), config.data.scaler)
        write_json(folder / FILE, found.to_dict())
    return found


def load_yardstick(folder: Path) -> Yardstick | None:
    """The yardstick in the folder of a study; `None` if it has none, as in earlier versions.

    Raises
    ------
    DataError
        If its file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return read_yardstick(read_json(path))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: {error}.") from error


def _searched_dims(config: StudyConfig) -> list[int]:
    """The numbers of latent dimensions that trials may have."""
    values = config.search.space.get("latent_dims", (config.decoder.latent_dims,))
    if isinstance(values, Range):
        return list(range(int(values.low), int(values.high) + 1))
    return [int(value) for value in values]
