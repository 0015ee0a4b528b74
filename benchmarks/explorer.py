"""The explorer under ten users: how soon an image follows the pointer, and what a minute leaves.

    python benchmarks/explorer.py MODEL [--users 10] [--seconds 60]

Starts `autodecoder explore MODEL` on a free port. In Chromium, alone: the milliseconds from a move
of the pointer to the new image. Then so many users ask at once, each one request after the other, a
mix of all that the page asks for; their answers are counted, and the server's memory is read on the
way.
Needs Playwright and Chromium for the first part.
"""

import argparse
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--moves", type=int, default=100)
    options = parser.parse_args()
    command = [sys.executable, "-m", "autodecoder", "explore", str(options.model), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        found = (re.match(r"http://\S+", line) for line in lines)
        address = next(match[0] for match in found if match)
        look = first_look(address)
        ask(address, "place", {"values": [0] * pixels_of(look)})  # compiled, if it was not
        hover(address, options.moves)
        load(address, look, server.pid, options.users, options.seconds)
    finally:
        server.terminate()
        server.wait()


def first_look(address: str) -> dict[str, Any]:
    """What the page is told of the model."""
    with urllib.request.urlopen(address) as answer:
        page = answer.read().decode()
    found = re.search(r'id="model">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def pixels_of(look: dict[str, Any]) -> int:
    height, width, channels = look["shape"]
    return height * width * channels


def ask(address: str, path: str, values: dict[str, Any]) -> Any:
    body, kind = json.dumps(values).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, body, kind)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def hover(address: str, n: int) -> None:
    from playwright.sync_api import sync_playwright

    from page import MOVES

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(address)
        moves = sorted(page.evaluate(MOVES, n))
        browser.close()
    print("| image after a move [ms], median | 95 % |\n|---|---|")
    print(f"| {statistics.median(moves):.0f} | {moves[int(0.95 * len(moves))]:.0f} |\n")


def load(address: str, look: dict[str, Any], pid: int, users: int, seconds: float) -> None:
    taken: dict[str, list[float]] = defaultdict(list)
    errors: list[str] = []
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=use, args=(address, look, k, end, taken, errors))
        for k in range(users)
    ]
    for thread in threads:
        thread.start()
    memory = []
    while time.monotonic() < end:
        memory.append(resident(pid))
        time.sleep(seconds / 12)
    for thread in threads:
        thread.join()
    print("| request | answers | ms, median | 95 % |\n|---|---|---|---|")
    for path, times in sorted(taken.items()):
        times.sort()
        late = times[int(0.95 * len(times))]
        print(
            f"| {path} | {len(times)} | {1e3 * statistics.median(times):.0f} | {1e3 * late:.0f} |"
        )
    print(f"\n{len(errors)} errors in {seconds:.0f} s with {users} users {errors[:3] or ''}")
    print(f"memory [MB]: {', '.join(f'{value:.0f}' for value in memory)}")


def use(
    address: str,
    look: dict[str, Any],
    seed: int,
    end: float,
    taken: dict[str, list[float]],
    errors: list[str],
) -> None:
    """One user: mostly placing and decoding, now and then the rest."""
    chance = random.Random(seed)
    dims, n_pixels = len(look["mean"]), pixels_of(look)

    def latent() -> list[float]:
        pairs = zip(look["mean"], look["spread"], strict=True)
        return [chance.gauss(mean, spread) for mean, spread in pairs]

    def body(path: str, values: list[float]) -> dict[str, Any]:
        if path == "decode":
            return {"latents": [latent()]}
        if path == "place":
            mask = [chance.random() < 0.7 for _ in range(n_pixels // look["shape"][2])]
            start = chance.choice([None, latent()])
            return {"values": values, "mask": chance.choice([None, mask]), "start": start}
        if path == "way":
            return {"a": latent(), "b": latent(), "n": 61, "path": "linear"}
        if path == "draw":
            return {"n": 16, "seed": chance.randrange(2**32)}
        if path == "plane":
            across, up = chance.sample(range(dims), 2)
            return {"basis": "dimensions", "across": across, "up": up}
        name, n = next(iter(look["shelves"].items()))
        return {"name": name, "index": chance.randrange(n)}

    shares = {"decode": 6, "place": 6, "way": 1, "draw": 1, "the page": 0.3}
    shares |= {"plane": 1} if dims > 1 else {}
    shares |= {"pick": 3} if look["shelves"] else {}
    values: list[float] = [0] * n_pixels
    while time.monotonic() < end:
        (path,) = chance.choices(list(shares), list(shares.values()))
        start = time.monotonic()
        try:
            if path == "the page":
                first_look(address)
            else:
                answer = ask(address, path, body(path, values))
                values = answer["values"] if path == "pick" else values
        except OSError as error:
            errors.append(f"{path}: {error}")
            continue
        taken[path].append(time.monotonic() - start)


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
