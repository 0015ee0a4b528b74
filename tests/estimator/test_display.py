"""An estimator plots its map, opens it alive, and tells itself in a few lines."""

import html
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from tests.report.browser import browser, open_tab, pixels

from autodecoder import AutoDecoder
from autodecoder.errors import DataError, DataWarning
from autodecoder.estimator.display import frame
from autodecoder.report.classes import CLASS_COLOURS, GREY
from autodecoder.report.page import model_page

WORDS = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
IMAGES, DIGITS = load_digits(return_X_y=True)
SMALL: dict[str, Any] = {
    "arch": "16",
    "num_epochs": 10,
    "random_state": 0,
    "image_shape": (8, 8),
    "pixel_range": (0, 16),
}


@pytest.fixture(scope="module")
def fitted() -> AutoDecoder:
    return AutoDecoder(**SMALL).fit(IMAGES[:300], WORDS[DIGITS[:300]])


@pytest.fixture(autouse=True)
def _figures() -> Any:
    backend = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


def places_of(points: Any) -> np.ndarray:
    return np.asarray(points.get_offsets())


def legend_of(axes: Any) -> dict[str, str]:
    legend = axes.get_legend()
    return {
        text.get_text(): to_hex(dot.get_color())
        for text, dot in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }


def test_a_page_shows_the_index_of_a_frame() -> None:
    frame = pd.DataFrame(IMAGES[:300], index=[f"<{k}>" for k in range(300)])
    model = AutoDecoder(**SMALL).fit(frame).model_
    page = model_page(model)
    assert '"train": ["\\u003c0>", "\\u003c1>"' in page


# Plot


def test_a_plot_shows_the_embedding_by_class(fitted: AutoDecoder) -> None:
    axes = fitted.plot(title="digits")
    axes.figure.draw_without_rendering()
    assert axes in plt.gcf().axes, "pyplot shows it"
    assert axes.get_title() == "digits"
    assert list(legend_of(axes)) == sorted(WORDS)
    points = axes.collections[0]
    drawn = {(*place, to_hex(colour)) for place, colour in zip(places_of(points),
        points.get_facecolors(), strict=True)}  # fmt: skip
    colours = [CLASS_COLOURS[sorted(WORDS).index(WORDS[k])] for k in DIGITS[:300]]
    embedding = fitted.embedding_.astype(float)
    wanted = {(*z, c.lower()) for z, c in zip(embedding, colours, strict=True)}
    assert drawn == wanted


def test_new_samples_lie_over_the_training_samples_in_the_same_colours(
    fitted: AutoDecoder,
) -> None:
    figure, axes = plt.subplots()
    assert fitted.plot(IMAGES[300:400], WORDS[DIGITS[300:400]], ax=axes) is axes
    known = legend_of(fitted.plot())
    assert legend_of(axes) == {**known, "training": GREY.lower()}
    cloud, points = axes.collections
    assert len(places_of(cloud)) == 300
    latents = fitted.transform(IMAGES[300:400])
    np.testing.assert_allclose(
        np.sort(places_of(points), axis=0), np.sort(latents, axis=0), rtol=1e-6
    )
    assert len(figure.axes) == 1
    alone = fitted.plot(IMAGES[300:310])
    assert list(legend_of(alone)) == ["new samples", "training"]
    other = legend_of(fitted.plot(y=DIGITS[:300] % 2 == 0))
    assert list(other) == ["False", "True"]


def test_longer_latents_are_plotted_by_their_principal_components() -> None:
    estimator = AutoDecoder(3, **SMALL).fit(IMAGES[:100])
    axes = estimator.plot()
    assert axes.get_xlabel() == "principal component 1"
    assert axes.get_legend() is None, "no labels"
    spread = places_of(axes.collections[0]).std(axis=0)
    assert spread[0] >= spread[1]


@pytest.mark.parametrize(("n", "named"), [(11, 11), (16, 16), (40, 16), (150, 0)])
def test_many_classes_have_a_colour_bar(n: int, named: int, fitted: AutoDecoder) -> None:
    y = [f"class {k % n:03d}" for k in range(300)]
    axes = fitted.plot(y=y)
    axes.figure.draw_without_rendering()
    assert axes.get_legend() is None
    bars = [other for other in axes.figure.axes if other is not axes]
    assert len(bars) == (1 if named else 0)
    if named:
        shown = [text.get_text() for text in bars[0].get_yticklabels()]
        assert len(shown) == named
        assert (shown[0], shown[-1]) == ("class 000", f"class {n - 1:03d}")


def test_labels_that_do_not_fit_are_told(fitted: AutoDecoder) -> None:
    with pytest.raises(DataError, match="y must have one label for each of 300 samples"):
        fitted.plot(y=[1, 2])
    for method in ("plot", "show"):
        with pytest.raises(NotFittedError):
            getattr(AutoDecoder(), method)()


# Show


def test_the_map_is_alive_in_a_frame(fitted: AutoDecoder) -> None:
    """Whatever the page holds: quotes, ampersands and markup are as they were."""
    page = model_page(fitted.model_, title="""<b> "one" & 'two' &amp; </iframe>""")
    told: list[str] = []
    with browser() as chromium:
        tab = open_tab(chromium, 1280, 900)
        tab.on("console", lambda message: told.append(message.text))
        tab.on("pageerror", lambda error: told.append(str(error)))
        tab.set_content(f"<body><style>h1 {{ color: red }}</style>{frame(page, 800)}</body>")
        element = tab.query_selector("iframe")
        inner = element.content_frame()
        inner.wait_for_selector("#decoded")
        assert inner.inner_text("h1") == """<b> "one" & 'two' &amp; </iframe>"""
        assert element.bounding_box()["height"] == 800
        canvas = inner.query_selector("canvas")
        box = canvas.bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        inner.wait_for_function("document.querySelector('#where').innerText.includes('latent')")
        assert pixels(inner, "#decoded").std() > 0, "an image"
    assert told == []


def run_show(tmp_path: Path) -> Path:
    """The page that a script names which shows a map."""
    program = """
        import numpy as np
        from autodecoder import AutoDecoder
        X = np.random.default_rng(0).random((20, 4, 4))
        AutoDecoder(arch="4", num_epochs=1).fit(X, ["a", "b"] * 10).show(title="mine")
    """
    without = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={k: v for k, v in os.environ.items() if k not in without} | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    found = re.fullmatch(r"The live map is in (.*map\.html)\n", done.stdout)
    assert found is not None, done.stdout
    return Path(found[1])


def test_outside_of_a_notebook_a_file_is_opened(
    fitted: AutoDecoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    opener.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(opener))
    monkeypatch.setattr("webbrowser._tryorder", None)  # it reads BROWSER again
    monkeypatch.setattr("webbrowser._browsers", {})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fitted.show(title="mine")
    out, err = capsys.readouterr()
    assert err == ""
    found = re.fullmatch(r"The live map is in (.*map\.html)\n", out)
    assert found is not None, out
    page = Path(found[1])
    assert (tmp_path / "opened").read_text() == f"{page.as_uri()}\n"
    text = page.read_text()
    assert "<h1>mine</h1>" in text
    assert "training images" in text, "the images are at hand"


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a screen")
def test_without_a_screen_it_is_said_where_the_file_lies(tmp_path: Path) -> None:
    assert "<h1>mine</h1>" in run_show(tmp_path).read_text()


def test_flat_pixels_without_a_shape_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    X = np.random.default_rng(0).integers(0, 256, (20, 16)).astype(np.uint8)
    estimator = AutoDecoder(arch="4", num_epochs=1).fit(X)
    with pytest.warns(DataWarning, match=r"rows of 16 pixels; with AutoDecoder\(image_shape=\(4"):
        estimator.show()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoDecoder(arch="4", num_epochs=1, image_shape=(4, 4)).fit(X).show()
        AutoDecoder(arch="4", num_epochs=1).fit(X.astype(float)).show()  # features
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.slow
def test_in_a_notebook_map_card_and_bar_appear_below_the_cell() -> None:
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    from jupyter_client.manager import (  # pyright: ignore[reportMissingImports]
        start_new_kernel,
    )

    program = """
        import sys
        sys.modules["ipywidgets"] = None
        import numpy as np
        from autodecoder import AutoDecoder
        X = np.random.default_rng(0).random((20, 4, 4))
        ad = AutoDecoder(arch="4", num_epochs=3, verbose=True).fit(X, ["a", "b"] * 10)
        ad.show()
        ad
    """
    manager, client = start_new_kernel(kernel_name="python3")
    shown: list[Any] = []
    try:
        client.execute_interactive(textwrap.dedent(program), timeout=300, output_hook=shown.append)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    contents = [message["content"] for message in shown]
    assert not [c for c in contents if "traceback" in c]
    streams = "".join(c["text"] for c in contents if "text" in c)
    assert "3/3" in streams
    assert "loss 0." in streams or "loss 1." in streams
    assert "Warning" not in streams
    one, card = (c["data"]["text/html"] for c in contents if "text/html" in c.get("data", {}))
    assert html.unescape(one).count("<!doctype html>") == 1
    assert "20 images of 4 × 4" in card


# Card


def test_the_card_says_what_it_is_in_a_few_lines(fitted: AutoDecoder) -> None:
    card = fitted._repr_html_()
    assert len(card) < 2000
    assert "300 images of 8 × 8, in 2 dimensions" in card
    assert f"{fitted.reconstruction_error_:.4g}" in card
    assert "eight, five, four, nine, one, seven, six, three, two, zero" in card
    bundle = fitted._repr_mimebundle_()
    assert bundle == {"text/plain": repr(fitted), "text/html": card}
    assert repr(fitted).startswith("AutoDecoder(arch='16', image_shape=(8, 8)")
    assert len(repr(fitted)) < 300
    with config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert list(fitted._repr_mimebundle_()) == ["text/plain"]


def test_a_decoder_of_ones_own_is_named_and_not_listed() -> None:
    module = eqx.nn.MLP(2, 16, 8, 1, key=jax.random.key(0))
    estimator = AutoDecoder(latent_dims=2, decoder=module)
    assert repr(estimator) == "AutoDecoder(decoder=MLP(…))"
    assert estimator.decoder is module


def test_before_the_fit_scikit_learns_diagram_stands() -> None:
    assert "sk-estimator" in AutoDecoder()._repr_html_()


def test_names_of_classes_are_no_markup() -> None:
    y = ["<script>alert(1)</script>", "b\nc"] * 10
    X = np.random.default_rng(0).normal(size=(20, 16))
    estimator = AutoDecoder(arch="4", num_epochs=1, random_state=0).fit(X, y)
    card = estimator._repr_html_()
    assert "<script" not in card
    assert "20 samples of 16 features" in card
    estimator.plot().figure.draw_without_rendering()
