"""Pictures of docs/evidence.md that follow from the results."""

from pathlib import Path

from evidence_results import OURS, Cell, Results
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

#: Name, title, colour (Okabe and Ito 2008) and line of each method.
METHODS = (
    ("pca", "PCA", "#999999", ":"),
    ("ae", "autoencoder", "#d55e00", "-"),
    ("ae-refined", "autoencoder, refined", "#e69f00", "--"),
    (OURS, "auto-decoder", "#0072b2", "-"),
)
FEW = "few.png"


def draw_few(results: Results, path: Path) -> None:
    """Errors over the number of training images, a plane for each data set and dimension."""
    planes: dict[str, list[Cell]] = {}
    for dims in (2, 16):
        for cell in results.few(dims):
            planes.setdefault(f"{cell.data}, {dims} dimensions", []).append(cell)
    if not planes:
        return
    n_columns = min(2, len(planes))
    n_rows = -(-len(planes) // n_columns)
    figure = Figure(figsize=(4.4 * n_columns, 3.3 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for axis, (title, cells) in zip(axes, planes.items(), strict=False):
        _draw(axis, title, cells)
    first = figure.axes[0]
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw(axis: Axes, title: str, cells: list[Cell]) -> None:
    for name, label, colour, line in METHODS:
        known = [cell for cell in cells if cell.values(name)]
        n_images = [int(cell.name.split("-")[-1]) for cell in known]
        errors = [cell.mean(name) for cell in known]
        axis.plot(n_images, errors, line, color=colour, label=label, marker=".")
    axis.set(title=title, xlabel="training images", ylabel="error of test images")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.grid(alpha=0.3)
