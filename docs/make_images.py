"""Make pictures of the documentation: `page.png` and the moving `map.gif` of a study's page, and
`explorer.png`.

    autodecoder map fmnist --out runs/fashion
    python docs/make_images.py runs/fashion

    autodecoder train --dataset mnist --examples_frac 1 --latent_dims 16 --lr 6e-3 \\
        --arch 500-500 --num_epochs 20 --out runs/digits
    python docs/make_images.py --explorer runs/digits

Needs Playwright and Chromium.
"""

import argparse
import contextlib
import io
import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Error, sync_playwright

IMAGES = Path(__file__).parent / "images"
#: The size of the page and of the moving picture, and the height of the explorer, in pixels.
PAGE, MOVING, TALL = (1440, 900), (840, 525), 1500
#: Where the explorer is shown.
PORT = 8059
#: Steps of the pointer, and milliseconds of each.
STEPS, PAUSE = 48, 90
#: The step of which `page.png` is, at an image whose original is in the page.
SHOWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--explorer", action="store_true", help="only explorer.png")
    options = parser.parse_args()
    (draw_explorer if options.explorer else draw_page)(options.study)


@contextlib.contextmanager
def opened(height: int = PAGE[1]) -> Iterator[Any]:
    """A page of a browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser.new_page(viewport={"width": PAGE[0], "height": height})
        browser.close()


def draw_explorer(study: Path) -> None:
    """The explorer with an image of the gallery whose left half is hidden."""
    command = ["autodecoder", "explore", str(study), "--port", str(PORT)]
    with subprocess.Popen(command) as server, opened(TALL) as page:
        for _ in range(240):
            try:
                page.goto(f"http://127.0.0.1:{PORT}/")
                break
            except Error:
                time.sleep(0.5)
        page.wait_for_timeout(4000)
        page.evaluate("() => document.getElementById('hint')?.classList.add('gone')")
        page.locator("#gallery button").nth(4).click()
        page.wait_for_timeout(4000)
        page.click("#hide-half")
        page.wait_for_timeout(20_000)  # the first search under a prior fits it
        page.click("#draw")
        page.wait_for_selector("#drawn button", timeout=60_000)
        page.wait_for_timeout(1000)
        page.evaluate("() => window.scrollTo(0, 0)")
        (IMAGES / "explorer.png").write_bytes(_smaller(page.screenshot()))
        server.terminate()


def draw_page(study: Path) -> None:
    """The page, and the pointer that moves over its map."""
    with opened() as page:
        page.goto((study / "report" / "index.html").resolve().as_uri())
        page.wait_for_timeout(5000)  # the images behind the points
        page.evaluate("() => document.getElementById('hint').classList.add('gone')")
        box = page.locator("#map").bounding_box()
        assert box is not None
        frames = []
        for k in range(STEPS):
            # Around the middle once, in and out.
            angle, far = 2 * math.pi * k / STEPS, 0.2 + 0.1 * math.sin(6 * math.pi * k / STEPS)
            x = box["x"] + box["width"] * (0.5 + 0.8 * far * math.cos(angle))
            y = box["y"] + box["height"] * (0.5 + 1.2 * far * math.sin(angle))
            page.mouse.move(x, y)
            page.wait_for_timeout(120)
            frames.append(page.screenshot())
    (IMAGES / "page.png").write_bytes(_smaller(frames[SHOWN]))
    pictures = [Image.open(io.BytesIO(frame)).convert("RGB").resize(MOVING) for frame in frames]
    palette = pictures[0].quantize(192)
    shown = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    shown[0].save(
        IMAGES / "map.gif", save_all=True, append_images=shown[1:], duration=PAUSE, loop=0
    )


def _smaller(content: bytes) -> bytes:
    """A picture in 256 colours, as PNG."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").quantize(256, kmeans=1).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
