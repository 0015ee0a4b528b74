"""The page on a model in Chromium: it opens without a network, and decodes as the model does."""

import base64
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import numpy as np
import pytest
from PIL import Image
from tests.measures.builders import make_evaluation
from tests.report.browser import browser, dots, faults, n_coloured, open_tab, pixels, told
from tests.study.builders import execution, trial

from autodecoder.config import ACTIVATIONS, DecoderConfig
from autodecoder.core.decoders import init_decoder
from autodecoder.core.decoders.layers import Statistics
from autodecoder.core.scaling import SCALINGS
from autodecoder.data import Dataset, ImageSet
from autodecoder.data.decode import decode_image
from autodecoder.errors import OutputError
from autodecoder.measures.evaluation import Evaluation
from autodecoder.measures.yardstick import Yardstick
from autodecoder.model import Model
from autodecoder.model.tables import Standardization
from autodecoder.report import known, plane, write_model_page
from autodecoder.report.classes import page_colours
from autodecoder.report.curves import pack_curves, pack_history
from autodecoder.report.film import Frame, choose_rows
from autodecoder.report.originals import pack_originals, point_rows
from autodecoder.report.page import _read_pictures, model_page
from autodecoder.report.plane import latent_plane

SHAPE = (6, 5, 1)
RNG = np.random.default_rng(0)
#: Of pixels from 0 to 1: weights travel in half precision.
HALF = 3e-3


def make_model(
    dims: int = 2,
    *,
    shape: tuple[int, int, int] = SHAPE,
    scaler: str = "standard",
    n: int = 300,
    activation: str = "leaky_relu",
    batch_norm: bool = False,
    use_bias: bool = True,
    arch: Any = (16, 24),
    norm: str | None = None,
    **about: Any,
) -> Model:
    """A decoder as it was drawn, with latents of three classes."""
    config = DecoderConfig(
        arch=arch,
        norm=norm,
        latent_dims=dims,
        activation=activation,
        batch_norm=batch_norm,
        use_bias=use_bias,
    )
    output = SCALINGS[scaler].output_activation
    decoder = init_decoder(jax.random.key(0), config, shape, output)
    if batch_norm:
        drawn = [RNG.normal(1, 0.3, (2, width)).astype(np.float32) for width in arch]
        decoder = replace(decoder, statistics=tuple(Statistics(*pair**2) for pair in drawn))
    latents = RNG.normal(0, 2, (n, dims)).astype(np.float32)
    return Model(
        decoder=decoder,
        scaler=scaler,
        image_shape=shape,
        latents=latents,
        val_latents=latents[: n // 6],
        labels=np.arange(n, dtype=np.int32) % 3,
        val_labels=np.arange(n // 6, dtype=np.int32) % 3,
        about=about,
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def show(chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens the page of a model; when the test ends, nothing has been fetched or gone wrong.

    Its pictures, which take longer than all else and have tests of their own, are of one pixel.
    """
    dot = io.BytesIO()
    Image.new("L", (1, 1)).save(dot, "PNG")
    monkeypatch.setattr("autodecoder.report.page.draw_figure", lambda _figure: dot.getvalue())
    pages, wrong = [], []

    def open_page(
        model: Model,
        width: int = 1280,
        film: Sequence[Frame] = (),
        *,
        before: str = "",
        dataset: Dataset | None = None,
        evaluation: Evaluation | None = None,
    ) -> Any:
        path = write_model_page(
            *(model, tmp_path / "page.html"),
            title="Digits <1>",
            film=film,
            dataset=dataset,
            evaluation=evaluation,
        )
        page = open_tab(chromium, width, 1400)
        page.on(
            "console",
            lambda message: wrong.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "data:", "blob:"))
                else wrong.append(request.url)
            ),
        )
        page.add_init_script(before)
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert wrong == []


def decoded(page: Any, latents: np.ndarray) -> np.ndarray:
    found = page.evaluate(
        "latents => latents.map(z => Array.from(window.autodecoder.decode(z)))", latents.tolist()
    )
    return np.array(found)


def settle(page: Any) -> None:
    """Until what was asked for is drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")


@pytest.mark.parametrize(
    "activation",
    [
        name if name == "leaky_relu" else pytest.param(name, marks=pytest.mark.slow)
        for name in ACTIVATIONS
    ],
)
def test_the_page_decodes_as_python_does(show: Any, activation: str) -> None:
    model = make_model(activation=activation, batch_norm=True)
    latents = RNG.normal(0, 3, (20, 2))
    found = decoded(show(model), latents)
    np.testing.assert_allclose(found, model.decode(latents).reshape(20, -1), atol=HALF)


@pytest.mark.parametrize(
    "settings",
    [
        {"scaler": "zero_one", "use_bias": False},
        pytest.param({"scaler": "identity", "shape": (4, 4, 3)}, marks=pytest.mark.thorough),
        pytest.param({"dims": 1}, marks=pytest.mark.thorough),
        pytest.param({"dims": 300, "n": 40}, marks=pytest.mark.thorough),
        pytest.param({"shape": (3, 4, 5)}, marks=pytest.mark.thorough),
        {"arch": "conv:8/16-8", "shape": (7, 5, 3)},
        {"arch": "resconv:16-8", "norm": "group", "shape": (8, 8, 1), "activation": "gelu"},
        {"arch": (16, 24), "norm": "group"},
    ],
    ids=[
        "sigmoid",
        "colours",
        "one dimension",
        "300 dimensions",
        "five channels",
        "convolutions",
        "residual blocks",
        "group normalisation",
    ],
)
def test_so_it_does_for_decoders_of_all_kinds(show: Any, settings: dict[str, Any]) -> None:
    model = make_model(**settings)
    latents = RNG.normal(0, 3, (5, model.latent_dims))
    page = show(model)
    want = model.decode(latents).reshape(5, -1)
    np.testing.assert_allclose(decoded(page, latents), want, atol=HALF)
    spot = page.evaluate("() => window.autodecoder.latentAt([0.5, -0.25])")
    found = latent_plane(model.latents)
    np.testing.assert_allclose(spot, found.centre + 0.5 * found.axes[0] - 0.25 * found.axes[1])


def test_moving_changes_the_image_and_a_click_keeps_it(show: Any) -> None:
    model = make_model()
    page = show(model)
    before = pixels(page, "#decoded")
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    settle(page)
    after = pixels(page, "#decoded")
    assert (after != before).any()
    told = page.locator("#where").inner_text()
    latent = [float(word.strip(" ,")) for word in told.split()[1:]]
    want = np.rint(255 * model.decode([latent])[0, ..., 0])
    np.testing.assert_allclose(after[..., 0], want, atol=3)
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    settle(page)
    (pin,) = page.locator("#pins canvas").all()
    np.testing.assert_allclose(pixels(page, "#pins canvas"), after, atol=3)
    assert (after != pixels(page, "#decoded")).any()
    pin.click()
    assert page.locator("#pins canvas").count() == 0


@pytest.mark.thorough
def test_curves_tell_their_values(show: Any) -> None:
    losses = np.array([0.8, 0.4, 0.2], np.float32)
    history = {"loss": losses, "fresh_val_loss": np.array([np.nan] * 2 + [0.2], np.float32)}
    page = show(replace(make_model(), history=history))
    options = page.locator("[name=metric] option").all_inner_texts()
    assert options == ["training, mean squared error"], "of the other there is one value alone"
    assert page.locator("[data-value]").inner_text() == "0.2"
    path = "#curves svg path.curve"
    linear = page.locator(path).get_attribute("d")
    heights = [float(word.split()[1]) for word in linear[1:].split("L")]
    assert np.diff(heights)[0] / np.diff(heights)[1] == pytest.approx(2, rel=0.02)
    page.check("[name=log]")
    logarithmic = page.locator(path).get_attribute("d")
    heights = [float(word.split()[1]) for word in logarithmic[1:].split("L")]
    np.testing.assert_allclose(np.diff(heights), np.diff(heights)[0], atol=0.2)
    page.locator("#curves svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-when]").inner_text() == "epoch 2"
    assert page.locator("[data-value]").inner_text() == "0.4"


@pytest.mark.thorough
def test_few_values_are_joined_and_those_that_are_not_positive_left_out(show: Any) -> None:
    history = {
        "val_loss": np.array([0.5] * 4, np.float32),
        "fresh_val_loss": np.array([0.8, np.nan, np.nan, 0.2], np.float32),
        "latent_mean": np.array([-1, 1, 10, 0], np.float32),
    }
    page = show(replace(make_model(), history=history))
    page.check("[name=log]")
    for metric, n_joined in (("val_loss", 4), ("fresh_val_loss", 2), ("latent_mean", 2)):
        page.select_option("[name=metric]", metric)
        drawn = page.locator("#curves svg path.curve").get_attribute("d")
        assert len(drawn.split("L")) == n_joined
        assert "NaN" not in page.locator("#curves svg").inner_html()


def heights(page: Any) -> list[list[float]]:
    """How high each curve runs, as shares of the scale."""
    paths = page.locator("#curves svg path.curve")
    drawn = [p.get_attribute("d")[1:].split("L") for p in paths.all()]
    return [[(330 - float(place.split()[1])) / 318 for place in each] for each in drawn]


@pytest.mark.thorough
def test_values_above_the_scale_are_cut_off_and_not_pressed_down(show: Any) -> None:
    losses = np.array([1e30, 4, 2, 0.5, 0.1], np.float32)
    page = show(replace(make_model(), history={"loss": losses}))
    ((*_, four, two, half, tenth),) = heights(page)
    top = 0.5 / half
    assert top == pytest.approx(6 * 0.1, rel=0.02)
    np.testing.assert_allclose([four, two, tenth], np.array([4, 2, 0.1]) / top, rtol=0.02)
    above = page.locator("[data-above]").inner_text()
    assert above == "Above this scale until epoch 4. A logarithmic scale shows all."
    box = page.locator("#curves svg").bounding_box()
    shot = page.screenshot(clip={**box, "height": 10 / 380 * box["height"]})
    with Image.open(io.BytesIO(shot)) as image:
        colours = np.asarray(image.convert("RGB")).astype(int)
    blue = np.flatnonzero((np.abs(colours - [0, 114, 178]).sum(2) < 60).any(0))
    assert len(blue) < 0.05 * colours.shape[1], "there is no flat line along the top"
    page.check("[name=log]")
    ((first, *_),) = heights(page)
    assert first == pytest.approx(1, abs=0.01)
    labels = page.locator("#curves svg text[text-anchor=end]")
    assert labels.count() < 12


@pytest.mark.thorough
def test_curves_that_lie_above_the_scale_are_told(show: Any) -> None:
    history = dict.fromkeys(("loss", "val_loss"), np.array([0.8, 0.4], np.float32))
    page = show(replace(make_model(), history=history))
    losses = {1e-4: np.linspace(0.98, 0.52, 8), 1e-2: np.linspace(0.5, 0.085, 8), 1e-1: [1e9] * 8}
    trials = [trial(execution(*v), learning_rate=rate) for rate, v in losses.items()]
    packed = pack_curves(trials)
    page.evaluate("data => { new Curves(document.getElementById('curves'), data) }", packed)
    page.select_option("[name=metric]", "val_loss")
    slow, best, _ = heights(page)
    top = 0.085 / best[-1]
    np.testing.assert_allclose(np.array(slow) * top, losses[1e-4], rtol=0.02)
    assert slow[-1] < 1, "where it ends is in view"
    above = page.locator("[data-above]")
    assert above.inner_text().startswith(
        "Above this scale: learning rate 0.1; learning rate 0.0001 until epoch 8."
    )
    page.check("[name=log]")
    assert above.is_hidden()


def test_dashed_lines_have_labels_that_no_curve_crosses(show: Any) -> None:
    components = {2: 0.268, 3: 9.0}
    told = Yardstick("val", 40, 300, 300, 0.27, components).to_dict()
    curve = np.array([0.9, 0.3, 0.28, 0.27], np.float32)
    model = replace(make_model(yardstick=told), history={"loss": curve, "val_loss": curve})
    page = show(model)
    assert page.locator("header").inner_text().count("2 principal components 0.268.") == 1
    assert page.locator("[name=metric]").input_value() == "val_loss", "which the lines belong to"
    labels = page.locator("#curves text.level")
    assert labels.all_text_contents() == ["mean image 0.27", "2 principal components 0.268"]
    upper, lower = (box.bounding_box() for box in labels.all())
    assert upper["y"] + upper["height"] <= lower["y"] + 3
    chart = page.locator("#curves svg").bounding_box()
    path = page.locator("#curves svg path.curve").bounding_box()
    for box in (upper, lower):
        assert box["x"] > path["x"] + path["width"]
        assert box["x"] + box["width"] <= chart["x"] + chart["width"]
    table = page.evaluate(
        "() => new Curves(document.getElementById('curves'), "
        "JSON.parse(document.getElementById('histories').textContent)).table()"
    )
    assert table.splitlines()[0].endswith(',"mean image","2 principal components"')
    assert table.splitlines()[1].endswith(",0.27,0.268")
    page.select_option("[name=metric]", "loss")
    assert labels.count() == 0
    packed = pack_history(
        {"loss": curve, "val_loss": curve / 100},
        {"val_loss": [("mean image", 0.27), ("two", 0.005)]},
    )
    page.evaluate("data => { new Curves(document.getElementById('curves'), data) }", packed)
    page.select_option("[name=metric]", "val_loss")
    assert labels.all_text_contents() == ["two 0.005"]
    assert "Lines above this scale: mean image 0.27." in page.locator("[data-above]").inner_text()
    page.check("[name=log]")
    assert labels.count() == 2


def test_without_a_history_there_are_no_curves(show: Any) -> None:
    assert show(make_model()).locator("#curves").count() == 0


def test_the_slider_shows_where_the_latents_were(show: Any) -> None:
    model = make_model()
    halves = [
        Frame(epoch, share * model.latents[rows], share * model.val_latents)
        for epoch, share in ((20, 0.1), (40, 0.5))
        for rows in [choose_rows("train", 300, 2)]
    ]
    page = show(model, film=halves)

    settle(page)
    end = n_coloured(page)
    page.locator("#film").focus()
    page.keyboard.press("Home")
    settle(page)
    assert page.locator("#epoch").inner_text() == "epoch 20"
    assert 0 < n_coloured(page) < 0.7 * end, "close together, they cover each other"
    page.keyboard.press("End")
    settle(page)
    assert page.locator("#epoch").inner_text() == "final"
    assert n_coloured(page) == end


def strays() -> Model:
    """A model of which some latents are far away, and one is nowhere."""
    model = make_model(n=3000)
    model.latents[[5, 1200]], model.val_latents[7], model.latents[2000] = 300, -300, np.nan
    return model


def assert_border_is_free(page: Any) -> None:
    seen = dots(page)[..., 3]
    for edge in (seen[:4], seen[-4:], seen[:, :4], seen[:, -4:]):
        assert (edge == 0).all()


def test_points_lie_where_they_are_or_are_not_drawn(show: Any) -> None:
    model = strays()
    packed = plane.pack_plane(model, latent_plane(model.latents))
    left, right, bottom, top = packed["view"]
    assert max(abs(edge) for edge in packed["view"]) < 20
    train = packed["points"]["train"]
    places = np.frombuffer(base64.b64decode(train["places"]), "<u2").reshape(-1, 2) / 65534
    found = [left, bottom] + places * [right - left, top - bottom]
    near = np.abs(model.latents).max(1) < 100
    assert (train["n"], train["missing"]) == (near.sum(), 4)
    np.testing.assert_allclose(np.sort(found, 0), np.sort(model.latents[near], 0), atol=1e-3)
    frame = Frame(9, np.ones((3000, 2), np.float32), np.full((500, 2), 99, np.float32))
    frame.train[:4] = 99
    page = show(model, film=[frame, frame._replace(epoch=10)])
    missing = page.locator("#missing")
    assert missing.inner_text().endswith(": 4 training, 2 validation.")
    assert_border_is_free(page)
    page.locator("#film").fill("0")
    settle(page)
    assert missing.inner_text().endswith(": 4 training, 500 validation.")
    assert_border_is_free(page)
    page.locator("#film").fill("2")
    assert missing.inner_text().endswith(": 4 training, 2 validation.")


def is_blank(page: Any) -> bool:
    return bool((dots(page)[..., 3] == 0).all())


@pytest.mark.slow
def test_the_map_is_never_blank(show: Any) -> None:
    """Whenever the browser paints: here none of the frames comes that one could ask for."""
    page = show(make_model(), 390, before="window.requestAnimationFrame = () => 0")
    assert not is_blank(page)
    for width in (800, 1440, 391):
        before = page.evaluate("() => document.querySelector('canvas.dots').width")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "b => document.querySelector('canvas.dots').width !== b", arg=before, polling=50
        )
        assert not is_blank(page)


def test_the_map_has_the_pixels_of_the_screen(show: Any) -> None:
    """Also where only these change, as on the way to another screen, of which Chromium without a
    window tells its pages nothing: here the page is told what it has asked for."""
    asked = "const ask = matchMedia; window.matchMedia = (q) => (window.asked = ask(q))"
    page = show(make_model(), before=f"window.requestAnimationFrame = () => 0; {asked}")
    side = "() => document.querySelector('canvas.dots').width"
    before = page.evaluate(side)
    for ratio in (2, 1):
        told = "window.asked.dispatchEvent(new Event('change'))"
        page.evaluate(f"() => {{ window.devicePixelRatio = {ratio}; {told} }}")
        assert page.evaluate(side) == pytest.approx(ratio * before, abs=1)
        assert page.evaluate("() => window.asked.media") == f"(resolution: {ratio}dppx)"
        assert not is_blank(page)


def test_two_pins_have_a_way_between_them(show: Any) -> None:
    model = make_model()
    page = show(model)
    ends = []
    for keys in (["Enter"], ["Shift+ArrowRight", "Shift+ArrowUp", "Enter"]):
        page.locator("#map").focus()
        for key in keys:
            page.keyboard.press(key)
        settle(page)
        ends.append([float(w.strip(",")) for w in page.locator("#where").inner_text().split()[1:]])
    way = page.locator("#way canvas")
    assert way.count() == 8
    third = way.nth(3).evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, 5, 6).data)"
    )[::4]
    latent = np.array(ends[0]) + 3 / 7 * (np.array(ends[1]) - ends[0])
    want = 255 * model.decode([latent])[0, ..., 0].ravel()
    np.testing.assert_allclose(third, want, atol=3)
    page.locator("#pins canvas").first.click()
    assert way.count() == 0


def test_the_keyboard_is_enough(show: Any) -> None:
    page = show(make_model())
    page.locator("#map").focus()
    before = page.locator("#where").inner_text()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    settle(page)
    assert page.locator("#where").inner_text() != before
    page.keyboard.press("Enter")
    assert page.locator("#pins canvas").count() == 1
    page.locator("#pins canvas").focus()
    page.keyboard.press("Enter")
    assert page.locator("#pins canvas").count() == 0


@pytest.mark.thorough
def test_classes_and_layers_come_and_go(show: Any) -> None:
    page = show(make_model(class_names=["cats", "</script><b>", "dogs & more"]))
    assert page.title() == "Digits <1>"
    assert page.locator("b").count() == 0
    labels = page.locator("label:has(input[data-class])").all_inner_texts()
    assert [label.strip() for label in labels] == ["cats", "</script><b>", "dogs & more"]

    settle(page)
    seen = [n_coloured(page)]
    for action in ("input[data-class='0']", "#none", "#all", "input[data-layer=train]"):
        page.click(action)
        settle(page)
        seen.append(n_coloured(page))
    every, without_cats, none, again, validation = seen
    assert 0 < without_cats < every == again
    assert none == 0
    assert 0 < validation < every
    page.wait_for_function("() => window.autodecoder.map.backdrop.kept.size > 100")
    settle(page)
    behind = pixels(page, "canvas.below")
    assert (behind > 0).mean() > 0.3, "decoded images lie behind the points"
    page.click("input[data-below]")
    settle(page)
    assert (pixels(page, "canvas.below") == 0).all()
    page.click("input[data-layer=points]")
    page.click("input[data-layer=density]")
    settle(page)
    density = dots(page)
    assert (density[..., 3] > 0).mean() > 0.1
    assert len(np.unique(density[..., 3])) > 5, "in steps"


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_wider_than_the_page(show: Any, width: int) -> None:
    page = show(make_model(class_names=["a rather long name of a class"] * 3), width)
    wide = "() => document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(wide)
    image, plane_ = (page.locator(name).bounding_box() for name in ("#decoded", "#map"))
    assert min(image["width"], plane_["width"]) > 100
    assert image["y"] + image["height"] < 1400


def test_features_are_told_in_their_units(show: Any) -> None:
    model = make_model(3, shape=(1, 4, 1), scaler="standardize")
    by = Standardization(np.array([1.0, -5, 1e6, 0]), np.array([1.0, 2, 1e5, 0]))
    model = replace(model, standardization=by)
    page = show(model)
    latents = RNG.normal(0, 3, (5, 3))
    np.testing.assert_allclose(decoded(page, latents), model.decode(latents), rtol=3e-3, atol=3e-3)
    lines = page.locator("#values").inner_text().splitlines()
    assert [line.split(":")[0] for line in lines] == [f"feature {k}" for k in range(4)]


@pytest.mark.parametrize(
    "model",
    [
        make_model(n=0),
        replace(make_model(), labels=None, val_labels=None),
        replace(make_model(), val_latents=np.zeros((0, 2), np.float32), val_labels=None),
        replace(make_model(), latents=np.ones((300, 2), np.float32)),
        replace(make_model(), labels=np.full(300, 2**31 - 1, np.int32)),
    ],
    ids=["no latents", "no labels", "no validation", "all latents alike", "a vast label"],
)
def test_what_is_missing_is_no_hindrance(show: Any, model: Model) -> None:
    page = show(model)
    latents = RNG.normal(0, 1, (3, 2))
    want = model.decode(latents).reshape(3, -1)
    np.testing.assert_allclose(decoded(page, latents), want, atol=HALF)


def test_only_scripts_of_the_page_run_and_nothing_is_loaded(chromium: Any, tmp_path: Path) -> None:
    model = make_model()
    path = write_model_page(model, tmp_path / "page.html", title="Digits")
    again = write_model_page(model, tmp_path / "again.html", title="Digits")
    assert again.read_bytes() == path.read_bytes()
    intruder = (
        "<script>document.title = 'intruder'</script>"
        "<img src='https://example.org/x' onerror='document.title = 1'>"
    )
    path.write_text(path.read_text().replace("<main", intruder + "<main", 1))
    page, refused = open_tab(chromium, 1280, 800), []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(path.as_uri())
    settle(page)
    assert page.title() == "Digits"
    assert sum("Content Security Policy" in words for words in refused) >= 2
    page.close()


def test_the_nearest_image_is_named(show: Any) -> None:
    names = np.array([f"<b>/{k}.png" for k in range(300)], object)
    model = replace(make_model(), names=names, val_names=np.arange(50) + 1000)
    film = [Frame(1, model.latents[choose_rows("train", 300, 2)] * 0, model.val_latents * 0)]
    page = show(model, film=[*film, Frame(2, model.latents, model.val_latents)])
    page.locator("input[data-layer=val]").click()
    for k in (17, 299):
        page.evaluate("(z) => window.autodecoder.moveTo(z)", model.latents[k].tolist())
        settle(page)
        found = told(page)
        assert found["Image"] == f"train:{k} · <b>/{k}.png"
        assert found["Class"] == str(k % 3)
        assert float(found["Distance on the map"]) < 1e-3
    page.locator("input[data-layer=train]").click()
    page.locator("input[data-layer=val]").click()
    page.evaluate("(z) => window.autodecoder.moveTo(z)", model.val_latents[7].tolist())
    settle(page)
    assert told(page)["Image"] == "val:7 · 1007"
    page.locator("#film").fill("0")
    page.evaluate("() => window.autodecoder.moveTo([0, 0])")
    settle(page)
    assert told(page)["Image"].startswith("val:"), "where all of them began"


def test_an_image_without_a_name_has_its_number(show: Any) -> None:
    model = replace(make_model(), val_latents=np.zeros((0, 2), np.float32), val_labels=None)
    page = show(replace(model, names=np.arange(300)))
    assert page.locator("input[data-layer=val]").count() == 0
    page.evaluate("(z) => window.autodecoder.moveTo(z)", model.latents[5].tolist())
    settle(page)
    assert told(page)["Image"] == "train:5"
    page.evaluate("() => window.autodecoder.moveTo([1000, 1000])")
    settle(page)
    assert told(page) == {"Nearest image": "none within reach"}


def make_dataset(model: Model) -> Dataset:
    """Images that the model was trained on, as it were: each has its number in its pixels."""
    sets = []
    for latents, labels in ((model.latents, model.labels), (model.val_latents, model.val_labels)):
        n = len(latents)
        images = np.broadcast_to(np.arange(n).reshape(-1, 1, 1, 1) % 250, (n, *model.image_shape))
        sets.append(ImageSet(images.astype(np.uint8), np.asarray(labels)))
    return Dataset("numbers", sets[0], sets[1], ("a", "b", "c"))


def test_originals_and_errors_travel(show: Any) -> None:
    model = make_model()
    dataset = make_dataset(model)
    page = show(model, dataset=dataset)
    loss = ((2 * dataset.train.images / 255 - 1 - (2 * model.decode(model.latents) - 1)) ** 2).mean(
        (1, 2, 3)
    )
    for k in (3, 120):
        page.evaluate("(z) => window.autodecoder.moveTo(z)", model.latents[k].tolist())
        settle(page)
        page.wait_for_function("() => document.getElementById('original').width === 5")
        page.wait_for_timeout(100)
        settle(page)
        found = told(page)
        name = found["Image"]
        number = int(name.split(":")[1])
        assert name == f"train:{k}" or (name.startswith("val:") and number == k)
        assert abs(np.median(pixels(page, "#original")) - k % 250) < 8, "apart from its edges"
        error, unit = found["Mean squared error"].split(" ", 1)
        assert unit == "(pixels from −1 to 1)"
        assert float(error) == pytest.approx(loss[k], rel=0.01)
        want = np.rint(255 * model.decode(model.latents[k : k + 1])[0])
        np.testing.assert_allclose(pixels(page, "#reconstruction")[..., :1], want, atol=4)


def test_few_originals_in_little_room() -> None:
    model = make_model(n=3000, shape=(28, 28, 1))
    noise = RNG.integers(0, 255, (3000, 28, 28, 1)).astype(np.uint8)
    images = ImageSet(noise, np.zeros(3000, int))
    none = images.take(np.zeros(0, int))
    rows = point_rows(model, Dataset("noise", images, none, ("a",)))
    assert len(rows["val"][1]) == 0, "there are latents, but no images"
    packed = pack_originals(rows, most_bytes=700_000)
    part = packed["sets"]["train"]
    sizes = [len(base64.b64decode(sheet)) for sheet in part["sheets"]]
    assert 300_000 < sum(sizes) <= 700_000
    assert part["n"] == len(sizes) * packed["per_sheet"] < 3000
    listed = np.frombuffer(base64.b64decode(part["rows"]), "<u4")
    np.testing.assert_array_equal(listed, rows["train"][1][: part["n"]])
    with Image.open(io.BytesIO(base64.b64decode(part["sheets"][0]))) as sheet:
        copy = np.asarray(sheet.convert("L")).astype(float)
    height, width = packed["size"]
    k = packed["columns"] + 1  # the second of the second row
    found = copy[height : 2 * height, width : 2 * width]
    assert np.corrcoef(found.ravel(), noise[listed[k], ..., 0].ravel())[0, 1] > 0.5


def test_points_are_selected_and_their_names_saved(show: Any, tmp_path: Path) -> None:
    names = np.array([f'a "{k}",\nb' for k in range(300)], object)
    model = replace(make_model(), names=names)
    page = show(model, dataset=make_dataset(model))
    box = page.locator("#map").bounding_box()
    page.click("button[data-mode=box]")
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    settle(page)
    left, right, bottom, top = page.evaluate(
        "() => { const b = window.autodecoder.map.root.getBoundingClientRect();"
        "const at = (x, y) => window.autodecoder.map.toPlane("
        "{ clientX: b.left + x * b.width, clientY: b.top + y * b.height });"
        "const [a, c] = [at(0.3, 0.3), at(0.6, 0.7)]; return [a[0], c[0], c[1], a[1]] }"
    )
    wanted = {
        (of, k)
        for of, latents in (("train", model.latents), ("val", model.val_latents))
        for k, (x, y) in enumerate(latents)
        if left < x < right and bottom < y < top
    }
    with page.expect_download() as download:
        page.click("#selection-csv")
    with Path(download.value.path()).open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = {(line["set"], int(line["index"])) for line in lines}
    assert len(found ^ wanted) <= 2, "up to those on the edge"
    assert all(
        line["name"] == names[int(line["index"])] for line in lines if line["set"] == "train"
    )
    assert page.locator("#selection-images canvas").count() == len(lines)
    assert page.locator("#selection-count").inner_text() == f"Selected: {len(lines)} images"
    page.keyboard.press("Escape")
    page.locator("#map").focus()
    page.keyboard.press("Escape")
    assert page.locator("#selection").is_hidden()


def test_an_image_is_found_by_its_name(show: Any) -> None:
    names = np.array([f"cats/{k}.png" for k in range(300)], object)
    page = show(replace(make_model(), names=names))
    for text, n in (("train:7", None), ("cats/77.png", 1), ("nowhere", 0)):
        page.fill("#search", text)
        results = page.locator("#results button")
        assert n is None or results.count() == n
    page.fill("#search", "CATS/77")
    page.keyboard.press("Enter")
    settle(page)
    assert told(page)["Image"] == "train:77 · cats/77.png"


def test_further_columns_are_shown_found_and_saved(show: Any) -> None:
    sites = np.array(["<b>North</b>", "", "south\nwest"] * 100, object)
    ages = np.array([str(k) for k in range(300)], object)
    model = replace(
        make_model(), columns={"site": sites, "mse": ages}, val_columns={"x": sites[:50]}
    )
    page = show(model)
    page.locator("input[data-layer=val]").click()
    for k in (0, 1, 17):
        page.evaluate("(z) => window.autodecoder.moveTo(z)", model.latents[k].tolist())
        settle(page)
        found = told(page)
        assert found["Image"] == f"train:{k}"
        assert found["mse"] == str(k)
        assert found.get("site") == (sites[k].replace("\n", " ") or None)
        assert "x" not in found
    page.fill("#search", "NORTH")
    results = page.locator("#results button:not(.more)").all_inner_texts()
    assert len(results) == 12
    assert page.locator("#results .more").inner_text() == "More (12 of 117 shown)"
    page.locator("#results .more").click()
    assert page.locator("#results button:not(.more)").count() == 112
    assert all(int(text.split(":")[1].split(" ")[0]) % 3 == 0 for text in results)
    page.keyboard.press("Escape")
    page.locator("#save-map summary").click()
    with page.expect_download() as download:
        page.click("button[data-still=csv]")
    with Path(download.value.path()).open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [*lines[0]][-5:] == ["x", "y", "site", "mse_2", "x_2"]
    for line in lines:
        k = int(line["index"])
        of_train = (sites[k], str(k), "") if line["set"] == "train" else ("", "", sites[k])
        assert (line["site"], line["mse_2"], line["x_2"]) == of_train


def test_many_columns_are_scrolled_beside_the_map(show: Any) -> None:
    columns = {f"column {k}": np.full(300, f"{k} " * 500, object) for k in range(32)}
    model = replace(make_model(), columns=columns)
    page = show(model)
    page.evaluate("(z) => window.autodecoder.moveTo(z)", model.latents[3].tolist())
    settle(page)
    assert len(told(page)) == 32 + 4
    box = page.locator("#point").bounding_box()
    assert box["height"] < 400
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280


def test_columns_beyond_a_size_do_not_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([f"{k:0100}" for k in range(300)], object)
    short = np.array(["a", "b", ""] * 100, object)
    model = replace(make_model(), columns={"long": words, "short": short}, val_columns={})
    packed = known.pack_columns(model)
    assert ([one["name"] for one in packed["columns"]], packed["left_out"]) == (
        ["long", "short"],
        [],
    )
    of = packed["columns"][1]["sets"]["train"]
    codes = np.frombuffer(base64.b64decode(of["codes"]), "<u2")
    assert [of["values"][k] for k in codes] == short.tolist()
    monkeypatch.setattr(known, "_MOST_OF_COLUMNS", 3000)
    packed = known.pack_columns(model)
    assert ([one["name"] for one in packed["columns"]], packed["left_out"]) == (["short"], ["long"])
    told_text = "The column long is too large to travel with this page."
    assert told_text in model_page(model)


def test_columns_of_very_many_values_travel(show: Any) -> None:
    n = 2**16 + 10
    latents = RNG.normal(0, 2, (n, 2)).astype(np.float32)
    values = np.array([str(k) for k in range(n)], object)
    model = replace(make_model(), latents=latents, labels=None, columns={"of": values})
    assert known.pack_columns(model)["columns"][0]["sets"]["train"]["bits"] == 32
    page = show(model)
    page.fill("#search", str(n - 1))
    assert page.evaluate(
        "() => { const { points } = window.autodecoder.map, set = points.set('train');"
        "return [...set.rows.keys()].every((k) => points.values(set, k)[0] === `${set.rows[k]}`) }"
    )


def test_a_click_holds_the_nearest_image(show: Any) -> None:
    names = np.array([f"cats/{k}.png" for k in range(300)], object)
    model = replace(make_model(), names=names, val_latents=np.zeros((0, 2)), val_labels=None)
    model.latents[8] = model.latents[9]
    page = show(model)
    page.evaluate("() => { window.said = ''; navigator.clipboard.writeText = async (t) => {"
                  " window.said = t } }")  # fmt: skip
    at = "k => { const m = window.autodecoder.map, s = m.sets[0];" \
         "const i = [...s.rows].indexOf(k), b = m.root.getBoundingClientRect();" \
         "const [x, y] = m.toScreen(m.placeOfPoint({ set: s, k: i }));" \
         "return [b.x + x / m.ratio, b.y + y / m.ratio] }"  # fmt: skip
    page.mouse.click(*page.evaluate(at, 17))
    settle(page)
    name = told(page)["Image"]
    assert page.locator("#copy-name").is_visible()
    page.mouse.move(*page.evaluate(at, 200))
    settle(page)
    assert told(page)["Image"] == name, "the next image crossed does not replace it"
    page.click("#copy-name")
    assert page.evaluate("window.said") == name.split(" · ")[1]
    page.click("#release")
    assert page.locator("#copy-name").is_hidden()
    page.mouse.move(*page.evaluate(at, 200))
    settle(page)
    assert told(page)["Image"] != name
    page.mouse.click(*page.evaluate(at, 9))
    settle(page)
    assert told(page)["At this place"] == "2 images here"
    page.get_by_text("Copy 2 names").click()
    assert set(page.evaluate("window.said").split("\n")) == {"cats/8.png", "cats/9.png"}
    page.locator("#map").focus()
    page.keyboard.press("Escape")
    assert page.locator("#copy-name").is_hidden()


def test_images_are_found_by_their_class(show: Any) -> None:
    names = np.array([f"{k}.png" for k in range(300)], object)
    names[4] = "bag.png"
    page = show(replace(make_model(class_names=["Bag", "Sandal", "Sneaker"]), names=names))
    page.fill("#search", "bag")
    results = page.locator("#results button").all_inner_texts()
    assert results[0].startswith("train:4 · bag.png · Sandal"), "a name comes before a class"
    assert all(line.endswith("· Bag") for line in results[1:12])
    assert results[-1] == "More (12 of 118 shown)"
    page.locator("#results .more").click()
    assert page.locator("#results button").count() == 113


def test_the_rows_of_a_file_are_told_as_such(show: Any) -> None:
    model = replace(make_model(), names=np.arange(300) + 18000)
    for about, want in (({}, "18005"), ({"settings": {}}, "row 18005 of the file")):
        page = show(replace(model, about=about))
        page.locator("input[data-layer=val]").click()
        page.evaluate("(z) => window.autodecoder.moveTo(z)", model.latents[5].tolist())
        settle(page)
        assert told(page)["Image"] == f"train:5 · {want}"


def test_very_many_classes_have_names_but_no_colours(show: Any) -> None:
    labels = np.arange(300, dtype=np.int32)
    names = [f"class {k}" for k in range(300)]
    page = show(replace(make_model(class_names=names), labels=labels, val_labels=labels[:50]))
    assert (
        "300 classes: colours and legend are left out above 100."
        in page.locator(".legend").inner_text()
    )
    assert page.locator("input[data-class]").count() == 0
    page.fill("#search", "train:250")
    page.keyboard.press("Enter")
    settle(page)
    assert told(page)["Class"] == "class 250"
    page.locator("#save-map summary").click()
    with page.expect_download() as download:
        page.click("button[data-still=csv]")
    with Path(download.value.path()).open(newline="") as file:
        assert {line["class"] for line in csv.DictReader(file)} == set(names)


def test_a_page_without_a_decoder_says_why(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "count_cost", lambda _model: None)
    page = show(make_model())
    reason = page.locator("#why-not").inner_text()
    assert reason == (
        "Your decoder is Python code, so this page cannot run it. Decoded images are in the "
        "figures below."
    )
    assert page.locator("#decoded").count() == 0
    assert page.get_by_text("Decoded at the cross").count() == 0
    assert not drop(page, b"any", "mine.png"), "the browser does not leave the page"
    assert page.locator(".toast").inner_text() == "This page cannot place images."


def drop(page: Any, content: bytes, name: str) -> bool:
    """Drop a file on the page; returns whether the browser would open it."""
    return page.evaluate(
        "([bytes, name]) => { const data = new DataTransfer();"
        "data.items.add(new File([Uint8Array.from(bytes)], name));"
        "return document.dispatchEvent(new DragEvent('drop', { dataTransfer: data,"
        " cancelable: true })) }",
        [list(content), name],
    )


def test_a_truncated_file_is_refused(show: Any) -> None:
    page = show(make_model())
    noise = Image.fromarray(RNG.integers(0, 255, (90, 80, 3), np.uint8))
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        content = io.BytesIO()
        noise.save(content, kind)
        for part, want in ((content.getvalue(), "Mean squared"), (content.getvalue()[:-300], kind)):
            page.evaluate("() => document.getElementById('found').textContent = ''")
            drop(page, part, kind)
            page.wait_for_function(
                "want => document.getElementById('found').textContent.startsWith(want)", arg=want
            )
        assert page.locator("#found").inner_text() == f"{kind} is damaged: its end is missing."
        assert page.locator("#placed").is_hidden()


def test_pictures_are_scaled_as_in_python(show: Any) -> None:
    for shape, size in (((6, 5, 1), (80, 90)), ((8, 8, 3), (31, 20))):
        page = show(make_model(shape=shape))
        noise = RNG.integers(0, 255, (size[1], size[0], 3), np.uint8)
        content = io.BytesIO()
        Image.fromarray(noise).save(content, "PNG")
        want = np.empty(shape, np.uint8)
        decode_image(io.BytesIO(content.getvalue()), shape[:2], want)
        drop(page, content.getvalue(), "mine.png")
        page.wait_for_function(
            "() => document.getElementById('found').textContent.startsWith('Mean squared')"
        )
        found = pixels(page, "#given")[..., : shape[2]]
        np.testing.assert_allclose(found, want, atol=1)
        assert page.locator("#given-name").inner_text() == "mine.png"


def test_the_colours_follow_the_scheme(show: Any) -> None:
    history = {"loss": np.array([0.5, 0.25], np.float32)}
    labels = np.arange(300, dtype=np.int32) % 10
    page = show(replace(make_model(), labels=labels, history=history))
    for scheme in ("light", "dark"):
        want = page_colours(10)[scheme]
        dots = page.locator(".classes .dot").evaluate_all(
            "all => all.map(d => getComputedStyle(d).backgroundColor)"
        )
        rgb = [tuple(int(c[k : k + 2], 16) for k in (1, 3, 5)) for c in want]
        assert dots == [f"rgb({r}, {g}, {b})" for r, g, b in rgb]
        drawn = page.evaluate("() => window.autodecoder.map.points.colours")
        assert [tuple(c) for c in drawn] == rgb
        stroke = page.locator("#curves path.curve").get_attribute("stroke")
        assert stroke.upper() == want[0].upper()
        page.click("#theme")


def test_the_metric_is_chosen_on_a_phone(show: Any) -> None:
    losses = np.array([0.5, 0.25], np.float32)
    page = show(replace(make_model(), history={"loss": losses, "val_loss": losses}), 390)
    select, box = (page.locator(name).bounding_box() for name in ("[name=metric]", "#curves .row"))
    assert box["x"] <= select["x"]
    assert select["x"] + select["width"] <= box["x"] + box["width"] + 1
    top = page.locator("[name=metric]").evaluate(
        "s => { s.scrollIntoView(); const b = s.getBoundingClientRect();"
        "return document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2) === s }"
    )
    assert top


def test_zooming_keeps_the_old_picture_until_the_new_one_is_decoded(show: Any) -> None:
    page = show(make_model())
    page.wait_for_function("() => window.autodecoder.map.backdrop.last !== null")
    settle(page)
    blank = page.evaluate(
        "() => { const { map } = window.autodecoder; map.zoomBy(4); map.draw();"
        "const c = map.belowCanvas, d = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        "let n = 0; for (let p = 3; p < d.data.length; p += 4) n += d.data[p] === 0;"
        "return n / (c.width * c.height) }"
    )
    assert blank < 0.5


def test_an_image_is_placed_in_the_page(show: Any) -> None:
    model = make_model(arch=(32, 64), shape=(8, 8, 1))
    page = show(model)
    images = np.rint(255 * model.decode(RNG.normal(0, 2, (6, 2)))).astype(np.uint8)
    found = model.infer(images)
    for k, image in enumerate(images):
        content = io.BytesIO()
        Image.fromarray(image[..., 0]).save(content, "PNG")
        page.evaluate(
            "bytes => { const data = new DataTransfer();"
            "data.items.add(new File([Uint8Array.from(bytes)], 'mine.png', {type: 'image/png'}));"
            "document.dispatchEvent(new DragEvent('drop',"
            " { dataTransfer: data, cancelable: true })) }",
            list(content.getvalue()),
        )
        page.wait_for_function(
            "() => document.getElementById('found').textContent.startsWith('Mean squared')"
        )
        np.testing.assert_allclose(pixels(page, "#given")[..., :1], image, atol=1)
        error = float(page.locator("#found").inner_text().split()[3].strip(","))
        assert error < 1.02 * found.errors.loss[k] + 1e-5
        page.evaluate("() => document.getElementById('found').textContent = ''")
    page.evaluate(
        "() => { const data = new DataTransfer(); data.items.add(new File(['no'], 'notes.txt'));"
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true })) }"
    )
    page.wait_for_function(
        "() => document.getElementById('found').textContent.startsWith('notes.txt is not an image')"
    )


def test_the_map_is_moved_and_zoomed(show: Any) -> None:
    page = show(make_model())
    box = page.locator("#map").bounding_box()
    view = "() => window.autodecoder.map.view"
    spot = [round(box[side] + 0.4 * box[size]) for side, size in (("x", "width"), ("y", "height"))]
    page.mouse.move(*spot)
    under = "([x, y]) => window.autodecoder.map.toPlane({ clientX: x, clientY: y })"
    before = page.evaluate(under, spot)
    page.mouse.wheel(0, -300)
    page.wait_for_function("() => window.autodecoder.map.zoom > 2")
    np.testing.assert_allclose(page.evaluate(under, spot), before, atol=1e-6)
    page.mouse.down()
    page.mouse.move(spot[0] + 80, spot[1] + 50, steps=4)
    page.mouse.up()
    np.testing.assert_allclose(
        page.evaluate(under, (spot[0] + 80, spot[1] + 50)), before, atol=1e-2
    )
    assert page.locator("#pins canvas").count() == 0, "a drag keeps nothing"
    page.click("button[data-zoom='0']")
    assert page.evaluate("() => window.autodecoder.map.zoom") == 1
    left, right, bottom, top = page.evaluate(view)
    seen = page.evaluate("() => window.autodecoder.map.plane.view")
    within = 1e-9  # up to rounding
    assert left - within <= seen[0] < seen[1] <= right + within
    assert bottom - within <= seen[2] < seen[3] <= top + within


def test_figures_and_the_map_are_saved(show: Any) -> None:
    classes = ["a & <b>", "(c)", "caf\u00e9"]
    model = replace(
        make_model(class_names=classes), history={"loss": np.array([0.5, 0.25], np.float32)}
    )
    page = show(model)
    page.locator("#save-map summary").click()
    saved = {}
    for kind in ("png", "csv", "svg", "pdf"):
        with page.expect_download() as download:
            page.click(f"button[data-still={kind}]")
        saved[kind] = Path(download.value.path()).read_bytes()
    assert saved["png"].startswith(b"\x89PNG")
    lines = list(csv.DictReader(io.StringIO(saved["csv"].decode())))
    assert len(lines) == 350
    one = next(line for line in lines if (line["set"], line["index"]) == ("train", "7"))
    place = [float(one["x"]), float(one["y"])]
    np.testing.assert_allclose(place, model.latents[7], atol=1e-3)
    assert one["class"] == classes[7 % 3]
    drawing = ElementTree.fromstring(saved["svg"])
    texts = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {*classes, "latent dimension 1", "latent dimension 2"} <= texts
    dots = "".join(e.get("d", "") for e in drawing.iter("{http://www.w3.org/2000/svg}path"))
    assert dots.count("h0") == 350
    start = int(saved["pdf"].split(b"startxref")[1].split()[0])
    assert saved["pdf"][start:].startswith(b"xref")
    assert saved["pdf"].count(b" l S") == 350 + 3 + dots.count("L")
    for kind in ("svg", "csv"):
        with page.expect_download() as download:
            page.click(f"button[data-curves={kind}]")
        content = Path(download.value.path()).read_text()
        assert "0.25" in content if kind == "csv" else "<svg" in content
    with page.expect_download() as download:
        page.locator("button[data-picture]").first.click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_pdf_has_names_of_all_scripts(show: Any) -> None:
    classes = ["Кошки", "Ελλάδα", "plain"]
    page = show(make_model(class_names=classes))
    page.locator("#save-map summary").click()
    with page.expect_download() as download:
        page.click("button[data-still=pdf]")
    content = Path(download.value.path()).read_bytes()
    start = int(content.split(b"startxref")[1].split()[0])
    entries = content[start:].splitlines()[2:]
    n = int(content[start:].splitlines()[1].split()[1])
    for k, entry in enumerate(entries[1:n], 1):
        assert content[int(entry.split()[0]) :].startswith(f"{k} 0 obj".encode())
    assert content.count(b"/Subtype /Image") == 2, "the font of the file lacks these letters"
    assert b"(plain)" in content
    assert b"??" not in content
    for part in content.split(b"/Subtype /Image")[1:]:
        head, _, rest = part.partition(b"stream\n")
        size = int(head.split(b"/Length ")[1].split()[0])
        grey = np.frombuffer(rest[:size], np.uint8)
        assert 0.02 < (grey < 128).mean() < 0.6, "letters on white"


def test_light_and_dark(show: Any) -> None:
    page = show(make_model())
    paper = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) != light
    assert page.locator("#theme").inner_text() == "Light"


def test_axe_finds_no_fault(show: Any) -> None:
    model = make_model(class_names=["cats", "dogs", "mice"])
    losses = np.array([0.5, 0.25], np.float32)
    film = [Frame(k, model.latents * k, model.val_latents * k) for k in (0, 1)]
    model = replace(model, history={"loss": losses, "val_loss": losses})
    page = show(model, film=film, dataset=make_dataset(model), evaluation=make_evaluation())
    for folded in page.locator(".column summary").all():
        folded.click()
    assert page.locator("#evaluation").get_by_text("<b>animals</b>").is_visible()
    settle(page)
    assert faults(page, {"minor", "moderate"}) == []
    page.click("#theme")
    settle(page)
    assert faults(page, {"minor", "moderate"}) == []


def test_the_map_lets_a_page_scroll_by_touch(chromium: Any, tmp_path: Path) -> None:
    path = write_model_page(make_model(), tmp_path / "page.html")
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(path.as_uri())
    box = page.locator("#map").bounding_box()
    session = context.new_cdp_session(page)
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.7 * box["height"]
    for k in range(11):
        finger = [{"x": x, "y": y - 25 * k}]
        kind = "touchMove" if k else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": finger})
        page.wait_for_timeout(20)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("() => window.scrollY > 100")
    assert page.evaluate("() => window.autodecoder.map.zoom") == 1
    box = page.locator("#map").bounding_box()
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.6 * box["height"]
    page.touchscreen.tap(x, y)
    settle(page)
    assert page.locator("#pins canvas").count() == 1, "a tap keeps the image"
    touch = {"x": x, "y": y, "gestureSourceType": "touch"}
    session.send("Input.synthesizePinchGesture", {**touch, "scaleFactor": 2})
    settle(page)
    assert page.evaluate("() => window.autodecoder.map.zoom") > 1.3
    assert page.evaluate("() => window.visualViewport.scale") == pytest.approx(1, abs=0.05)
    context.close()


def test_names_beyond_a_size_do_not_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(make_model(), names=np.arange(300) + 1, val_names=np.arange(50))
    numbers = list(range(1, 301))
    assert known.pack_names(model) == {"train": numbers, "val": None}, "which tell nothing more"
    monkeypatch.setattr(known, "_MOST_NAMED", 700)
    assert known.pack_names(model) == {"train": None, "val": None}


@pytest.mark.slow
def test_a_decoder_too_large_to_travel_is_told(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "MOST_WEIGHTS", 100)
    model = make_model()
    film = [
        Frame(epoch, model.latents * epoch / 9, model.val_latents * epoch / 9) for epoch in (1, 5)
    ]
    page = show(model, film=film)
    assert "too many for a page" in page.locator("main").inner_text()
    titles = page.locator("h2").all_inner_texts()
    assert "Images on the latent plane" in titles, "as a picture"
    assert page.locator("#decoded").is_hidden()
    assert page.locator("input[data-below]").count() == 0
    settle(page)
    before = dots(page)
    page.locator("#film").fill("0")
    settle(page)
    assert (dots(page) != before).any(), "where latents were on the way"
    page.locator("input[data-class]").first.click()
    settle(page)
    page.locator("#map").click()
    assert page.locator("#pins").count() == 0


def test_a_page_is_whole_or_absent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be"):
        write_model_page(make_model(), tmp_path / "file" / "page.html")
    packed = plane.pack_model(make_model())
    assert json.loads(json.dumps(packed, allow_nan=False)) == packed


def test_a_picture_that_a_study_links_to_is_not_shown(tmp_path: Path) -> None:
    """A study of a stranger could put a private picture into a page that is then published."""
    (tmp_path / "report").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "private.png")
    Image.new("L", (2, 2)).save(tmp_path / "report" / "errors.png")
    (tmp_path / "report" / "loss_curves.png").symlink_to(tmp_path / "private.png")
    assert [picture.name for picture in _read_pictures(tmp_path / "report")] == ["errors"]
