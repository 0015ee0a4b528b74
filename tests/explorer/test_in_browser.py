"""The explorer in Chromium: what a user does with pointer, finger and keys."""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.explorer.models import MODELS
from tests.report.browser import browser, dots, faults, open_tab, pixels, told
from tests.report.test_page import HALF, RNG, make_dataset, make_model

from autodecoder.data import Dataset
from autodecoder.explorer import Explorer, Shelf, create_app, listen, open_server
from autodecoder.model import Model
from autodecoder.model.tables import Standardization
from autodecoder.report import plane

LATENT = "() => window.explorer.latent()"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def explore(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens the explorer of a model; when the test ends, nothing has come from outside the machine,
    and the console holds no error but those of requests that were to be refused."""
    with ExitStack() as stack:
        wrong: list[str] = []

        def open_page(
            model: Model,
            width: int = 1440,
            *,
            told: str = "nothing",
            dataset: Dataset | None = None,
        ) -> Any:
            latents = np.random.default_rng(1).normal(size=(9, model.latent_dims))
            images = model.decode(latents)
            if model.standardization is None:
                images = np.rint(255 * images).astype(np.uint8)
            shelves = {"validation": Shelf(images, np.arange(9) % 3)}
            app = create_app(Explorer(model, shelves, dataset), title="Digits <1>")
            server = stack.enter_context(open_server(app, listen()))
            page = open_tab(chromium, width, 1000)
            stack.callback(page.close)

            def note(message: Any) -> None:
                if message.type == "error" and told not in message.text:
                    wrong.append(message.text)

            page.on("console", note)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            own = (f"http://127.0.0.1:{server.port}/", "data:", "blob:")
            page.on("request", lambda r: r.url.startswith(own) or wrong.append(r.url))
            page.goto(own[0])
            return page

        yield open_page
        assert wrong == []


def settle(page: Any) -> None:
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def move(page: Any, across: float, down: float) -> None:
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    settle(page)


def assert_shown(page: Any, model: Model, canvas: str = "decoded") -> None:
    want = 255 * model.decode([page.evaluate(LATENT)])[0]
    want = np.broadcast_to(want, (*want.shape[:2], 3))
    np.testing.assert_allclose(pixels(page, f"#{canvas}"), want, atol=1 + 255 * HALF)


def found(page: Any, before: str = "") -> str:
    """What is said of a placed image, once it is another than before, and all is shown of it."""
    page.wait_for_function(
        "before => ![before, ''].includes(document.getElementById('found').textContent)", arg=before
    )
    page.wait_for_function("() => !document.querySelector('#placing[aria-busy]')")
    settle(page)
    return page.locator("#found").inner_text()


@pytest.mark.parametrize("at_hand", [True, False], ids=["in the page", "by the server"])
def test_hover_decodes(explore: Any, monkeypatch: pytest.MonkeyPatch, at_hand: bool) -> None:
    if not at_hand:
        monkeypatch.setattr(plane, "MOST_WEIGHTS", 10)
    model = make_model()
    page = explore(model)
    page.wait_for_function("() => document.getElementById('decoded').width === 5")
    seen = []
    for spot in ((0.3, 0.4), (0.8, 0.2)):
        before = page.evaluate("() => document.getElementById('decoded').toDataURL()")
        move(page, *spot)
        if not at_hand:  # it takes as long as the server does
            page.wait_for_function(
                "b => document.getElementById('decoded').toDataURL() !== b", arg=before
            )
        assert_shown(page, model)
        seen.append(page.evaluate(LATENT))
    assert seen[0] != seen[1]
    assert page.evaluate("async () => (await window.explorer.decodeAll([[0, 1]]))[0].length") == 30


def test_the_map_is_never_blank(explore: Any) -> None:
    model = make_model(3, n=3000)
    model.latents[5] = 300
    page = explore(model, 390)
    page.wait_for_function("() => document.getElementById('decoded').width === 5")
    settle(page)  # what is under way needs its frames
    page.evaluate("() => { window.requestAnimationFrame = () => 0 }")
    for width in (1440, 800):
        before = page.evaluate("() => document.querySelector('canvas.dots').width")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "b => document.querySelector('canvas.dots').width !== b", arg=before, polling=50
        )
        assert dots(page)[..., 3].any()


@pytest.mark.thorough
def test_points_outside_of_the_plane_are_told(explore: Any) -> None:
    model = make_model(3, n=3000)
    model.latents[1500, 2] = 300
    page = explore(model)
    page.select_option("#basis", "dimensions")
    missing = page.locator("#missing")
    missing.wait_for(state="hidden")
    page.fill("#up", "3")
    page.locator("#up").press("Enter")
    missing.wait_for()
    assert missing.inner_text().endswith(": 1 training.")


@pytest.mark.thorough
def test_pins_and_the_way_between_them(explore: Any) -> None:
    model = make_model()
    page = explore(model)
    places = []
    for spot in ((0.3, 0.4), (0.8, 0.2)):
        move(page, *spot)
        page.mouse.down()
        page.mouse.up()
        places.append(page.evaluate(LATENT))
        page.wait_for_timeout(50)
    assert page.locator("#pins .pin").count() == 2
    page.evaluate("() => document.getElementById('position').focus()")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    np.testing.assert_allclose(page.evaluate(LATENT), np.mean(places, axis=0), atol=1e-5)
    page.click("#play")
    moved = []
    for _ in range(3):
        page.wait_for_timeout(120)
        moved.append(tuple(page.evaluate(LATENT)))
    assert len(set(moved)) == 3
    move(page, 0.5, 0.5)
    assert page.locator("#play").inner_text() == "Play", "the user takes over"
    still = page.evaluate(LATENT)
    page.wait_for_timeout(150)
    assert page.evaluate(LATENT) == still
    page.locator("#pins button").first.click()
    settle(page)
    np.testing.assert_allclose(page.evaluate(LATENT), places[0])
    page.locator("#pins .gone").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#pins .pin").count() == 1
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "go to 2"
    assert page.locator("#between").is_hidden()


@pytest.mark.thorough
def test_a_drag_pins_nothing(explore: Any) -> None:
    page = explore(make_model())
    move(page, 0.2, 0.2)
    page.mouse.down()
    move(page, 0.7, 0.6)
    page.mouse.up()
    settle(page)
    assert page.locator("#pins .pin").count() == 0
    move(page, 0.5, 0.4)
    np.testing.assert_allclose(page.evaluate(LATENT), page.evaluate(
        "() => window.explorer.map.place"
    ), atol=1e-6)  # fmt: skip
    page.mouse.down()
    page.mouse.up()
    page.locator("#pins .pin").wait_for()


def test_a_validation_image_is_placed_before_ones_eyes(explore: Any) -> None:
    model = make_model()
    page = explore(model)
    page.click("#gallery button[data-index='4']")
    assert "mean squared error" in found(page)
    assert page.locator("#target-text").inner_text() == "validation 4, 1"
    assert_shown(page, model)
    assert_shown(page, model, "rebuilt")
    way = page.evaluate("() => window.explorer.map.way")
    assert len(way) > 1
    np.testing.assert_allclose(way[-1], page.evaluate(LATENT), atol=1e-6)
    image = pixels(page, "#target")
    assert np.abs(image.astype(int) - pixels(page, "#rebuilt")).mean() < 30


@pytest.mark.thorough
def test_what_is_hidden_is_filled_in(explore: Any) -> None:
    model = make_model()
    page = explore(model)
    page.click("#gallery button[data-index='4']")
    before = found(page)
    page.check("input[value=hide]")
    box = page.locator("#target").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.9 * box["height"], steps=4)
    page.mouse.up()
    assert "over what is seen" in found(page, before)
    seen = np.array(page.evaluate("() => Array.from(window.explorer.easel.seen)")).reshape(6, 5)
    assert not seen[2, 1]
    assert seen[:, 4].all()
    assert (pixels(page, "#target")[2, 1] == (86, 180, 233)).all()
    page.wait_for_function("() => !document.querySelector('#placing[aria-busy]')")
    assert_shown(page, model, "rebuilt")
    before = page.locator("#found").inner_text()
    page.click("#show-all")
    assert "over what is seen" not in found(page, before)


def test_a_drawing_is_placed(explore: Any) -> None:
    page = explore(make_model())
    page.click("#blank")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert "mean squared error" in found(page)
    drawn = pixels(page, "#target")
    assert drawn.max() > 200
    page.check("input[value=cross]")
    page.click("#again")
    page.check("input[value=eraser]")
    page.locator("#target").focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(100)
    assert page.evaluate("() => Math.max(...window.explorer.easel.values)") < 200


@pytest.mark.thorough
def test_a_file_is_placed(explore: Any, tmp_path: Path) -> None:
    model = make_model(shape=(6, 5, 3))
    page = explore(model, told="400")
    Image.fromarray(RNG.integers(0, 255, (60, 50, 3), np.uint8)).save(tmp_path / "mine.png")
    page.set_input_files("#file", tmp_path / "mine.png")
    found(page)
    assert page.locator("#target-text").inner_text() == "mine.png"
    assert_shown(page, model, "rebuilt")
    (tmp_path / "notes.png").write_text("no image at all")
    page.set_input_files("#file", tmp_path / "notes.png")
    message = page.locator("#message")
    message.wait_for()
    said = message.inner_text()
    assert said.startswith("notes.png: The file cannot be used: no image of a format that is read")
    assert page.locator("#placing").is_hidden(), "what was placed before is gone"
    with (tmp_path / "vast.png").open("wb") as file:
        file.truncate(200_000_000)
    page.evaluate("() => { document.getElementById('message').textContent = '' }")
    page.set_input_files("#file", tmp_path / "vast.png")
    page.wait_for_function("() => document.getElementById('message').textContent.includes('MB')")
    assert "vast.png: Files may have 20 MB at most" in message.inner_text()
    page.click("#any")
    page.wait_for_function("() => document.getElementById('message').hidden")
    assert page.locator("#target-text").inner_text().startswith("validation ")


def test_a_file_is_dropped(explore: Any) -> None:
    page = explore(make_model())
    content = io.BytesIO()
    Image.new("L", (5, 6), 255).save(content, "PNG")
    page.evaluate(
        "bytes => { const data = new DataTransfer();"
        "data.items.add(new File([Uint8Array.from(bytes)], 'dropped.png'));"
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true })) }",
        list(content.getvalue()),
    )
    found(page)
    assert page.locator("#target-text").inner_text() == "dropped.png"
    assert (pixels(page, "#target") == 255).all()


@pytest.mark.slow
def test_the_plane_is_seen_from_near(explore: Any) -> None:
    page = explore(make_model())
    views = "() => [window.explorer.map.view, window.explorer.map.plane.view]"
    at, spread = page.evaluate(views), lambda view: view[1] - view[0]
    full = at[0]
    assert full[0] <= at[1][0] < at[1][1] <= full[1]
    move(page, 0.7, 0.2)
    latent = page.evaluate(LATENT)
    before = dots(page)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -240)  # e-fold
    page.keyboard.up("Control")
    settle(page)
    near, whole = page.evaluate(views)
    assert spread(full) / spread(near) == pytest.approx(np.e)
    # The place below the pointer has stayed there, and points are where they belong.
    move(page, 0.7, 0.2)
    np.testing.assert_allclose(page.evaluate(LATENT), latent, atol=spread(full) / 500)  # a pixel
    assert (dots(page) != before).any()
    # By keys the cross leaves the part that is seen, which follows it, as far as the plane goes.
    page.focus("#map")
    for _ in range(60):
        page.keyboard.press("Shift+ArrowRight")
    settle(page)
    moved, _ = page.evaluate(views)
    assert moved[1] == pytest.approx(whole[1])
    assert spread(moved) == pytest.approx(spread(near))
    page.keyboard.press("+")
    assert spread(full) / spread(page.evaluate(views)[0]) == pytest.approx(2 * np.e)
    for _ in range(9):
        page.click("button[data-zoom='2']")
    assert spread(full) / spread(page.evaluate(views)[0]) == pytest.approx(200)
    page.click("button[data-zoom='0']")
    assert page.evaluate(views)[0] == pytest.approx(full)


@pytest.mark.thorough
def test_two_fingers_zoom(explore: Any) -> None:
    page = explore(make_model())
    page.evaluate(
        """() => {
          const map = window.explorer.map, box = map.root.getBoundingClientRect();
          const touch = (type, id, x, y) => map.root.dispatchEvent(new PointerEvent(type, {
            pointerId: id, pointerType: "touch", bubbles: true,
            clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
          touch("pointerdown", 5, 0.4, 0.5);
          touch("pointerdown", 6, 0.6, 0.5);
          window.before = map.toPlane({ clientX: box.left + 0.4 * box.width, clientY: box.top });
          touch("pointermove", 6, 0.7, 0.5);
          touch("pointermove", 6, 0.8, 0.5);
          window.after = map.toPlane({ clientX: box.left + 0.4 * box.width, clientY: box.top });
          window.near = map.zoom;
          touch("pointerup", 5, 0.4, 0.5);
          touch("pointerup", 6, 0.8, 0.5);
          touch("pointermove", 7, 0.1, 0.9);
        }"""
    )
    assert page.evaluate("() => window.near") == pytest.approx(2)
    before, after = page.evaluate("() => [window.before[0], window.after[0]]")
    assert after == pytest.approx(before)
    assert page.locator("#pins .pin").count() == 0


def test_new_images_are_drawn(explore: Any) -> None:
    model = make_model()
    page = explore(model)
    page.click("#draw")
    page.locator("#drawn button").nth(15).click()
    settle(page)
    assert_shown(page, model)


@pytest.mark.slow
def test_longer_latents_have_sliders_and_planes(explore: Any) -> None:
    model = make_model(4)
    page = explore(model, told="400")
    np.testing.assert_allclose(page.evaluate(LATENT), model.latents.mean(0), atol=1e-6)
    page.locator("#sliders input").nth(2).focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    settle(page)
    moved = np.array(page.evaluate(LATENT)) - model.latents.mean(0)
    assert moved[2] > 0.1 * model.latents[:, 2].std()
    np.testing.assert_allclose(np.delete(moved, 2), 0, atol=1e-6)
    page.select_option("#basis", "dimensions")
    page.fill("#up", "4")
    page.press("#up", "Enter")
    page.wait_for_function(
        "() => document.getElementById('axes').textContent.endsWith('latent dimension 4.')"
    )
    before = np.array(page.evaluate(LATENT))
    move(page, 0.2, 0.2)
    after = np.array(page.evaluate(LATENT))
    np.testing.assert_array_equal(before[1:3], after[1:3])
    assert (before[[0, 3]] != after[[0, 3]]).all()
    assert_shown(page, model)
    page.fill("#up", "1")
    page.press("#up", "Enter")
    page.locator("#message").wait_for()
    assert "two different whole numbers from 1 to 4" in page.locator("#message").inner_text()
    assert page.input_value("#up") == "4"
    move(page, 0.5, 0.3)
    assert_shown(page, model)


@pytest.mark.thorough
def test_what_is_seen_is_saved(explore: Any) -> None:
    model = make_model()
    page = explore(model)
    move(page, 0.3, 0.3)
    page.locator("#save-map summary").click()
    for button, size in (("button[data-still=png]", None), ("#save-image", (425, 510))):
        with page.expect_download() as download:
            page.click(button)
        with Image.open(download.value.path()) as picture:
            assert picture.format == "PNG"
            assert size is None or picture.size == size


@pytest.mark.thorough
@pytest.mark.parametrize("at_hand", [True, False], ids=["in the page", "by the server"])
def test_decoded_images_behind_the_points(
    explore: Any, monkeypatch: pytest.MonkeyPatch, at_hand: bool
) -> None:
    if not at_hand:
        monkeypatch.setattr(plane, "MOST_WEIGHTS", 10)
    page = explore(make_model())
    kept = "() => window.explorer.map.backdrop.kept.size"
    page.wait_for_function(f"() => ({kept})() > 50")
    settle(page)
    assert (pixels(page, "canvas.below") > 0).mean() > 0.3
    page.wait_for_timeout(500)
    before = page.evaluate(kept)
    page.click("#none")
    page.locator("input[data-layer]").first.click()
    settle(page)
    page.wait_for_timeout(300)
    assert page.evaluate(kept) == before, "boxes decode nothing anew"
    page.click("input[data-below]")
    settle(page)
    assert (pixels(page, "canvas.below") == 0).all()


def test_axe_finds_no_fault(explore: Any) -> None:
    model = make_model(3)
    page = explore(model, dataset=make_dataset(model))
    page.click("#gallery button[data-index='4']")
    found(page)
    page.click("#draw")
    page.locator("#drawn button").first.wait_for()
    assert faults(page, {"minor", "moderate"}) == []


def test_the_gallery_finds_images(explore: Any) -> None:
    model = make_model()
    page = explore(model, dataset=make_dataset(model))
    page.locator("#gallery button").nth(8).wait_for()
    assert page.locator("#gallery-count").inner_text() == "1 to 9 of 9"
    page.fill("#gallery-text", "7")
    page.wait_for_function("() => document.querySelectorAll('#gallery button').length === 1")
    page.click("#gallery button")
    found(page)
    assert page.locator("#target-text").inner_text() == "validation 7, 1"
    page.evaluate("(z) => window.explorer.setLatent(z)", model.latents[120].tolist())
    page.wait_for_function("() => document.getElementById('original').width === 5")
    assert told(page)["Image"] == "train:120"
    assert float(told(page)["Mean squared error"].split()[0]) > 0


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.slow
def test_models_of_all_kinds(explore: Any, make: Callable[[], Model]) -> None:
    model = make()
    page = explore(model)
    move(page, 0.3, 0.3)
    page.mouse.down()
    page.mouse.up()
    page.locator("#pins .pin").wait_for()
    page.click("#any")
    assert "mean squared error" in found(page)
    assert page.locator("#draw").is_disabled() == (len(model.latents) < 2)


@pytest.mark.thorough
def test_rows_of_a_table(explore: Any) -> None:
    by = Standardization(np.array([1.0, -5, 1e6, 0]), np.array([1.0, 2, 1e5, 1]))
    model = replace(make_model(shape=(1, 4, 1), scaler="standardize"), standardization=by)
    page = explore(model)
    page.click("#any")
    assert "mean squared error" in found(page)
    values = page.locator("#values").inner_text().splitlines()
    want = model.decode([page.evaluate(LATENT)])[0]
    got = [float(line.split(": ")[1]) for line in values]
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
    page.click("#keep")
    page.locator("#pins .pin").wait_for()


@pytest.mark.parametrize("width", [pytest.param(1440, marks=pytest.mark.thorough), 390])
def test_nothing_is_wider_than_the_page(explore: Any, width: int) -> None:
    page = explore(make_model(20, class_names=["a rather long name of a class"] * 3), width)
    page.click("#any")
    found(page)
    page.click("#draw")
    page.locator("#drawn button").first.wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    image, map_ = (page.locator(name).bounding_box() for name in ("#decoded", "#map"))
    assert min(image["width"], map_["width"]) > 100
    assert image["y"] + image["height"] < map_["y"] + map_["height"]


@pytest.mark.slow
def test_a_server_that_has_gone_is_told(explore: Any) -> None:
    page = explore(make_model(), told="ERR_FAILED")
    page.route("**/draw", lambda route: route.abort())
    page.click("#draw")
    page.locator("#message").wait_for()
    assert "does not answer" in page.locator("#message").inner_text()
    page.unroute("**/draw")
    page.click("#draw")
    page.locator("#drawn button").first.wait_for()
    assert page.locator("#message").is_hidden()


@pytest.mark.slow
def test_a_server_that_answers_again_at_a_move_is_told(
    explore: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane, "MOST_WEIGHTS", 10)
    page = explore(make_model(), told="ERR_FAILED")
    page.route("**/decode", lambda route: route.abort())
    move(page, 0.4, 0.4)
    page.locator("#message").wait_for()
    page.unroute("**/decode")
    move(page, 0.5, 0.4)
    page.locator("#message").wait_for(state="hidden")


@pytest.mark.thorough
def test_several_ask_at_once(explore: Any) -> None:
    model = make_model()
    page = explore(model)
    answers = page.evaluate(
        "async () => Promise.all(Array.from({ length: 30 }, (_, k) => k % 2"
        " ? window.explorer.ask('place', { values: Array(30).fill(8 * k) })"
        " : window.explorer.ask('decode', { latents: [[k / 10, 0]] })))"
    )
    assert len(answers) == 30
    for k, answer in enumerate(answers):
        if k % 2:
            assert answer["loss"] >= 0
            continue
        given = np.frombuffer(base64.b64decode(answer["images"]), "<f4")
        np.testing.assert_array_equal(given, model.decode([[k / 10, 0]]).ravel())


def test_a_click_holds_an_image_until_another_is_placed(explore: Any) -> None:
    model = make_model()
    page = explore(model)
    page.evaluate(
        "(z) => { const { map } = window.explorer; map.goTo(map.nearest(map.placeOf(z))) }",
        model.latents[120].tolist(),
    )
    settle(page)
    held = told(page)
    assert page.locator("#copy-name").is_visible()
    move(page, 0.5, 0.5)
    assert told(page) == held
    page.click("#gallery button[data-index='4']")
    found(page)
    assert page.locator("#copy-name").is_hidden()
