"""Running a study: claim trials, run them as populations, and keep their results."""

import contextlib
import gc
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jax

from autodecoder.config import Range, StudyConfig
from autodecoder.core.embedding import check_library
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
from autodecoder.study.folder import read_about
from autodecoder.study.follow import agree_on_settings
from autodecoder.study.hosts import Hosts
from autodecoder.study.images import images_of
from autodecoder.study.observer import Observer
from autodecoder.study.progress import study_bars
from autodecoder.study.saved import Study, load_study
from autodecoder.study.worker import Worker
from autodecoder.text import count

_log = logging.getLogger(__name__)


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
    auto_batch: bool = False,
    hosts: Hosts | None = None,
    observers: Sequence[Observer] = (),
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    verbose: bool = False,
) -> Study:
    """Run every trial of a study, each `executions_per_trial` times, and rank them.

    A study is stored in its folder. An interrupted study resumes from its folder; finished trials
    are not run again. Several processes may run one study; each claims trials that no other has.

    Parameters
    ----------
    config : StudyConfig
    dataset : Dataset
        From `load_study_data`.
    folder : path
        New, empty, or the folder of the same study.
    storage : str, optional
        URL of a database for the trials and their states, instead of a file in the folder.
    reset : bool
        Remove the study in the folder first, if there is one.
    wait : bool
        If other processes run all remaining trials, wait until these end, and take over the trials
        of a process that dies. By default the study is returned as it is.
    devices : int or "all", optional
        Devices of this process to use, 1 by default. Runs that move together are placed on devices
        first; devices beyond their number share the images of each run.
    mesh : str, optional
        Devices that share images and runs, instead of `devices`. With `data=4,runs=2`, eight
        devices form two sets of four; each set shares the images of its runs.
    engine : str
        Where trials run: `local`, in this process, one group of one shape after another;
        `processes`, in other processes of this machine, which share its cores or GPUs; `ray`, on a
        cluster. With the last two, several groups run at once, each on its own devices.
    workers : int, optional
        Groups at once; by default as many as there are cores or GPUs.
    worker_cores : int, optional
        CPU cores per group; by default 1 on a cluster, and an equal share of the cores on one
        machine. The order of sums depends on it, so results are equal bit for bit only for equal
        numbers of cores.
    ray_address : str, optional
        Address of the cluster: `HOST:PORT`, or `auto`, the cluster of this machine; by default a
        new cluster on this machine alone.
    rows : str
        Storage of latents and their moments: `device`; `host`, in memory; `disk`, in files of the
        study's folder; `auto`, the first of these with enough room. With `host` and `disk`, and if
        packed images do not fit, the images of an epoch are read window by window (see
        `shuffle_buffer`). The steps are the same, at nearly the same speed.
    memory : int or str, optional
        Memory limit of the process in bytes, or as text such as `"2GB"`; by default the free
        memory. Also pass it to `load_study_data`.
    auto_batch : bool
        If a trial needs more memory than is available, halve the batch size and start the study
        over, until it fits. The study in the folder records the size used. Results differ from
        those of the given size. Without it, that trial fails; trials that do not fit together are
        run fewer at once, which affects no result.
    hosts : Hosts, optional
        From `join_hosts`, as a context manager: the processes that share each fit. This process
        must be process 0; the others call `follow_study`. They are no longer joined afterwards.
    observers : sequence of Observer
        Receive the events of every run. An observer that raises an exception is no longer called.
    report : callable
        Called with the progress of the study, about twice a second.
    should_stop : callable
        Called as often. When it returns true, checkpoints are written and the study ends.
    verbose : bool
        Show a progress bar for each running group of trials, in a terminal or a notebook.

    Returns
    -------
    Study
        As `load_study` reads it.

    Raises
    ------
    EngineError
        If the cluster does not answer, or workers end repeatedly.
    ConfigError
        If the folder holds a study with other settings; or there are too few training images, no
        validation images for the objective, or fewer devices than requested; or openTSNE is not
        installed for `latent_start: neighbours`; or `auto_batch` is given although the batch size
        is searched, or with `hosts`.
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
    starts = config.search.space.get("latent_start", (config.fit.latent_start,))
    if not isinstance(starts, Range) and "neighbours" in starts:
        check_library()
    config = config.with_objective(len(dataset.val))
    config.infer.count_candidates(len(dataset.train), math.prod(dataset.image_shape))
    should_stop = _for_good(should_stop)
    where = EngineConfig(engine, workers, worker_cores, ray_address, MemoryConfig(rows, memory))

    def run(config: StudyConfig) -> None:
        chosen = make_engine(where, images_of(dataset), devices, mesh, should_stop, hosts)
        with contextlib.closing(chosen), study_bars(report, verbose) as tell:
            worker = Worker(config, dataset, folder, chosen, observers, tell, should_stop)
            try:
                worker.run(storage, reset, wait)
            except SearchError:  # raised between two groups, where the other processes wait
                if hosts is not None:
                    hosts.leave()
                raise
        if hosts is not None:
            hosts.leave()

    n = len(dataset.train)
    if auto_batch:
        _check_auto_batch(config, hosts)
        config = config if reset else _with_recorded_batch(config, folder, n)
    while True:
        smaller = _halve_batch(config, n) if auto_batch else None
        with _memory_errors():
            try:
                run(config)
                return load_study(folder)
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                # A study with results keeps its settings.
                if smaller is None or not is_out_of_memory(error) or read_about(folder):
                    raise
        _log.warning(
            "a batch of %s needs more memory than is available; batch_size is now %d",
            count(config.fit.batch_size, "image"),
            smaller.fit.batch_size,
        )
        config = smaller
        gc.collect()  # cycles may hold arrays of the failed try


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    """Convert errors of an allocator to `MemoryLimitError`."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryLimitError) or not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            "the study needs more memory than is available; lower batch_size, runs_at_once, arch, "
            "latent_dims or examples_frac, or let auto_batch lower the batch_size."
        ) from error


def _check_auto_batch(config: StudyConfig, hosts: Hosts | None) -> None:
    if hosts is not None:
        raise ConfigError("auto_batch is for one process, not for several that share each fit.")
    if "batch_size" in config.search.space:
        raise ConfigError(
            "auto_batch sets the batch_size, but batch_size is searched: leave out one of them."
        )


def _halve_batch(config: StudyConfig, n_images: int) -> StudyConfig | None:
    """The study with half the batch size; `None` if there is no smaller one."""
    size = min(config.fit.batch_size, n_images) // 2
    least = 2 if config.decoder.normalisation == "batch" else 1
    return None if size < least else replace(config, fit=replace(config.fit, batch_size=size))


def _with_recorded_batch(config: StudyConfig, folder: Path, n_images: int) -> StudyConfig:
    """The study with the batch size of its folder, if an earlier start lowered it to that."""
    settings = (read_about(folder) or {}).get("settings", {})
    size, smaller = settings.get("fit", {}).get("batch_size"), config
    while smaller is not None and smaller.fit.batch_size != size:
        smaller = _halve_batch(smaller, n_images)
    return smaller or config


def _for_good(should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """Make a request to stop permanent."""
    told = False

    def ask() -> bool:
        nonlocal told
        told = told or should_stop()
        return told

    return ask
