"""Settings that the command line chooses if neither a flag nor a file gives them.

They follow from the images, so the same command chooses the same values again. A study records them
like given settings.
"""

import contextlib
import logging
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from autodecoder.cli.flags import merge, nest
from autodecoder.config import (
    AUTO_SIZE,
    ENCODED_SOURCES,
    LONG,
    SHORT,
    DataConfig,
    format_arch,
    format_value,
    learning_rate_for,
    split_source,
    study_config,
)

#: Most weights of a chosen decoder. It keeps the page small and the steps fast.
PAGE_WEIGHTS = 2_500_000
#: Largest batch size.
_BATCH = 128
#: Widths of the decoder of a map; the least width of its last layer; the unit of that width.
_WIDTHS, _LEAST_WIDTH, _UNIT = (500, 500), 64, 8
#: Learning rate for a fit of few epochs by recipe `fast`.
_RATE = 1e-2
#: Approximate number of frames in the film of a map.
_FRAMES = 50
_SPACE = "search.space"


class Look(NamedTuple):
    """Facts about images that are known before they are read."""

    n_train: int
    image_shape: tuple[int, int, int]


def choose(settings: dict[str, Any], searched: Collection[str], *, for_map: bool) -> dict[str, Any]:
    """Choose values for settings that are not given, by path.

    For users' own images these are the size, the share, the batch size and the number of epochs.
    For a published data set, nothing is chosen. A map chooses them for every data set, and also
    the decoder. The objective of a map is `loss`: nothing is searched, and all images are to be
    seen, so the map keeps the decoder that draws the training images best. By `val_loss`, a map of
    few images would show an early epoch.

    Parameters
    ----------
    settings : nested dict
        The given settings, as plain values.
    searched : collection of str
        Settings that the search varies. They count as given.
    for_map : bool

    Raises
    ------
    ConfigError
        If a setting breaks its rule.
    DataError
        If the images cannot be found.
    """
    given = study_config({n: v for n, v in settings.items() if n in ("data", "decoder", "recipe")})
    kind, place = split_source(given.data.dataset)
    if not (place or for_map):
        return {}
    named = {f"{part}.{name}" for part, own in settings.items() for name in _names(own)}
    named |= {f"{part}.{name}" for part in ("decoder", "fit") for name in searched}
    if "learning_rate" in searched:
        named.add(_SPACE)
    chosen: dict[str, Any] = {}

    def offer(path: str, value: Any) -> None:
        if path not in named:
            chosen[path] = value

    offer("data.examples_frac", 1.0)
    if kind in ENCODED_SOURCES:
        offer("data.image_size", AUTO_SIZE)
    whole = study_config(merge(nest(chosen), {"data": settings.get("data", {})})).data
    seen = look_at(whole)
    if whole.image_size == AUTO_SIZE:
        chosen["data.image_size"] = seen.image_shape[:2]
    is_fast = settings.get("recipe", "fast") == "fast"
    if for_map:
        offer("decoder.arch", _narrowed(math.prod(seen.image_shape)))
        recipe = settings.get("recipe", "fast")
        rate = _RATE if is_fast else learning_rate_for(recipe, given.decoder.arch)
        offer(_SPACE, {"learning_rate": [rate]})
        offer("executions_per_trial", 1)
        offer("objective", "loss")
        offer("log.tensorboard", False)
    if is_fast or for_map:
        batch_size = _whole(settings, "batch_size", min(_BATCH, seen.n_train))
        epochs = (SHORT if for_map else LONG).epochs_for(seen.n_train, batch_size)
        offer("fit.batch_size", batch_size)
        offer("fit.num_epochs", epochs)
        if for_map:
            epochs = _whole(settings, "num_epochs", epochs)
            offer("log.visualize_freq", max(1, epochs // _FRAMES))
    return chosen


def tell(chosen: Mapping[str, Any]) -> str:
    """The chosen settings in one line, as flags."""
    told = []
    for path, value in chosen.items():
        name = path.rpartition(".")[2]
        if path == "data.image_size":
            text = "x".join(map(str, value))
        elif path == "decoder.arch":
            text = format_arch(value)
        elif path == _SPACE:
            name, text = "lr", ", ".join(map(format_value, value["learning_rate"]))
        elif path.startswith("log.") or path in ("executions_per_trial", "objective"):
            continue
        else:
            text = format_value(value)
        told.append(f"--{name} {text}")
    return f"Chosen from the images: {' '.join(told)} (give a flag to change its value)"


def look_at(config: DataConfig) -> Look:
    """Number and shape of the training images, from their headers alone."""
    _, place = split_source(config.dataset)
    if place:
        from autodecoder.data.load import plan_configured

        with _silent():  # the warnings follow when the images are read
            plan = plan_configured(config, seed=0)
        return Look(len(plan.train), plan.image_shape)
    from autodecoder.data.overview import list_datasets

    found = next(found for found in list_datasets(config.data_dir) if found.name == config.dataset)
    share = config.examples_frac or 1
    return Look(max(1, round(share * found.n_train)), found.image_shape)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    logger = logging.getLogger("autodecoder.data")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _names(own: Any) -> Collection[str]:
    return own if isinstance(own, dict) else ()


def _whole(settings: Mapping[str, Any], name: str, otherwise: int) -> int:
    """A whole number of the fit, or `otherwise` if none is given."""
    value = _names(settings.get("fit")) and settings["fit"].get(name)
    return value if type(value) is int and value > 0 else otherwise


def _narrowed(n_values: int) -> tuple[int, ...]:
    """Widths of a decoder for images of `n_values` values that is small enough for a page."""

    *inner, last = _WIDTHS
    # A unit of the last layer has a weight for each value and each unit before it, and a bias.
    room = (PAGE_WEIGHTS - n_values - 3 * inner[0]) // (n_values + inner[-1] + 1)
    return (*inner, min(last, max(_LEAST_WIDTH, room // _UNIT * _UNIT)))
