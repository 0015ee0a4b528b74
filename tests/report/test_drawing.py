"""No picture depends on the user's settings of matplotlib, and none of these is changed."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.report.test_pictures import noise, show, study

from autodecoder.report import drawing, write_pictures
from autodecoder.report.figures import plot_latent_space
from autodecoder.report.pictures import draw_figure

#: As a matplotlibrc may have it.
OWN: dict[str, Any] = {
    "image.origin": "lower",
    "image.aspect": "auto",
    "image.interpolation": "bilinear",
    "image.cmap": "hot",
    "text.usetex": True,
    "text.color": "white",
    "font.size": 31,
    "font.family": "serif",
    "figure.facecolor": "black",
    "figure.dpi": 40,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "axes.facecolor": "black",
    "axes.xmargin": 0.3,
    "lines.linewidth": 9,
    "legend.loc": "lower left",
    "patch.force_edgecolor": True,
    "svg.fonttype": "none",
}
ENVIRONMENTS = {
    "a backend that is gone": {"MPLBACKEND": "Qt4Agg"},
    "a backend that is not installed": {"MPLBACKEND": "module://nowhere"},
    "a file that is no text": {"MATPLOTLIBRC": "latin"},
    "a file of few greys": {"MATPLOTLIBRC": "greys"},
}


def files(folder: Path) -> dict[str, bytes]:
    dataset, result = noise(channels=1), study(folder, latent_dims=3)
    show(result, dataset, 3)
    written = write_pictures(result, dataset)
    assert len(written) == 11
    return {path.name: path.read_bytes() for path in written}


@pytest.mark.thorough
def test_pictures_do_not_depend_on_the_users_settings(tmp_path: Path) -> None:
    want = files(tmp_path / "plain")
    mine, _ = plt.subplots()
    with mpl.rc_context(cast(Any, OWN)):
        before = dict.copy(mpl.rcParams)
        found = files(tmp_path / "own")
        assert dict.copy(mpl.rcParams) == before
    assert [name for name in want if found[name] != want[name]] == []
    assert plt.get_fignums() == [mine.number], "none is left open, and none is closed"
    plt.close(mine)


@pytest.mark.slow
@pytest.mark.parametrize("variables", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_pictures_do_not_depend_on_the_environment(
    tmp_path: Path, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "latin").write_bytes(b"font.size: 30 # gro\xdf\n")
    (tmp_path / "greys").write_text("image.lut: 2\nfont.size: 30\n")
    for name, value in variables.items():
        path = tmp_path / value
        monkeypatch.setenv(name, str(path) if path.exists() else value)
    program = """if True:
        import os, sys
        before = dict(os.environ)
        import numpy as np
        from autodecoder.report.figures import plot_plane
        from autodecoder.report.pictures import draw_figure
        images = np.arange(9 * 16, dtype=np.uint8).reshape(3, 3, 4, 4, 1)
        assert dict(os.environ) == before
        sys.stdout.buffer.write(draw_figure(plot_plane(images, (0, 1, 0, 1), ("a", "b"))))
    """
    run = [sys.executable, "-c", program]
    found = subprocess.run(run, capture_output=True, check=False)
    assert found.returncode == 0, found.stderr
    for name in variables:
        monkeypatch.delenv(name)
    assert subprocess.run(run, capture_output=True, check=True).stdout == found.stdout


def test_settings_that_cannot_be_read_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"font.size: 30 # gro\xdf\n")
    run = [sys.executable, "-c", "import autodecoder.report"]
    found = subprocess.run(run, capture_output=True, cwd=tmp_path, text=True, check=False)
    last = found.stderr.splitlines()[-1]
    assert "ConfigError: matplotlib must be able to read its settings, got 'utf-8' codec" in last


def test_threads_draw_one_after_the_other() -> None:
    """Else one would put back as the caller's settings what another had put in their place."""
    points, labels = np.random.default_rng(0).normal(size=(50, 2)), np.zeros(50, int)

    def picture() -> bytes:
        return draw_figure(plot_latent_space(points, labels, ["one"], title="some"))

    want, found = picture(), []
    with mpl.rc_context({"font.size": 31}):
        threads = [threading.Thread(target=lambda: found.append(picture())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mpl.rcParams["font.size"] == 31
    assert found == [want] * 4


def test_the_backend_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "module://of_the_caller")
    with drawing.default_style():
        assert dict.__getitem__(mpl.rcParams, "backend") == "module://of_the_caller"
