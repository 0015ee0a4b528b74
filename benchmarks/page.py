"""The page of a model in Chromium: its size, how soon it is drawn, how soon an image follows.

    python benchmarks/page.py PAGE.html [--moves 100]

Needs Playwright and Chromium. Prints the size of the file, the milliseconds from the request to the
end of loading (the median of five), and from a move of the pointer to the new image on the page.
"""

import argparse
import shutil
import statistics
from pathlib import Path

from playwright.sync_api import sync_playwright

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


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--moves", type=int, default=100)
    options = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 1400})
        loads = []
        for _ in range(5):
            page.goto(options.page.resolve().as_uri())
            loads.append(
                page.evaluate("() => performance.getEntriesByType('navigation')[0].duration")
            )
        moves = sorted(page.evaluate(MOVES, options.moves))
        browser.close()
    print("| MB | loaded [ms] | image after a move [ms], median | 95 % |")
    print("|---|---|---|---|")
    size = options.page.stat().st_size / 1e6
    late = moves[int(0.95 * len(moves))]
    loaded, moved = statistics.median(loads), statistics.median(moves)
    print(f"| {size:.1f} | {loaded:.0f} | {moved:.0f} | {late:.0f} |")


if __name__ == "__main__":
    main()
