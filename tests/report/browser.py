"""A page in Chromium: Debian's, driven by Playwright."""

import base64
import io
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image

_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Milliseconds that a page may take over what is waited for. The first image that is placed waits
#: for its programs to be compiled, which takes more than the usual 30 seconds on a busy machine.
_PATIENCE = 180_000


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window; skips where it or Playwright is absent."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        try:
            yield chromium
        finally:
            chromium.close()


def open_tab(chromium: Any, width: int, height: int) -> Any:
    """A blank page of this size in pixels."""
    page = chromium.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(_PATIENCE)
    return page


def pixels(page: Any, selector: str) -> np.ndarray:
    """Red, green and blue of a canvas: (height, width, 3) uint8; of several, the first."""
    url = page.locator(selector).first.evaluate("c => c.toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGBA"))[..., :3]


def dots(page: Any) -> np.ndarray:
    """The points of a map: (height, width, 4) uint8, transparent where there is none."""
    url = page.locator("canvas.dots").first.evaluate("c => c.toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGBA"))


def n_coloured(page: Any) -> int:
    """Pixels of a map whose points are of a colour."""
    seen = dots(page).astype(int)
    spread = seen[..., :3].max(2) - seen[..., :3].min(2)
    return int(((spread > 30) & (seen[..., 3] > 0)).sum())


def told(page: Any) -> dict[str, str]:
    """What a page says of the nearest image, by term."""
    terms, values = (page.locator(f"#point {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(terms, values, strict=True))


def faults(page: Any, further: Collection[str] = ()) -> list[str]:
    """Faults of accessibility that axe-core finds: serious ones, and those of further impacts."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['target']}"
        for one in found
        if one["impact"] in ("serious", "critical", *further)
    ]
