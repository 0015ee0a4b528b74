"""Studies on a Ray cluster of real processes: nodes die and join, and nothing is lost."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.study.builders import CONFIG, assert_same_study

from autodecoder.config import SearchConfig
from autodecoder.data import Dataset
from autodecoder.errors import EngineError
from autodecoder.study import Progress, run_study

ray = pytest.importorskip("ray", reason="ray is not installed (extra ray)")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of three nodes; the head has no CPUs for groups."""
    from ray.cluster_utils import Cluster

    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            found.add_node(num_cpus=CORES)
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of Ray, where a node joins
def test_nodes_die_and_join_and_the_table_is_the_local_one(
    cluster: Any, digits: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(
        CONFIG,
        search=SearchConfig(
            {
                "learning_rate": (1e-3, 3e-3, 1e-2),
                "latent_dims": (2, 3, 4, 5),
                "batch_size": (100, 200),
            }
        ),
        executions_per_trial=1,
        fit=replace(CONFIG.fit, num_epochs=10),
        log=replace(CONFIG.log, checkpoint_every=2),
    )
    nodes = list(cluster.worker_nodes)
    ended: list[int] = []

    def report(progress: Progress) -> None:
        if progress.stage == "end":
            ended.append(progress.group)
        if progress.stage == "fit" and progress.epoch >= 4 and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            nodes.clear()
            cluster.add_node(num_cpus=CORES)

    with caplog.at_level(logging.WARNING):
        study = run_study(
            config,
            digits,
            tmp_path / "ray",
            engine="ray",
            ray_address=cluster.address,
            worker_cores=CORES,
            report=report,
        )
    assert "its runs resume from their last checkpoints" in caplog.text
    assert len(set(ended)) >= 9, "eight groups, of which one was lost"
    assert_same_study(study, run_study(config, digits, tmp_path / "local"))


def test_an_address_that_does_not_answer_is_one_sentence(digits: Dataset, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*unused.getsockname())
        for given, message in (
            (address, rf"a Ray cluster at {address} does not answer \(.*refused\): start one with"),
            ("ray://head:10001", "ray_address must be HOST:PORT or auto, got ray://head:10001: "),
            ("nonsense", "ray_address must be HOST:PORT or auto, got nonsense"),
        ):
            with pytest.raises(EngineError, match=message):
                run_study(CONFIG, digits, tmp_path / "no", engine="ray", ray_address=given)
    assert not (tmp_path / "no").exists()


@pytest.mark.thorough
def test_a_server_that_is_no_cluster_is_given_up_in_time(digits: Dataset, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = "{}:{}".format(*other.getsockname())
        with pytest.raises(EngineError, match=rf"a Ray cluster at {address} does not answer"):
            run_study(CONFIG, digits, tmp_path / "no", engine="ray", ray_address=address)


def test_without_ray_it_says_what_to_install(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError) as error:
        run_study(CONFIG, digits, tmp_path / "out", engine="ray")
    assert str(error.value) == "the engine ray needs Ray: pip install 'autodecoder[ray]'."
