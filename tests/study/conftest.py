"""Fixtures of the study's tests: data, finished studies, compiled programs, a database server."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from tests.study.builders import CONFIG

from autodecoder.data import Dataset
from autodecoder.study import load_study_data


@pytest.fixture(scope="package", autouse=True)
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Compiled programs are kept for the processes that these tests start.

    XLA compiles with little optimisation, in half the time. Returns what such a process needs in
    its environment.
    """
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_disable_most_optimizations": True,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield {name.upper(): str(value) for name, value in settings.items()}
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_study_data(CONFIG)
