"""Figures take whatever a study can hold, and say what they show."""

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from autodecoder.config import METRICS
from autodecoder.report.classes import CLASS_COLOURS, class_colours
from autodecoder.report.drawing import DataFigure
from autodecoder.report.figures import (
    metric_label,
    plot_errors,
    plot_latent_space,
    plot_learning_rates,
    plot_loss_curves,
    plot_pairs,
)
from autodecoder.report.sheets import plot_interpolations, plot_reconstructions
from autodecoder.study import Execution, Trial

NAN = math.nan


def trial(rate: float, *curves: list[float], **values: Any) -> Trial:
    """A trial whose executions have these curves in every metric."""
    executions = tuple(
        Execution({name: np.array(curve, np.float32) for name in METRICS}, "val_loss", "finished")
        for curve in curves
    )
    return Trial("0badcafe", 0, {"learning_rate": rate, **values}, executions, "complete")


def drawn(figure: DataFigure) -> DataFigure:
    """Lay the figure out, so that whatever fails or warns does so in the test."""
    figure.draw_without_rendering()
    return figure


def assert_says_that_it_is_blank(axes: Axes) -> None:
    assert [text.get_text() for text in axes.texts] == ["no finite value"]
    assert axes.get_legend() is None


# Colours and labels


@pytest.mark.parametrize("n_classes", [1, 2, 10, 11, 100])
def test_each_class_has_a_colour_of_its_own(n_classes: int) -> None:
    colours = class_colours(n_classes)
    assert colours.shape == (n_classes, 4)
    assert len(np.unique(colours, axis=0)) == n_classes
    assert (colours[:, 3] == 1).all()


def test_ten_classes_have_the_colours_told_apart() -> None:
    assert len(set(CLASS_COLOURS)) == 10
    distances = np.linalg.norm(class_colours(10)[:, None] - class_colours(10)[None], axis=-1)
    assert distances[~np.eye(10, dtype=bool)].min() > 0.15


def test_every_metric_has_a_label_of_its_own() -> None:
    assert len({metric_label(metric) for metric in METRICS}) == len(METRICS)
    assert metric_label("fresh_val_psnr") == "validation (fresh), PSNR [dB]"


# Loss curves


def test_loss_curves_have_a_panel_a_metric_and_a_line_a_trial() -> None:
    trials = [trial(1e-2, [4, 3, 2, 1]), trial(1e-3, [8, 7, 6, 5])]
    figure = drawn(plot_loss_curves(trials, ("loss", "val_loss")))
    assert [axes.get_ylabel() for axes in figure.axes] == [
        metric_label("loss"),
        metric_label("val_loss"),
    ]
    for axes in figure.axes:
        labels = [line.get_label() for line in axes.lines]
        assert labels == ["learning rate 0.001", "learning rate 0.01"], "in order of the rate"
        np.testing.assert_array_equal(axes.lines[1].get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), [4, 3, 2, 1])


def test_few_epochs_have_whole_numbers_on_the_axis() -> None:
    for n in (2, 3, 60):
        axes = drawn(plot_loss_curves([trial(1e-2, [1.0] * n)], ("loss",))).axes[0]
        assert all(float(at).is_integer() for at in axes.get_xticks())


def test_loss_curves_are_named_by_what_differs() -> None:
    """Settings that are the same in all trials say nothing."""
    trials = [
        trial(1e-2, [2, 1], latent_dims=2, arch=(16, 16), use_bias=True),
        trial(1e-2, [4, 3], latent_dims=8, arch=(16,), use_bias=True),
    ]
    axes = drawn(plot_loss_curves(trials, ("loss", "val_loss"))).axes[0]
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["latent dims 2, arch 16-16", "latent dims 8, arch 16"]


def test_loss_curves_of_many_trials_show_the_first_ten() -> None:
    trials = [trial(10.0**-k, [k + 1, k]) for k in range(1, 13)]
    axes = drawn(plot_loss_curves(trials, ("loss",))).axes[0]
    labels = [line.get_label() for line in axes.lines]
    assert labels == [f"learning rate {10.0**-k:g}" for k in range(10, 0, -1)]


def test_curves_stand_in_the_order_of_what_differs() -> None:
    trials = [trial(1e-3, [1, 1], latent_dims=dims) for dims in (5, 3, 4, 2)]
    axes = drawn(plot_loss_curves(trials, ("loss",))).axes[0]
    labels = [line.get_label() for line in axes.lines]
    assert labels == [f"latent dims {dims}" for dims in (2, 3, 4, 5)]


@pytest.mark.parametrize("n_trials", [2, 3, 8])
@pytest.mark.parametrize("sweep", [False, True])
def test_a_long_legend_does_not_lie_over_the_curves(n_trials: int, sweep: bool) -> None:
    trials = [
        trial(10.0**-k, [2, 1], latent_dims=k, dropout_rate=k / 13) for k in range(1, n_trials + 1)
    ]
    if sweep:
        figure = drawn(plot_learning_rates(trials, "val_loss"))
    else:
        figure = drawn(plot_loss_curves(trials, ("loss", "val_loss")))
    inside = figure.axes[0].get_legend()
    if n_trials == 2:
        assert inside is not None
        assert figure.legends == []
        return
    assert inside is None
    (legend,) = figure.legends
    assert len(legend.get_texts()) == n_trials
    box = legend.get_window_extent()
    assert figure.bbox.padded(1).contains(box.x1, box.y1)
    for axes in figure.axes:
        assert not axes.get_window_extent().overlaps(box)
        assert axes.get_window_extent().width > 250, "not squeezed"


def test_loss_curves_average_over_the_executions_that_came_so_far() -> None:
    figure = drawn(plot_loss_curves([trial(1e-3, [4, 2, 1], [2], [])], ("loss",)))
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [3, 2, 1])


def test_loss_curves_leave_out_what_is_not_finite() -> None:
    figure = drawn(plot_loss_curves([trial(1e-3, [4, NAN, NAN], [2, 8, math.inf])], ("loss",)))
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [3, 8, NAN])


@pytest.mark.parametrize("metrics", [("loss", "val_loss"), ("psnr", "val_psnr")])
@pytest.mark.parametrize("astray", [[NAN] * 4, [], [3e38] * 4, [-3e38] * 4])
def test_a_trial_that_went_astray_does_not_spoil_the_curves(metrics, astray) -> None:
    drawn(plot_loss_curves([trial(1e-3, [4, 3, 2, 1]), trial(1e-1, astray)], metrics))


@pytest.mark.parametrize("curves", [[[NAN, NAN]], [[NAN], [NAN, NAN]], [[], []], [[]]])
def test_loss_curves_without_a_number(curves: list[list[float]]) -> None:
    figure = drawn(plot_loss_curves([trial(1e-3, *curves)], ("loss", "val_loss")))
    for axes in figure.axes:
        assert_says_that_it_is_blank(axes)


def test_a_panel_without_a_number_leaves_the_legend_to_the_other() -> None:
    history = {"loss": np.full(2, np.nan), "val_loss": np.ones(2)}
    execution = Execution(history, "val_loss", "diverged")
    lost = Trial("0badcafe", 0, {"learning_rate": 1.0}, (execution,), "complete")
    blank, full = drawn(plot_loss_curves([lost], ("loss", "val_loss"))).axes
    assert_says_that_it_is_blank(blank)
    assert full.get_legend() is not None
    assert list(full.texts) == []


def test_a_trial_far_off_does_not_press_the_others_flat() -> None:
    trials = [trial(1e-3, [2, 1, 1, 1]), trial(1e-1, [1e9] * 4)]
    figure = drawn(plot_loss_curves(trials, ("loss", "val_loss")))
    for axes in figure.axes:
        assert axes.get_ylim()[1] < 20
        assert axes.get_title(loc="right") == "above this scale:\nlearning rate 0.1"


def test_where_a_trial_ends_is_in_view_though_it_is_slow() -> None:
    trials = [trial(1e-4, [0.98, 0.8, 0.52]), trial(1e-2, [0.5, 0.2, 0.085])]
    figure = drawn(plot_loss_curves(trials, ("loss", "val_loss")))
    for axes in figure.axes:
        assert axes.get_ylim()[1] > 0.52
        assert axes.get_title(loc="right") == ""


# Learning rates


LEVELS = [("mean image", 0.27), ("2 principal components", 0.269), ("9 principal components", 3.0)]


def test_dashed_lines_have_labels_beside_the_panel() -> None:
    curve = [0.9, 0.3, 0.28, 0.27, 0.268]
    figure = plot_loss_curves([trial(0.1, curve)], ["loss", "val_loss"], {"val_loss": LEVELS})
    drawn(figure)
    training, validation = figure.axes
    assert len(training.lines) == 1
    dashed = validation.lines[1:]
    assert [np.asarray(line.get_ydata())[0] for line in dashed] == [0.27, 0.269]
    assert all(line.get_linestyle() != "-" for line in dashed)
    assert [text.get_text() for text in validation.texts] == [
        *("mean image 0.27", "2 principal components 0.269"),
    ]
    upper, lower = (text.get_window_extent() for text in validation.texts)
    assert upper.y0 >= lower.y1 - 2, "close lines have labels apart"
    for box in (upper, lower):
        assert box.x0 > validation.bbox.x1, "no curve is there"
        assert box.x1 < figure.bbox.x1
    assert "9 principal components 3" in validation.get_title("right")
    table = figure.table
    assert ("mean image", "val_loss", 0.27) in zip(
        table["trial"], table["metric"], table["mean"], strict=True
    )


def test_a_dashed_line_is_in_view_where_it_does_not_press_the_curves_flat() -> None:
    for level, is_shown in ((0.5, True), (0.7, False)):
        levels = {"loss": [("mean image", level)]}
        figure = plot_loss_curves([trial(0.1, [0.12, 0.11, 0.1])], ["loss"], levels)
        (axes,) = drawn(figure).axes
        assert bool(axes.texts) is is_shown
        assert (axes.get_title("right") == "") is is_shown


def test_a_panel_without_a_number_has_no_dashed_lines() -> None:
    (axes,) = drawn(plot_loss_curves([trial(0.1, [NAN])], ["loss"], {"loss": LEVELS})).axes
    assert_says_that_it_is_blank(axes)


def test_learning_rates_show_the_mean_and_every_execution() -> None:
    trials = [trial(1e-2, [4], [2]), trial(1e-3, [8], [6])]
    axes = drawn(plot_learning_rates(trials, "val_loss")).axes[0]
    (mean,) = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(mean.get_xdata(), [1e-3, 1e-2])
    np.testing.assert_array_equal(mean.get_ydata(), [7, 3])
    dots = [
        point
        for line in axes.lines
        if line.get_marker() == "."
        for point in zip(np.array(line.get_xdata()), np.array(line.get_ydata()), strict=True)
    ]
    assert sorted(dots) == [(1e-3, 6), (1e-3, 8), (1e-2, 2), (1e-2, 4)]
    assert axes.get_xscale() == "log"


def test_learning_rates_have_a_line_for_each_of_the_other_settings() -> None:
    trials = [
        trial(rate, [score], [score + 2], latent_dims=dims)
        for dims, scores in ((2, (4, 3)), (8, (2, 1)))
        for rate, score in zip((1e-2, 1e-3), scores, strict=True)
    ]
    axes = drawn(plot_learning_rates(trials, "val_loss")).axes[0]
    lines = {line.get_label(): line for line in axes.lines if line.get_marker() == "o"}
    assert list(lines) == ["latent dims 2", "latent dims 8"]
    np.testing.assert_array_equal(lines["latent dims 2"].get_xdata(), [1e-3, 1e-2])
    np.testing.assert_array_equal(lines["latent dims 2"].get_ydata(), [4, 5])
    np.testing.assert_array_equal(lines["latent dims 8"].get_ydata(), [2, 3])
    assert len({tuple(line.get_color()) for line in lines.values()}) == 2
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(lines)


@pytest.mark.parametrize("n_trials", [9, 60])
def test_learning_rates_of_a_search_in_which_everything_differs(n_trials: int) -> None:
    """As of a sampler: each trial has settings of its own. The legend keeps inside the figure."""
    trials = [
        trial(10.0 ** -(1 + k / n_trials), [float(k)], latent_dims=2 + k) for k in range(n_trials)
    ]
    figure = drawn(plot_learning_rates(trials, "val_loss"))
    axes = figure.axes[0]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["mean", "one execution"]
    inside = figure.bbox.padded(1)
    box = legend.get_window_extent()
    assert inside.contains(box.x0, box.y0)
    assert inside.contains(box.x1, box.y1)
    (means,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert means.get_linestyle() == "None", "points, since no line joins what belongs together"
    assert sorted(np.asarray(means.get_ydata())) == list(range(n_trials))


def test_learning_rates_take_trials_without_a_score() -> None:
    drawn(plot_learning_rates([trial(1e-2, [4], [2]), trial(1e-1, [NAN], [])], "val_loss"))
    figure = drawn(plot_learning_rates([trial(1e-2, [NAN]), trial(1e-1, [NAN])], "val_loss"))
    assert_says_that_it_is_blank(figure.axes[0])


# Latent spaces


@pytest.mark.parametrize(("n", "n_classes"), [(1, 3), (400, 10), (400, 100)])
def test_a_latent_space_has_a_legend_where_the_eye_can_use_it(n: int, n_classes: int) -> None:
    rng = np.random.default_rng(0)
    latents, labels = rng.normal(size=(n, 2)), rng.integers(n_classes, size=n)
    names = [f"class {c}" for c in range(n_classes)]
    alone = drawn(plot_latent_space(latents, labels, names, title="alone"))
    over = drawn(plot_latent_space(latents, labels, names, title="over", background=latents + 1))
    for figure, n_entries in ((alone, n_classes), (over, n_classes + 1)):
        texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert len(texts) == (0 if n_classes > 10 else n_entries)
    assert (alone.caption, alone.axes[0].get_title()) == ("alone", ""), "which no figure draws"
    assert list(alone.table) == ["latent dimension 1", "latent dimension 2", "class"]
    np.testing.assert_array_equal(alone.table["latent dimension 2"], latents[:, 1])
    assert alone.table["class"] == [names[k] for k in labels]


def test_names_of_classes_are_shown_as_they_are() -> None:
    names = [r"$\frac{$", "_hidden", "$5 to $9", "a cat of the long-haired Norwegian kind"]
    rng = np.random.default_rng(0)
    latents, labels = rng.normal(size=(40, 2)), np.arange(40) % 4
    space = drawn(plot_latent_space(latents, labels, names, title=names[0]))
    pairs = drawn(plot_pairs(rng.normal(size=(40, 3)), labels, names))
    errors = drawn(plot_errors(rng.random(40), labels, names))
    shown = [r"\$\frac{\$", " _hidden", r"\$5 to \$9", "a cat of the long-haire…"]
    for figure in (space, pairs):
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == shown
        box = legend.get_window_extent()
        assert all(axes.get_window_extent().x1 <= box.x0 for axes in figure.axes)
    ticks = [text.get_text() for text in errors.axes[1].get_yticklabels()]
    assert sorted(ticks) == sorted(shown)


def test_a_long_name_leaves_the_plot_its_room() -> None:
    latents, labels = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    widths = [
        drawn(plot_latent_space(latents, labels, names, title="")).axes[0].get_window_extent().width
        for names in (["a", "b"], ["a" * 60, "b" * 60])
    ]
    assert widths[1] > 0.9 * widths[0]


def test_a_way_is_a_row_of_images() -> None:
    images = np.zeros((2, 5, 4, 4, 1), np.uint8)
    images[1, 3] = 200
    (axes,) = drawn(plot_interpolations(images, title="ways")).axes
    sheet = np.asarray(axes.get_images()[0].get_array())
    inside = sheet == 200
    assert inside.any(axis=2).sum() == 16
    rows, columns = np.nonzero(inside.any(axis=2))
    assert rows.min() > 4
    assert 3 * 4 <= columns.min() < columns.max() < 4 * 5 + 4


def test_a_collapsed_latent_space_can_be_drawn() -> None:
    drawn(plot_latent_space(np.zeros((9, 2)), np.zeros(9, int), ["one"], title="collapsed"))


def test_a_stray_does_not_shrink_the_latent_space() -> None:
    latents = np.random.default_rng(0).normal(size=(5000, 2))
    latents[0] = 1e6
    axes = drawn(plot_latent_space(latents, np.zeros(5000, int), ["one"], title="")).axes[0]
    assert axes.get_xlim()[1] < 10
    assert [text.get_text() for text in axes.texts] == ["1 of 5,000 not in the picture"]


# Errors


def test_large_errors_are_told_and_not_drawn_as_smaller_ones() -> None:
    loss = np.concatenate([np.linspace(0.01, 0.02, 1000), [3.0, 4.0]])
    top, _ = drawn(plot_errors(loss, np.zeros(1002, int), ["one"])).axes
    bars = [patch.get_height() for patch in top.patches if isinstance(patch, Rectangle)]
    assert sum(bars) == 1000
    assert top.get_title(loc="right") == "2 of 1,002 beyond this range, up to 4"


def test_errors_of_which_all_are_nothing() -> None:
    top, _ = drawn(plot_errors(np.zeros(9), np.zeros(9, int), ["one"])).axes
    bars = [p.get_height() for p in top.patches if isinstance(p, Rectangle)]
    assert bars[0] == 9


# Reconstructions


def _runs(true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices that are true, and where among them a run ends."""
    found = np.flatnonzero(true)
    return found, np.flatnonzero(np.diff(found) > 1) + 1


@pytest.mark.parametrize(
    ("n", "channels", "rows", "columns"),
    [(1, 1, 2, 1), (7, 3, 2, 7), (10, 1, 2, 10), (11, 3, 4, 10)],
)
def test_each_reconstruction_stands_below_its_original(
    n: int, channels: int, rows: int, columns: int
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(2, n, 4, 5, channels), dtype=np.uint8)
    figure = drawn(plot_reconstructions(images[0], images[1], title="some"))
    ((shown,),) = [axes.images for axes in figure.axes]
    sheet = np.asarray(shown.get_array())
    seen = [run[0] for run in np.split(*_runs((sheet != 255).any((1, 2))))]
    assert len(seen) == rows
    for k in range(n):
        for half in range(2):
            top, left = seen[2 * (k // columns) + half], 6 * (k % columns)
            array = sheet[top : top + 4, left : left + 5]
            np.testing.assert_array_equal(array, np.broadcast_to(images[half, k], (4, 5, 3)))
    assert sheet.shape == (sheet.shape[0], 6 * columns - 1, 3)
