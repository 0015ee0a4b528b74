"""The page of a model in Chromium: its size, how soon its map is drawn, how it moves.

    python benchmarks/page.py PAGE.html [--moves 100] [--model FOLDER --dataset mnist]

Needs Playwright and Chromium. Prints the size of the file, the milliseconds from the request to the
first map (the median of five), from a move of the pointer to the new image, and frames a second
while the map is dragged and zoomed. With a model and its data set, it also places 100 validation
images in the page, and compares their errors with those of `Model.infer`.
"""

import argparse
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from autodecoder import load_model
from autodecoder.data import load_dataset

#: Moves the pointer somewhere and waits until the page tells of that place.
MOVES = """async n => {
  const map = document.getElementById("map"), where = document.getElementById("where");
  const box = map.getBoundingClientRect(), found = [];
  for (let k = 0; k < n; k++) {
    const before = where.textContent, start = performance.now();
    const x = box.left + box.width * Math.random(), y = box.top + box.height * Math.random();
    map.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y }));
    while (where.textContent === before) await new Promise((r) => requestAnimationFrame(r));
    found.push(performance.now() - start);
  }
  return found;
}"""
#: Frames a second while each frame moves or zooms the map.
FRAMES = """async zoom => {
  const { map } = window.autodecoder, n = 90, start = performance.now();
  for (let k = 0; k < n; k++) {
    if (zoom) map.zoomBy(k < n / 2 ? 1.03 : 1 / 1.03);
    else map.see(2, map.middle.map((m, i) => m + (k < n / 2 ? 0.02 : -0.02) * (i + 1)));
    await new Promise((r) => requestAnimationFrame(r));
  }
  return (1000 * n) / (performance.now() - start);
}"""
PLACE = "async pixels => (await window.autodecoder.place(Float32Array.from(pixels))).loss"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--model", type=Path, help="the model of the page")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data_dir")
    options = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        firsts = []
        for _ in range(5):
            page.goto(options.page.resolve().as_uri())
            firsts.append(page.evaluate("() => performance.getEntriesByName('map')[0].startTime"))
        page.wait_for_timeout(3000)
        moves = sorted(page.evaluate(MOVES, options.moves))
        panned, zoomed = page.evaluate(FRAMES, False), page.evaluate(FRAMES, True)
        print(
            "| MB | first map [ms] | image after a move [ms], median | 95 % | frames a second, "
            "dragged | zoomed |"
        )
        print("|---|---|---|---|---|---|")
        size = options.page.stat().st_size / 1e6
        late = moves[int(0.95 * len(moves))]
        first, moved = statistics.median(firsts), statistics.median(moves)
        print(
            f"| {size:.1f} | {first:.0f} | {moved:.0f} | {late:.0f} | {panned:.0f} | {zoomed:.0f} |"
        )
        if options.model is not None:
            compare_places(page, options)
        browser.close()


def compare_places(page: Any, options: argparse.Namespace) -> None:
    """Errors of 100 validation images, placed in the page and by Python."""
    model = load_model(options.model)
    found = load_dataset(options.dataset, data_dir=options.data_dir, examples_frac=0.0)
    rows = np.random.default_rng(0).permutation(len(found.val))[:100]
    images = found.val.images[rows]
    start = time.perf_counter()
    placed = np.array([page.evaluate(PLACE, (i.ravel() / 255).tolist()) for i in images])
    seconds = (time.perf_counter() - start) / len(images)
    ratio = placed / model.infer(images).errors.loss
    print(f"\n{(ratio < 1.01).sum()} of {len(ratio)} images have an error within 1 % of that of")
    print(f"Model.infer; the mean ratio is {ratio.mean():.4f}; {seconds:.2f} s an image")


if __name__ == "__main__":
    main()
