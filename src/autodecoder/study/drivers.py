"""Drivers for the runs of a group: new or from checkpoints, on the device or streamed."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from autodecoder.config import RunConfig, StudyConfig
from autodecoder.core.epoch import LearningRates
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.population import Population, init_population, latents_key, take_run
from autodecoder.core.runs import Images, Run
from autodecoder.core.streamed import init_hollow
from autodecoder.errors import ConfigError, DataError
from autodecoder.model.devices import Devices
from autodecoder.model.disk_rows import DiskRows
from autodecoder.model.driver import Driver
from autodecoder.model.hollow import check_place, read_hollow
from autodecoder.model.row_stores import DeviceRows, HostRows, RowStore, row_types
from autodecoder.model.stream import StreamDriver
from autodecoder.model.team import ALONE, Team
from autodecoder.study.checkpoint import (
    Saved,
    joined,
    read_rows,
    restore_run,
    rows_folder,
    tell_misfit,
)
from autodecoder.study.observer import RunInfo

#: Returns the checkpoints of a run, newest first.
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
    """Make the driver of a group at the last checkpoints; also returns each run's seconds so far.

    Parameters
    ----------
    config : StudyConfig
    infos : sequence of RunInfo
        They share one `RunConfig`.
    images, checkpoints, devices, team, rows
        As in `Group`.
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
    if team is not ALONE and len(devices.chosen) > 1:
        return _open_together(
            (key, executions, rates), infos, images, checkpoints, config, devices, team
        )
    starts = find_starts(images, shared)
    population = init_population(key, executions, rates, images, starts, shared)
    population, seconds = _restore(population, infos, checkpoints)
    driver = Driver(
        population, images, shared, optimised=config.use_xla, devices=devices, team=team
    )
    return driver, seconds


def _open_together(
    drawn: tuple[Any, np.ndarray, LearningRates],
    infos: Sequence[RunInfo],
    images: Images,
    checkpoints: Checkpoints,
    config: StudyConfig,
    devices: Devices,
    team: Team,
) -> tuple[Driver, list[float]]:
    """Make a driver for which each process holds only the rows of its own devices."""
    key, executions, rates = drawn
    shared = infos[0].config
    (runs, rates), starts = init_hollow(key, executions, rates, images, shared)
    like = jax.eval_shape(partial(take_run, i=0), runs)
    begun: dict[int, Saved] = {}
    anew: set[int] = set()  # runs without a best epoch so far
    seconds = [0.0] * len(infos)
    for i, info in enumerate(infos):
        restored = _restore_hollow(like, checkpoints(info))
        if restored is not None:
            run, begun[i] = restored
            seconds[i] = begun[i].seconds
            if run.best is not None and not int(run.best.epoch):
                anew.add(i)
            runs = jax.tree.map(lambda all_, one, i=i: all_.at[i].set(one), runs, run)
    types = row_types(shared.fit, shared.decoder.latent_dims)

    def read(i: int, name: str, first: int, stop: int) -> np.ndarray:
        if i in begun:
            kept = name != "best" or i not in anew
            return read_rows(begun[i], name if kept else "values", first, stop)
        if name in ("values", "best"):
            rows = np.arange(first, stop)
            pixels: Any = images.train[first:stop]
            return starts.take(latents_key(key, int(executions[i])), rows, np.asarray(pixels))
        dtype, length = types[name]
        return np.zeros((stop - first, length), dtype)

    driver = Driver(
        Population(runs, rates),
        images,
        shared,
        optimised=config.use_xla,
        devices=devices,
        team=team,
        rows=read,
    )
    return driver, seconds


def _restore_hollow(like: Run, checkpoints: Iterable[Saved]) -> tuple[Run, Saved] | None:
    """Restore a run without its rows; also returns the checkpoint that holds the rows."""
    for saved in checkpoints:
        if not saved.shards:
            check_place(saved.arrays)
        try:
            return read_hollow(like, saved.arrays), saved
        except ValueError as error:
            tell_misfit(saved, error)
    return None


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
            driver.restore(i, joined(saved).arrays)
        except ConfigError:
            raise
        except (DataError, ValueError) as error:
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
    """The learning rates of runs, each of shape `(runs,)`."""
    decoder, latents = [], []
    for info in infos:
        rate = info.values["learning_rate"]
        own = config.parts(info.values)[1].latent_learning_rate
        decoder.append(rate)
        latents.append(rate if own is None else own)
    rates = (np.asarray(part, np.float32) for part in (decoder, latents))
    return LearningRates(*map(jax.device_put, rates))
