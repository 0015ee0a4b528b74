"""Where the runs of a group begin: from scratch or from checkpoints, on the device or streamed."""

from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from autodecoder.config import RunConfig, StudyConfig
from autodecoder.core.epoch import LearningRates
from autodecoder.core.fit import Images
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.population import Population, init_population, take_run
from autodecoder.model.devices import Devices
from autodecoder.model.driver import Driver
from autodecoder.model.row_stores import DeviceRows, DiskRows, HostRows, RowStore, row_types
from autodecoder.model.stream import StreamDriver
from autodecoder.model.team import Team
from autodecoder.study.checkpoint import Saved, restore_run, rows_folder, tell_misfit
from autodecoder.study.observer import RunInfo

#: The checkpoints of a run, newest first.
Checkpoints = Callable[[RunInfo], Iterable[Saved]]


def open_driver(
    config: StudyConfig,
    infos: Sequence[RunInfo],
    images: Images,
    checkpoints: Checkpoints,
    *,
    devices: Devices,
    team: Team,
    rows: str | None,
) -> tuple[Driver | StreamDriver, list[float]]:
    """Runs at their last checkpoints, and the seconds spent on each until then.

    Parameters
    ----------
    config : StudyConfig
    infos : sequence of RunInfo
        They share one `RunConfig`.
    images, checkpoints, devices, team, rows
        As of `Group`.
    """
    shared = infos[0].config
    key = jax.random.key(config.seed)
    executions = np.asarray([info.execution for info in infos], np.uint32)
    rates = learning_rates(config, infos)
    if rows is not None:
        stores = [_store(rows, info, len(images.train), shared) for info in infos]
        driver = StreamDriver(
            key, executions, rates, images, shared, stores, optimised=config.use_xla
        )
        return driver, [
            _restore_streamed(driver, i, checkpoints(info)) for i, info in enumerate(infos)
        ]
    starts = find_starts(images, shared)
    population = init_population(key, executions, rates, images, starts, shared)
    population, seconds = _restore(population, infos, checkpoints)
    driver = Driver(
        population, images, shared, optimised=config.use_xla, devices=devices, team=team
    )
    return driver, seconds


def _restore(
    population: Population, infos: Sequence[RunInfo], checkpoints: Checkpoints
) -> tuple[Population, list[float]]:
    runs, rates = population
    like = jax.eval_shape(lambda: take_run(runs, 0))
    seconds = [0.0] * len(infos)
    for i, info in enumerate(infos):
        found = restore_run(like, checkpoints(info))
        if found is not None:
            saved, seconds[i] = found
            runs = jax.tree.map(lambda all_, one, i=i: all_.at[i].set(one), runs, saved)
    return Population(runs, rates), seconds


def _restore_streamed(driver: StreamDriver, i: int, checkpoints: Iterable[Saved]) -> float:
    for saved in checkpoints:
        try:
            driver.restore(i, saved.arrays)
        except ValueError as error:
            tell_misfit(saved, error)
        else:
            return saved.seconds
    return 0.0


def _store(kind: str, info: RunInfo, n: int, config: RunConfig) -> RowStore:
    types = row_types(config.fit, config.decoder.latent_dims)
    if kind == "disk":
        return DiskRows(rows_folder(info.folder), n, types)
    return HostRows(n, types) if kind == "host" else DeviceRows(n, types)


def learning_rates(config: StudyConfig, infos: Sequence[RunInfo]) -> LearningRates:
    """The step sizes of runs, `(runs,)` each."""
    decoder, latents = [], []
    for info in infos:
        rate = info.values["learning_rate"]
        own = config.parts(info.values)[1].latent_learning_rate
        decoder.append(rate)
        latents.append(rate if own is None else own)
    rates = (np.asarray(part, np.float32) for part in (decoder, latents))
    return LearningRates(*map(jax.device_put, rates))
