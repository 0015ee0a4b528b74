"""Make the pictures of the documentation from a study: `page.png` and the moving `map.gif`.

    autodecoder map fmnist --out runs/fashion
    python docs/make_images.py runs/fashion

Needs Playwright and Chromium.
"""

import argparse
import io
import math
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
#: The size of the page, and of the moving picture, in pixels.
PAGE, MOVING = (1440, 900), (840, 525)
#: Steps of the pointer, and milliseconds of each.
STEPS, PAUSE = 48, 90


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("study", type=Path)
    options = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": PAGE[0], "height": PAGE[1]})
        page.goto((options.study / "report" / "index.html").resolve().as_uri())
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
        browser.close()
    (IMAGES / "page.png").write_bytes(_smaller(frames[5]))
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
        picture.convert("RGB").quantize(256).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
