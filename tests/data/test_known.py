"""Which images of a study or a model are opened: those that the user has named or trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autodecoder.config import DataConfig
from autodecoder.data import known
from autodecoder.data.known import remember, trusted_source
from autodecoder.errors import ConfigError, DataError

MINE = DataConfig(dataset="npz:/mine.npz", split_by=Path("/split.csv"), mask=Path("/mask.npy"))
PRINT = "0" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "cache_dir", lambda: tmp_path)


def test_images_that_were_trained_on_are_opened_as_the_settings_say() -> None:
    remember(MINE, 3, PRINT)
    assert trusted_source(MINE, 3, PRINT) == MINE
    for seed, fingerprint in ((4, PRINT), (3, "1" * 64), (3, None)):
        with pytest.raises(DataError, match=r"name npz:/mine\.npz, which is opened only where"):
            trusted_source(MINE, seed, fingerprint)
    for other in ("split_by", "mask"):
        with pytest.raises(DataError, match="opened only where"):
            trusted_source(replace(MINE, **{other: Path("/other")}), 3, PRINT)


@pytest.mark.parametrize(
    "source", ["hf:org/set", "csv:/dev/stdin", "folder:\\\\host\\share", "npy:/pipe", "tar:a.tar"]
)
def test_images_that_only_the_settings_name_are_not_opened(source: str) -> None:
    with pytest.raises(DataError, match="or where you name it by --dataset"):
        trusted_source(DataConfig(dataset=source), 3, PRINT)


def test_named_images_are_opened_without_the_paths_of_the_settings() -> None:
    given = trusted_source(MINE, 3, PRINT, dataset="npz:here.npz", split_by=Path("s.csv"))
    assert given == DataConfig(dataset="npz:here.npz", split_by=Path("s.csv"))
    remember(MINE, 3, PRINT)
    given = trusted_source(MINE, 3, PRINT, dataset="npz:here.npz")
    assert given == replace(MINE, dataset="npz:here.npz")


def test_published_images_are_those_of_the_users_own_folder() -> None:
    strange = DataConfig(dataset="mnist", data_dir=Path("/stranger"), mask=Path("/pipe"))
    assert trusted_source(strange, 3, PRINT) == DataConfig(dataset="mnist")
    given = trusted_source(strange, 3, PRINT, data_dir=Path("/mine"))
    assert given == DataConfig(dataset="mnist", data_dir=Path("/mine"))


@pytest.mark.parametrize("name", ["split_by", "mask"])
def test_a_table_or_a_mask_needs_its_images(name: str) -> None:
    given: dict[str, Any] = {name: Path("x")}
    with pytest.raises(ConfigError, match=f"{name} needs dataset"):
        trusted_source(MINE, 3, PRINT, **given)
