"""What the explorer's page asks for: each answer is the model's own, and nonsense is refused."""

import base64
import io
import json
import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.explorer.models import MODELS
from tests.report.test_page import make_model

from autodecoder.config import InferConfig
from autodecoder.errors import ConfigError
from autodecoder.explorer import Explorer, Shelf, create_app, listen
from autodecoder.explorer import explorer as explorer_module
from autodecoder.explorer.app import MOST_BYTES
from autodecoder.model import Model
from autodecoder.model.tables import Standardization

BYTES = "application/octet-stream"


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model()


@pytest.fixture(scope="module")
def images(model: Model) -> np.ndarray:
    latents = np.random.default_rng(1).normal(size=(9, 2))
    return np.rint(255 * model.decode(latents)).astype(np.uint8)


@pytest.fixture(scope="module")
def client(model: Model, images: np.ndarray) -> Any:
    shelves = {"validation": Shelf(images, np.arange(9) % 3), "floats": Shelf(images / 255)}
    return create_app(Explorer(model, shelves), title="digits").test_client()


def ask(client: Any, address: str, /, **values: Any) -> Any:
    answer = client.post(address, json=values)
    assert answer.status_code == 200, answer.json
    return answer.json


def refused(client: Any, path: str, body: Any) -> str:
    content = body if isinstance(body, bytes) else json.dumps(body)
    kind = "octet-stream" if path == "/read" else "json"
    answer = client.post(path, data=content, content_type=f"application/{kind}")
    assert answer.status_code == 400
    return answer.json["error"]


def numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_it_decodes_as_the_model_does(client: Any, model: Model) -> None:
    latents = [[0.5, -1], [2, 0]]
    found = numbers(ask(client, "/decode", latents=latents)["images"])
    np.testing.assert_array_equal(found, model.decode(latents).ravel())


@pytest.mark.parametrize("hidden", [False, True])
def test_an_image_is_placed_as_the_model_places_it(
    client: Any, model: Model, images: np.ndarray, hidden: bool
) -> None:
    seen = np.ones(model.image_shape, bool)
    seen[:, :2] = not hidden
    mask = seen[..., 0].ravel().astype(int).tolist() if hidden else None
    found = ask(client, "/place", values=images[2].ravel().tolist(), mask=mask)
    want = model.infer(images[2:3], seen, config=InferConfig(method="lm", block_size=1))
    np.testing.assert_allclose(found["way"][-1], want.latents[0], rtol=1e-6)
    assert found["loss"] == pytest.approx(float(want.errors.loss[0]))
    assert found["steps"] == want.steps[0] > 0


def test_the_search_starts_where_it_is_told(client: Any, images: np.ndarray) -> None:
    found = ask(client, "/place", values=images[0].ravel().tolist(), start=[3, -3])
    assert found["way"][0] == [3, -3]
    assert len(found["way"]) > 2


def test_an_image_is_picked(client: Any, images: np.ndarray) -> None:
    found = ask(client, "/pick", name="validation", index=4)
    assert found == {"values": images[4].ravel().tolist(), "label": 1, "name": None, "known": None}
    floats = ask(client, "/pick", name="floats", index=4)
    assert floats == {
        "values": images[4].ravel().tolist(),
        "label": None,
        "name": None,
        "known": None,
    }


def test_a_picked_image_has_its_name(images: np.ndarray) -> None:
    names = np.array([f"a/{k}.png" for k in range(len(images))], object)
    model = replace(make_model(), names=np.arange(300) + 1)
    explorer = Explorer(model, {"paths": Shelf(images, names=names), "rows": Shelf(images)})
    assert explorer.pick("paths", 4)["name"] == "a/4.png"
    assert explorer.first_look["names"] == {"train": list(range(1, 301)), "val": None}


def test_a_gallery_has_what_a_text_names() -> None:
    images = np.random.default_rng(0).random((200, 6, 5, 1))
    images[3, 0] = np.nan
    names = np.array([f"Cats/{k}.png" for k in range(200)], object)
    shelf = Shelf(images, np.arange(200) % 3, names=names)
    model = replace(make_model(), about={"class_names": ["a", "b", "c"]})
    client = create_app(Explorer(model, {"images": shelf}), title="x").test_client()
    every = ask(client, "/gallery", name="images", text="", first=0)
    assert (every["n"], [one["index"] for one in every["images"]]) == (200, list(range(96)))
    assert every["images"][4] == {"index": 4, "name": "Cats/4.png", "label": 1, "columns": {}}
    assert [one["index"] for one in ask(
        client, "/gallery", name="images", text="", first=192
    )["images"]] == list(range(192, 200))  # fmt: skip
    for text, rows in (("cats/77", [77]), ("B", list(range(1, 200, 3))), ("nothing", [])):
        found = ask(client, "/gallery", name="images", text=text, first=0)
        assert found["n"] == len(rows)
        assert [one["index"] for one in found["images"]] == rows[:96]
    with Image.open(io.BytesIO(base64.b64decode(every["sheet"]["sheet"]))) as sheet:
        assert sheet.size == (96 * 5, 6)
    assert "no images with the name" in refused(
        client, "/gallery", {"name": "others", "text": "", "first": 0}
    )


def test_a_gallery_finds_values_of_further_columns() -> None:
    sites = np.array(["North", "", "<i>south</i>", "north-east"], object)
    shelf = Shelf(np.zeros((4, 6, 5, 1)), columns={"site": sites})
    client = create_app(Explorer(make_model(), {"images": shelf}), title="x").test_client()
    found = ask(client, "/gallery", name="images", text="NORTH", first=0)
    assert [one["index"] for one in found["images"]] == [0, 3]
    assert found["images"][1]["columns"] == {"site": "north-east"}
    every = ask(client, "/gallery", name="images", text="", first=0)
    assert every["images"][1]["columns"] == {}


def test_what_is_not_finite_or_out_of_range_is_not_picked() -> None:
    images = np.random.default_rng(0).random((4, 6, 5, 1))
    images[1, 0, 0], images[2, 0, 0] = np.inf, 7
    client = create_app(Explorer(make_model(), {"images": Shelf(images)}), title="x").test_client()
    assert len(ask(client, "/pick", name="images", index=0)["values"]) == 30
    assert "image 1 has not" in refused(client, "/pick", {"name": "images", "index": 1})
    assert "between 0 and 1" in refused(client, "/pick", {"name": "images", "index": 2})


def test_what_is_missing_of_a_picked_image_is_told() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 1), np.uint8)
    mask = np.ones(images.shape, bool)
    mask[1, :2] = False
    floats = np.where(mask, images / 255, np.nan)
    shelves = {"images": Shelf(images, mask=mask), "floats": Shelf(floats)}
    explorer = Explorer(make_model(), shelves)
    assert explorer.pick("images", 0)["known"] is None or all(explorer.pick("images", 0)["known"])
    for name in shelves:
        found = explorer.pick(name, 1)
        assert found["known"] == 10 * [False] + 20 * [True]
        assert found["values"][10:] == images[1].ravel()[10:].tolist()
        told = explorer.place(found["values"], found["known"])
        want = explorer.model.infer(images[1:2], mask[1:2])
        assert told["loss"] == pytest.approx(float(want.errors.loss[0]), rel=1e-4)


def test_a_model_without_finite_latents_is_explored() -> None:
    model = make_model()
    broken = Explorer(replace(model, latents=np.full_like(model.latents, np.nan)), {})
    broken.warm_up()
    assert broken.first_look["n_latents"] == 0


def test_new_latents_are_drawn_from_the_density(client: Any, model: Model) -> None:
    found = ask(client, "/draw", n=5, seed=3)
    np.testing.assert_allclose(found["latents"], model.sample(5, seed=3).latents, rtol=1e-6)


@pytest.mark.parametrize("path", ["linear", "spherical", "data"])
def test_the_way_between_two(client: Any, model: Model, path: str) -> None:
    found = ask(client, "/way", a=[0, 1], b=[2, 0], n=7, path=path)
    want = model.interpolate(np.array([0, 1]), np.array([2, 0]), 7, path=path).latents
    np.testing.assert_allclose(found["latents"], want, rtol=1e-6)


def test_a_file_becomes_an_image_of_the_models_shape(client: Any) -> None:
    picture = Image.new("RGB", (50, 60), (255, 0, 0))
    content = io.BytesIO()
    picture.save(content, "PNG")
    found = client.post("/read", data=content.getvalue(), content_type=BYTES).json
    assert found == {"values": [76] * 30, "label": None, "name": None, "known": None}


def test_planes_of_longer_latents() -> None:
    model = make_model(5)
    client = create_app(Explorer(model, {}), title="five").test_client()
    plane = ask(client, "/plane", basis="dimensions", across=3, up=1)
    assert plane["axes"] == np.eye(5)[[3, 1]].tolist()
    assert plane["axis_names"] == ["latent dimension 4", "latent dimension 2"]
    plane = ask(client, "/plane", basis="components", across=0, up=4)
    axes = np.array(plane["axes"])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    scores = (model.latents - model.latents.mean(0)) @ axes.T
    variances = np.linalg.eigvalsh(np.cov(model.latents.T))
    np.testing.assert_allclose(scores.var(0, ddof=1), variances[[-1, 0]], rtol=1e-4)
    assert "two different numbers" in refused(
        client, "/plane", {"basis": "components", "across": 2, "up": 2}
    )


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/decode", b"no json", "must be a JSON object"),
        ("/decode", b"[" * 100_000, "must be a JSON object"),
        ("/decode", {"latents": [[0, 1]], "more": 1}, "must be a JSON object of latents"),
        ("/decode", {}, "1 to 512 lists of 2 numbers"),
        ("/decode", b'{"latents": [[NaN, 0]]}', "finite"),
        ("/decode", b'{"latents": [[1e300, 0]]}', "finite"),
        ("/decode", {"latents": [[0, 1, 2]]}, "lists of 2 numbers"),
        ("/decode", {"latents": [[0, "one"]]}, "lists of 2 numbers"),
        ("/decode", {"latents": [["1", "2"]]}, "lists of 2 numbers"),
        ("/decode", {"latents": [[True, False]]}, "lists of 2 numbers"),
        ("/place", {"values": [0] * 30, "mask": "false"}, "a mask must be a list of 30"),
        ("/plane", {"basis": "dimensions", "across": "x" * 10**6, "up": 1}, "whole number"),
        ("/decode", {"latents": [[0, 1], [2]]}, "lists of 2 numbers"),
        ("/decode", {"latents": [[0, 1]] * 513}, "1 to 512"),
        ("/place", {"values": [0] * 29}, "a list of 30 numbers"),
        ("/place", {"values": [0] * 29 + [256]}, "between 0 and 255"),
        ("/place", b'{"values": [%sNaN]}' % (b"0, " * 29), "between 0 and 255"),
        ("/place", {"values": [0] * 30, "mask": [1]}, "a mask must be a list of 30"),
        ("/place", {"values": [0] * 30, "mask": [0] * 30}, "all pixels are hidden"),
        ("/place", {"values": [0] * 30, "start": [1]}, "lists of 2 numbers"),
        ("/draw", {"n": 0, "seed": 0}, "between 1 and 512"),
        ("/draw", {"n": 1, "seed": -1}, "seed"),
        ("/draw", {"n": 1.5, "seed": 0}, "whole number"),
        ("/draw", {"n": True, "seed": 0}, "whole number"),
        ("/way", {"a": [0, 0], "b": [0], "n": 9, "path": "linear"}, "lists of 2"),
        ("/way", {"a": [0, 0], "b": [0, 1], "n": 9, "path": "scenic"}, "path must be one of"),
        ("/way", {"a": [0, 0], "b": [0, 1], "n": 10**9, "path": "linear"}, "between 2 and 512"),
        ("/pick", {"name": "validation", "index": 9}, "between 0 and 8"),
        ("/pick", {"name": "validation", "index": -1}, "between 0 and 8"),
        ("/pick", {"name": "others", "index": 0}, "no images with the name"),
        ("/plane", {"basis": "mine", "across": 0, "up": 1}, "basis must be one of"),
        ("/plane", {"basis": "dimensions", "across": 0, "up": 2}, "from 0 to 1"),
        ("/read", b"", "empty"),
        ("/read", b"GIF89a and then nothing of it", "cannot be used"),
    ],
)
def test_what_makes_no_sense_is_refused(client: Any, path: str, body: Any, message: str) -> None:
    assert message in refused(client, path, body)


@pytest.mark.thorough
def test_a_picture_too_large_to_decode_is_refused(client: Any) -> None:
    content = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(content, "PNG")
    assert "larger than" in refused(client, "/read", content.getvalue())


def test_too_much_at_once_is_refused(client: Any) -> None:
    answer = client.post("/read", data=b"x" * (MOST_BYTES + 1), content_type=BYTES)
    assert answer.status_code == 413
    assert "at most 20 MB" in answer.json["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8050", 200),
        ("127.0.0.1", 200),
        ("[::1]:8050", 200),
        ("192.168.1.5:80", 200),
        ("evil.example", 403),
        ("localhost.evil.example:8050", 403),
        ("", 403),
    ],
)
def test_only_the_servers_own_names_are_answered(client: Any, host: str, status: int) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert (status == 200) != ("--name" in answer.text and "is not a name" in answer.text)


def test_an_empty_name_is_none_of_the_servers_own(model: Model) -> None:
    client = create_app(Explorer(model, {}), title="any", hosts=["", "mine"]).test_client()
    assert client.get("/", headers={"Host": "mine:80"}).status_code == 200
    for host in ("", ":8050"):
        assert client.get("/", headers={"Host": host}).status_code == 403


def test_answers_are_of_no_use_to_pages_of_other_sites(client: Any) -> None:
    for answer in (client.get("/"), client.get("/nowhere"), client.post("/decode")):
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_pages_from_elsewhere_are_not_answered(client: Any) -> None:
    body = {"latents": [[0, 1]]}
    for name, value, status in (
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://[", 403),
        ("Origin", "http://localhost", 200),
    ):
        answer = client.post("/decode", json=body, headers={name: value})
        assert answer.status_code == status
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200, "a link from elsewhere leads here"
    plain = client.post("/decode", data=json.dumps(body), content_type="text/plain")
    assert "application/json" in plain.json["error"]
    assert client.post("/read", json=body).status_code == 400


def test_the_page_asks_for_nothing_from_outside(client: Any) -> None:
    answer = client.get("/")
    assert "connect-src 'self'" in answer.headers["Content-Security-Policy"]
    namespace = b"http://www.w3.org/2000/svg"  # of pictures that are saved
    assert b"http://" not in answer.data.replace(namespace, b"")
    assert b"https://" not in answer.data
    assert "<p>" in client.get("/nowhere").text
    assert "<script>" not in client.get("/", headers={"Host": "<script>"}).text
    assert client.get("/decode").status_code == 405


def test_a_failure_is_told_without_its_details(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Model, "decode", fail)
    answer = client.post("/decode", json={"latents": [[0, 1]]})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.slow
def test_models_of_all_kinds_are_explored(make: Callable[[], Model]) -> None:
    model = make()
    client = create_app(Explorer(model, {}), title="any").test_client()
    assert client.get("/").status_code == 200
    n = math.prod(model.image_shape)
    found = ask(client, "/place", values=[100] * n)
    assert math.isfinite(found["loss"])
    assert len(found["way"]) > 1
    if len(model.latents):
        assert len(ask(client, "/draw", n=2, seed=0)["latents"]) == 2
    else:
        assert "two latents" in refused(client, "/draw", {"n": 2, "seed": 0})


@pytest.mark.thorough
def test_rows_of_a_table_are_placed_too() -> None:
    by = Standardization(np.array([1.0, -5, 1e6, 0]), np.array([1.0, 2, 1e5, 1]))
    model = replace(make_model(shape=(1, 4, 1), scaler="standardize"), standardization=by)
    rows = model.decode([[0.5, 1], [-1, 0]])
    client = create_app(Explorer(model, {"rows": Shelf(rows)}), title="table").test_client()
    picked = ask(client, "/pick", name="rows", index=1)
    np.testing.assert_allclose(picked["values"], rows[1], rtol=1e-6)
    found = ask(client, "/place", values=picked["values"], mask=None)
    assert found["loss"] < 1e-3
    assert "are not pictures" in refused(client, "/read", b"GIF")
    assert "single precision" in refused(client, "/place", {"values": [1e300, 0, 0, 0]})


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_told(taken: int) -> None:
    with pytest.raises(ConfigError, match=f"{taken}, cannot be listened on: .*in use"):
        listen(port=taken)
    with pytest.raises(ConfigError, match="port must lie between"):
        listen(port=70_000)
    with pytest.raises(ConfigError, match="host must be an address of this machine"):
        listen("no such host")
    with pytest.raises(ConfigError, match="--host names another"):
        listen("203.0.113.1")
    for host in ("", " "):  # the system would take it for all addresses
        with pytest.raises(ConfigError, match=r"host must be an address.* such as 127\.0\.0\.1"):
            listen(host)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_files_are_read_before_pillow_has_loaded_their_readers(kind: str) -> None:
    """In a process of its own: once loaded, readers stay."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(buffer, kind)
    code = (
        "import io, sys, numpy as np; from autodecoder.data.decode import decode_image; "
        "decode_image(io.BytesIO(sys.stdin.buffer.read()), None, np.empty((4, 4, 1), np.uint8))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=buffer.getvalue(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_one_file_is_decoded_at_a_time(
    model: Model, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several explorers too: what many pixels take is taken once."""
    at_once, most = 0, 0

    def slowly(*arguments: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return decode(*arguments)

    decode = explorer_module.decode_image
    monkeypatch.setattr(explorer_module, "decode_image", slowly)
    buffer = io.BytesIO()
    Image.fromarray(images[0, ..., 0]).save(buffer, "PNG")
    explorers = [Explorer(model, {}), Explorer(model, {})]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: explorers[k % 2].read(buffer.getvalue()), range(16)))
    assert most == 1
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("body", [b'{"latents": [' + b"0," * 5_000_000 + b"0]}", b"[" * 5_000_000])
def test_a_list_that_no_model_needs_is_refused_before_it_is_parsed(
    client: Any, body: bytes
) -> None:
    assert "at most 1,699 values" in refused(client, "/decode", body)


def test_text_among_numbers_takes_no_memory(client: Any) -> None:
    body = {"latents": ["x" * 1_000_000, *[""] * 1000]}
    assert "lists of 2 numbers" in refused(client, "/decode", body)


def test_the_most_latents_at_a_time_are_decoded(client: Any) -> None:
    latents = np.random.default_rng(0).normal(size=(512, 2)).tolist()
    assert len(numbers(ask(client, "/decode", latents=latents)["images"])) == 512 * 30


@pytest.mark.parametrize("path", ["linear", "spherical", "data"])
def test_ways_between_the_largest_latents(client: Any, path: str) -> None:
    body = {"a": [3e38, 3e38], "b": [3e38, -3e38], "n": 9, "path": path}
    answer = client.post("/way", json=body)
    if path == "spherical":
        assert answer.status_code == 400
        assert "too large" in answer.json["error"]
    else:
        assert answer.status_code == 200
        assert np.isfinite(answer.json["latents"]).all()
