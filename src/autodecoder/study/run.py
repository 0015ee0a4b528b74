"""Running a study: claim trials, run them as populations, keep what comes of them."""

import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from autodecoder.config import StudyConfig
from autodecoder.core.switches import own_switches
from autodecoder.data import Dataset
from autodecoder.errors import (
    ConfigError,
    MemoryLimitError,
    SearchError,
    is_out_of_memory,
)
from autodecoder.model.memory import MemoryConfig
from autodecoder.paths import user_path
from autodecoder.study.engines import EngineConfig, make_engine
from autodecoder.study.events import Progress
from autodecoder.study.follow import agree_on_settings
from autodecoder.study.hosts import Hosts
from autodecoder.study.images import images_of
from autodecoder.study.observer import Observer
from autodecoder.study.progress import study_bars
from autodecoder.study.saved import Study, load_study
from autodecoder.study.worker import Worker


@own_switches()
def run_study(
    config: StudyConfig,
    dataset: Dataset,
    folder: Path | str,
    *,
    storage: str | None = None,
    reset: bool = False,
    wait: bool = False,
    devices: int | str | None = None,
    mesh: str | None = None,
    engine: str = "local",
    workers: int | None = None,
    worker_cores: int | None = None,
    ray_address: str | None = None,
    rows: str = "auto",
    memory: int | str | None = None,
    hosts: Hosts | None = None,
    observers: Sequence[Observer] = (),
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    verbose: bool = False,
) -> Study:
    """Run every trial of a study, each `executions_per_trial` times, and rank them.

    A study lives in its folder. Given the folder of one that was cut off, it goes on where that
    stopped; finished trials are not run again. Several processes may run one study: each claims
    trials that no other has.

    Parameters
    ----------
    config : StudyConfig
    dataset : Dataset
        From `load_study_data`.
    folder : path
        New, empty, or of the same study.
    storage : str, optional
        URL of a database for the trials and their states, instead of a file in the folder.
    reset : bool
        Remove the study in the folder first, if there is one.
    wait : bool
        Where other processes have all trials that are left, wait for their end, and take over the
        trials of one that dies; by default the study is returned as it is by then.
    devices : int or "all", optional
        Devices of this process to use, 1 by default. Runs come first: as many as there are move at
        once, and what is left of the devices shares the images of each run.
    mesh : str, optional
        Such as `data=4,runs=2`, instead: eight devices, four of which share the images of a run,
        twice.
    engine : str
        Where trials run: `local`, in this process, one group of one shape after the other;
        `processes`, in others of this machine, which share its cores or GPUs; `ray`, on a cluster.
        With the other two, several groups run at once, each on devices of its own.
    workers : int, optional
        Groups at once, by default as many as there are cores or GPUs for.
    worker_cores : int, optional
        CPU cores of each group, by default 1 on a cluster, and on one machine its share of all.
        Sums are in an order that depends on their number: results have the same bits where it is
        the same.
    ray_address : str, optional
        Of the cluster: `HOST:PORT`, or `auto`, the one that this machine belongs to; by default a
        new one of this machine alone.
    rows : str
        Where latents and their moments lie: `device`; `host`, in memory; `disk`, in files of the
        study's folder; `auto`, in the first of these that has room. On `host` and `disk`, and where
        packed images are more than fit, the images of an epoch come window by window (see
        `shuffle_buffer`): the same steps, at nearly the same speed.
    memory : int or str, optional
        Bytes, such as `"2GB"`, that the process should keep below; by default what is free. Give
        it to `load_study_data`, too.
    hosts : Hosts, optional
        From `join_hosts`, as a context manager: the processes that share each fit. This one must be
        process 0; the others call `follow_study`. Afterwards they are no longer joined.
    observers : sequence of Observer
        Told of every run. One that raises an exception is named in a warning and told nothing more.
    report : callable
        Told how far the study has come, about twice a second.
    should_stop : callable
        Asked as often; when it says yes, checkpoints are written and the study ends.
    verbose : bool
        Show a progress bar for each group of trials under way, in a terminal or a notebook.

    Returns
    -------
    Study
        As `load_study` reads it.

    Raises
    ------
    EngineError
        If the cluster does not answer, or workers end again and again.
    ConfigError
        If the folder holds a study of other settings, there are too few training images, no
        validation images for the objective, or fewer devices than asked for.
    MemoryLimitError
        If the device has too little memory.
    OutputError
        If a result cannot be written.
    SearchError
        If ten trials in a row have failed.
    StorageError
        If the storage cannot be used.
    """
    folder = user_path(folder, "folder")
    if hosts is not None:
        if not hosts.is_leader:
            raise ConfigError("run_study is for process 0; the others call follow_study.")
        config = agree_on_settings(config, hosts)
        hosts.compare({"data": dataset.fingerprint, "mesh": str(mesh)})
    config = config.with_objective(len(dataset.val))
    config.infer.count_candidates(len(dataset.train), math.prod(dataset.image_shape))
    try:
        should_stop = _for_good(should_stop)
        where = EngineConfig(engine, workers, worker_cores, ray_address, MemoryConfig(rows, memory))
        chosen = make_engine(where, images_of(dataset), devices, mesh, should_stop, hosts)
        with contextlib.closing(chosen), study_bars(report, verbose) as tell:
            worker = Worker(config, dataset, folder, chosen, observers, tell, should_stop)
            try:
                worker.run(storage, reset, wait)
            except SearchError:  # between two groups, so that the others wait for what comes next
                if hosts is not None:
                    hosts.leave()
                raise
        if hosts is not None:
            hosts.leave()
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            "the study needs more memory than there is; lower runs_at_once, arch, latent_dims or "
            "examples_frac."
        ) from error
    return load_study(folder)


def _for_good(should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """A study that has been told to stop stops, whatever is said later."""
    told = False

    def ask() -> bool:
        nonlocal told
        told = told or should_stop()
        return told

    return ask
