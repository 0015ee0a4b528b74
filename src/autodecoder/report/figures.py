"""Figures drawn with matplotlib, each by a function from arrays to a `Figure`."""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from autodecoder.config import OBJECTIVES, format_value
from autodecoder.measures.yardstick import Levels
from autodecoder.report.classes import (
    CLASS_COLOURS,
    GREY,
    add_class_legend,
    class_colours,
    short_name,
    widen_by_legend,
)
from autodecoder.report.drawing import DataFigure, default_style, limit_to_view
from autodecoder.report.levels import draw_levels
from autodecoder.report.thumbnails import mosaic
from autodecoder.study import Trial

MOST_CURVES = 10
#: Width and height in inches.
LATENT_SPACE_SIZE = (6.4, 6)
#: Most points in each panel of pairs, and most classes with separate errors.
_MOST_IN_PAIRS = 5000
_MOST_CLASSES = 40
#: A longer legend is placed outside the axes, where it hides no curves. With more lines than
#: `_MOST_LINES`, a sweep of learning rates shows points only.
_MOST_ENTRIES = 2
_MOST_LINES = 8
#: Scale of losses, in multiples of the smallest last value: least height, and largest last value
#: that stays in view.
_TALL, _APART = 6, 20
_METRIC_LABELS = {
    "loss": "mean squared error",
    "mae": "mean absolute error",
    "psnr": "PSNR [dB]",
    "bce": "binary cross entropy",
    "laplacian": "Laplacian pyramid L1",
}


def metric_label(metric: str) -> str:
    """The label of a metric, with its set and protocol."""
    for prefix, words in (
        ("fresh_val_", "validation (fresh), "),
        ("val_", "validation (co-trained), "),
        ("", "training, "),
    ):
        if metric.startswith(prefix):
            return words + _METRIC_LABELS[metric.removeprefix(prefix)]
    raise AssertionError(metric)


@default_style()
def plot_loss_curves(
    trials: Sequence[Trial],
    metrics: Sequence[str],
    levels: Mapping[str, Levels] | None = None,
) -> DataFigure:
    """One panel per metric over epochs, with one line per trial: mean ± standard deviation.

    Each epoch is averaged over the executions that reached it. Only the first ten trials are shown;
    these are the best if trials are sorted best first. `levels` are dashed lines by metric, see
    `Yardstick.levels`.
    """
    n = max(len(trial.executions) for trial in trials)
    over = f": mean and standard deviation over {n} executions" if n > 1 else ""
    size = (5.2 * len(metrics), 4)
    figure = DataFigure(f"Losses over the epochs{over}", figsize=size, layout="constrained")
    rows: list[tuple[Any, ...]] = []
    panels = list(figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0])
    labelled = label_trials(trials[:MOST_CURVES])
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(labelled)))
    for axes, metric in zip(panels, metrics, strict=True):
        for (trial, label), colour in zip(labelled, colours, strict=True):
            mean, std = _over_executions(trial, metric)
            epochs = np.arange(1, len(mean) + 1)
            rows += zip(repeat(label), repeat(metric), epochs, mean, std, strict=False)
            axes.plot(epochs, mean, color=colour, label=label, marker="." if len(mean) < 3 else "")
            axes.fill_between(epochs, mean - std, mean + std, color=colour, alpha=0.2, lw=0)
        axes.set(xlabel="epoch", ylabel=metric_label(metric))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    drawn = [(levels or {}).get(metric, []) for metric in metrics]
    if OBJECTIVES[metrics[0]] == "min":
        _limit_curves(panels, [value for lines in drawn for _, value in lines])
    draw_levels(figure, panels, drawn)
    _add_legend(figure, panels)
    for metric, lines in zip(metrics, drawn, strict=True):
        rows += [(label, metric, "", value, "") for label, value in lines]
    figure.table = _columns(("trial", "metric", "epoch", "mean", "std"), rows)
    return figure


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    columns = zip(*rows, strict=True) if rows else repeat((), len(names))
    return dict(zip(names, columns, strict=True))


def _limit_curves(panels: Sequence[Axes], levels: Sequence[float]) -> None:
    """Limit the scale of all panels by the last values, so that a distant trial or the first epochs
    do not flatten the other curves. Titles name the curves that lie above the scale. `levels` are
    the values of dashed lines."""
    curves = {line: np.asarray(line.get_ydata()) for axes in panels for line in axes.lines}
    curves = {line: y[np.isfinite(y)] for line, y in curves.items() if np.isfinite(y).any()}
    lasts = np.array([y[-1] for y in curves.values()])
    if not len(lasts) or not lasts.min() > 0:
        return
    near = lasts.min()
    reach = max(_TALL * near, 1.1 * lasts[lasts <= _APART * near].max())
    top = 1.05 * min(max(*(y.max() for y in curves.values()), *levels, 0), reach)
    for axes in panels:
        axes.set_ylim(0, top)
        above = [line for line in axes.lines if line in curves and curves[line].min() > top]
        if above:
            labels = "\n".join(str(line.get_label()) for line in above)
            axes.set_title(f"above this scale:\n{labels}", loc="right", fontsize=8)


@default_style()
def plot_learning_rates(trials: Sequence[Trial], metric: str) -> DataFigure:
    """The objective over the learning rate: the best value of each execution, and their mean.

    Each combination of the other settings has a line. With too many combinations, for example if
    each trial has its own values, only points are drawn.
    """
    caption = "The objective over the learning rate: the best value of each execution, and the mean"
    figure = DataFigure(caption, figsize=(5.2, 4), layout="constrained")
    axes = figure.subplots()
    rows: list[tuple[Any, ...]] = []
    lines = _lines(trials)
    joined = len(lines) <= _MOST_LINES
    if not joined:
        lines = {"": list(trials)}
    style = "-" if joined else "none"
    for k, (label, line) in enumerate(lines.items()):
        colour = CLASS_COLOURS[0] if len(lines) == 1 else class_colours(len(lines))[k]
        rates = [trial.learning_rate for trial in line]
        scores = [trial.score for trial in line]
        axes.plot(rates, scores, ls=style, color=colour, marker="o", label=label or "mean")
        for trial, rate in zip(line, rates, strict=True):
            best = [execution.best for execution in trial.executions]
            dots = CLASS_COLOURS[1] if len(lines) == 1 else colour
            axes.plot([rate] * len(best), best, ".", color=dots, ms=9, zorder=1)
            rows += [(trial.trial_id, label, rate, k, value) for k, value in enumerate(best)]
    if len(lines) == 1:
        axes.plot([], [], ".", color=CLASS_COLOURS[1], ms=9, label="one execution")
    axes.set(xscale="log", xlabel="learning rate", ylabel=metric_label(metric))
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure, [axes])
    figure.table = _columns(("trial", "settings", "learning_rate", "execution", metric), rows)
    return figure


@default_style()
def plot_latent_space(
    latents: Float[np.ndarray, "n 2"],
    labels: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    *,
    title: str,
    background: Float[np.ndarray, "m 2"] | None = None,
    names: Sequence[str] = ("latent dimension 1", "latent dimension 2"),
) -> DataFigure:
    """Latents in a plane, coloured by class, optionally over a grey background of others. `names`
    are the labels of the axes. The title becomes the caption and is not drawn."""
    figure = DataFigure(title, figsize=LATENT_SPACE_SIZE, layout="constrained")
    axes = figure.subplots()
    draw_latent_space(axes, latents, labels, len(class_names), background=background, names=names)
    add_class_legend(figure, class_names, others="" if background is None else "training")
    figure.table = {names[0]: latents[:, 0], names[1]: latents[:, 1]} | _classes(
        labels, class_names
    )
    return figure


def draw_latent_space(
    axes: Axes,
    latents: Float[np.ndarray, "n 2"],
    labels: Int[np.ndarray, " n"],
    n_classes: int,
    *,
    background: Float[np.ndarray, "m 2"] | None,
    names: Sequence[str],
) -> None:
    """Draw the points of `plot_latent_space`, without title and legend."""
    if background is not None:
        axes.scatter(*background.T, s=_dot_size(len(background)), c=GREY, lw=0, rasterized=True)
    size = _dot_size(len(latents)) * (1 if background is None else 1.6)
    # In random order, so that no class covers the others.
    order = np.random.default_rng(0).permutation(len(latents))
    colours = class_colours(n_classes)[labels[order]]
    axes.scatter(*latents[order].T, s=size, c=colours, lw=0, rasterized=True)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.spines[["top", "right"]].set_visible(False)
    limit_to_view(axes, latents if background is None else np.concatenate([latents, background]))


def _classes(labels: Int[np.ndarray, " n"], class_names: Sequence[str]) -> dict[str, Any]:
    return {"class": [class_names[k] for k in labels]}


@default_style()
def plot_pairs(
    scores: Float[np.ndarray, "n components"],
    labels: Int[np.ndarray, " n"],
    class_names: Sequence[str],
) -> DataFigure:
    """Each principal component of the latents over each earlier one, coloured by class."""
    n = scores.shape[1] - 1
    order = np.random.default_rng(0).permutation(len(scores))[:_MOST_IN_PAIRS]
    colours = class_colours(len(class_names))[labels[order]]
    caption = "The leading principal components of the latents, in pairs"
    figure = DataFigure(caption, figsize=(2.6 * n, 2.5 * n), layout="constrained")
    grid = figure.subplots(n, n, squeeze=False)
    for i in range(n):
        for j in range(n):
            axes = grid[i, j]
            if j > i:
                axes.set_axis_off()
                continue
            pair = scores[order][:, [j, i + 1]]
            axes.scatter(*pair.T, s=_dot_size(4 * len(order)), c=colours, lw=0, rasterized=True)
            limit_to_view(axes, pair, fontsize=6.0)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=7)
            if i == n - 1:
                axes.set_xlabel(f"component {j + 1}", fontsize=9)
            if j == 0:
                axes.set_ylabel(f"component {i + 2}", fontsize=9)
    add_class_legend(figure, class_names)
    components = {f"component {k + 1}": values for k, values in enumerate(scores[order].T)}
    figure.table = components | _classes(labels[order], class_names)
    return figure


@default_style()
def plot_errors(
    loss: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"], class_names: Sequence[str]
) -> DataFigure:
    """Distribution of the images' errors: a histogram of all, and box plots by class with the
    median, the middle half and the middle nine tenths. With more than 40 classes, only the ten best
    and the ten worst are shown."""
    medians = {k: float(np.median(loss[labels == k])) for k in np.unique(labels)}
    chosen = sorted(medians, key=medians.__getitem__)
    if len(chosen) > _MOST_CLASSES:
        chosen = chosen[:10] + chosen[-10:]
    size = (6.4, 2.6 + 0.26 * len(chosen))
    figure = DataFigure("Errors of the validation images", figsize=size, layout="constrained")
    heights = [2.2, 0.4 + 0.26 * len(chosen)]
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    # A few large errors would flatten the rest. Without errors, all values are 0.
    longest = float(np.quantile(loss, 0.995)) * 1.1 or 1.0
    top.hist(loss[loss <= longest], bins=60, range=(0, longest), color=CLASS_COLOURS[0])
    beyond = int((loss > longest).sum())
    if beyond:
        farther = f"{beyond:,} of {len(loss):,} beyond this range, up to {float(loss.max()):.3g}"
        top.set_title(farther, loc="right", fontsize=8)
    top.set_ylabel("images")
    parts = bottom.boxplot(
        [loss[labels == k] for k in chosen],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        widths=0.6,
        patch_artist=True,
        tick_labels=[short_name(class_names[int(k)]) for k in chosen],
        medianprops={"color": "black"},
    )
    many = len(class_names) > len(CLASS_COLOURS)
    for patch, k in zip(parts["boxes"], chosen, strict=True):
        patch.set(facecolor=GREY if many else CLASS_COLOURS[k], alpha=0.6, edgecolor="none")
    bottom.set(xlabel="mean squared error of an image", xlim=(0, longest))
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    figure.table = {"mean squared error": loss} | _classes(labels, class_names)
    return figure


@default_style()
def plot_plane(
    images: UInt8[np.ndarray, "rows columns height width channels"],
    view: Sequence[float],
    names: Sequence[str],
) -> DataFigure:
    """Images decoded on a grid over a plane of latents, each at the place of its latent.

    `view` is the left, right, bottom and top of the plane.
    """
    gap = max(1, round(0.08 * max(images.shape[2:4])))
    whole = mosaic(images.reshape(-1, *images.shape[2:]), images.shape[1], gap)
    # In colour, because matplotlib's default size of its grey scale is a user setting.
    coloured = np.broadcast_to(whole, (*whole.shape[:2], 3))
    figure = DataFigure("Images on the latent plane", figsize=(7, 7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(coloured, extent=(view[0], view[1], view[2], view[3]), aspect="auto")
    axes.set(xlabel=names[0], ylabel=names[1])
    rows, columns = images.shape[:2]
    across, up = (
        low + (np.arange(n) + 0.5) * (high - low) / n
        for low, high, n in ((view[0], view[1], columns), (view[2], view[3], rows))
    )
    figure.table = {
        "row": np.repeat(np.arange(rows), columns),
        "column": np.tile(np.arange(columns), rows),
        names[0]: np.tile(across, rows),
        names[1] or "up": np.repeat(up[::-1], columns),
    }
    return figure


def label_trials(trials: Sequence[Trial]) -> list[tuple[Trial, str]]:
    """Trials sorted by their values, each with a label of the values that vary."""
    names = _varied(trials) if trials else []
    return [(trial, _label(trial, names)) for trial in _in_order(trials, names)]


def _varied(trials: Sequence[Trial]) -> list[str]:
    """Settings that differ between trials; the learning rate if none does."""
    names = list(trials[0].values)
    varied = [name for name in names if len({trial.values[name] for trial in trials}) > 1]
    return varied or ["learning_rate"]


def _in_order(trials: Sequence[Trial], names: Sequence[str]) -> list[Trial]:
    return sorted(trials, key=lambda trial: [trial.values[name] for name in names])


def _lines(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Trials that differ only in the learning rate, sorted by it, for each label of the others."""
    names = [name for name in _varied(trials) if name != "learning_rate"]
    lines: dict[str, list[Trial]] = {}
    for trial in _in_order(trials, [*names, "learning_rate"]):
        lines.setdefault(_label(trial, names), []).append(trial)
    return lines


def _add_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Add one legend for all panels, inside the first panel with data, or outside if long. A panel
    without finite values gets a note."""
    blank = [axes for axes in panels if not any(map(_is_finite, axes.lines))]
    for axes in blank:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center")
        axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
        axes.grid(False)
    shown = [axes for axes in panels if axes not in blank]
    if not shown:
        return
    handles, labels = shown[0].get_legend_handles_labels()
    if len(labels) <= _MOST_ENTRIES:
        shown[0].legend(frameon=False)
        return
    widen_by_legend(figure, handles, labels)


def _is_finite(line: Line2D) -> bool:
    return bool(np.isfinite(np.asarray(line.get_ydata())).any())


def _label(trial: Trial, names: Sequence[str]) -> str:
    values = ((name.replace("_", " "), format_value(trial.values[name])) for name in names)
    return ", ".join(f"{name} {value}" for name, value in values)


def _over_executions(
    trial: Trial, metric: str
) -> tuple[Float[np.ndarray, " epochs"], Float[np.ndarray, " epochs"]]:
    longest = max(execution.epochs for execution in trial.executions)
    table = np.full((len(trial.executions), longest), np.nan)
    for row, execution in zip(table, trial.executions, strict=True):
        row[: execution.epochs] = execution.history[metric]
    finite = np.isfinite(table)
    count = np.maximum(finite.sum(0), 1)
    mean = np.where(finite, table, 0).sum(0) / count
    variance = (np.where(finite, table - mean, 0) ** 2).sum(0) / count
    some = finite.any(0)
    return np.where(some, mean, np.nan), np.where(some, np.sqrt(variance), np.nan)


def _dot_size(n: int) -> float:
    """Area of a dot in square points; smaller for more dots."""
    return float(np.clip(20000 / n, 1.5, 18))
