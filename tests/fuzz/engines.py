"""What makes the inputs of a run: random edits, hypothesis, or atheris, which follows coverage."""

import importlib
import importlib.util
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.edits import KINDS, MOST, Edit, draw_edits, edited
from tests.fuzz.target import Target

ENGINES = ("atheris", "edits", "hypothesis")
#: Longest input, in bytes.
_LONGEST = 2**18
#: Inputs that hypothesis makes before it is asked again whether there shall be more.
_BATCH = 40
#: Takes an input; returns whether there shall be more.
Feed = Callable[[bytes], bool]


def has_atheris() -> bool:
    """Whether atheris is installed, which exists for Linux and macOS."""
    return importlib.util.find_spec("atheris") is not None


def run_edits(target: Target, feed: Feed, seed: int) -> None:
    """Feed the valid inputs after random edits."""
    rng = random.Random(seed)
    more = True
    for content in target.seeds:
        more = feed(content)
    while more:
        content = rng.choice(target.seeds)
        if rng.random() < 0.05:
            content += rng.choice(target.seeds)
        more = feed(edited(content, draw_edits(rng), target.tokens)[:_LONGEST])


def run_hypothesis(target: Target, feed: Feed, seed: int) -> None:
    """Feed the valid inputs after edits that hypothesis draws."""
    import hypothesis
    from hypothesis import strategies as st

    numbers = st.integers(0, MOST - 1)
    edit = st.builds(Edit, st.integers(0, len(KINDS) - 1), numbers, numbers)
    contents = st.builds(
        lambda content, edits: edited(content, edits, target.tokens)[:_LONGEST],
        st.sampled_from(target.seeds),
        st.lists(edit, min_size=1, max_size=5),
    )

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=_BATCH,
        deadline=None,
        database=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(contents)
    def some(content: bytes) -> None:
        nonlocal more
        more = more and feed(content)

    more = True
    while more:
        some()
        seed += 1
        some = hypothesis.seed(seed)(some)  # the same seed would make the same inputs


def run_atheris(target: Target, feed: Feed, seed: int) -> None:
    """Feed inputs that reach new lines and branches of the readers; the process ends after it."""
    atheris: Any = importlib.import_module("atheris")

    corpus = Path(tempfile.mkdtemp(prefix="autodecoder-corpus-"))
    for k, content in enumerate(target.seeds):
        (corpus / f"{k}").write_bytes(content)

    def mutate(content: bytes, most: int, number: int) -> bytes:
        if number % 2:
            return atheris.Mutate(content, most)
        return edited(content, draw_edits(random.Random(number)), target.tokens)[:most]

    def one(content: bytes) -> None:
        if not feed(bytes(content)):
            os._exit(0)

    # Time and memory are watched elsewhere.
    options = (f"-seed={seed + 1}", f"-max_len={_LONGEST}", "-timeout=0", "-rss_limit_mb=0")
    atheris.Setup(["fuzz", *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def instrumented() -> Any:
    """A context in which atheris prepares the modules of the readers as they are imported."""
    atheris: Any = importlib.import_module("atheris")

    return atheris.instrument_imports(include=["autodecoder", "tomllib", "csv", "tarfile"])


RUNS: dict[str, Callable[[Target, Feed, int], None]] = {
    "atheris": run_atheris,
    "edits": run_edits,
    "hypothesis": run_hypothesis,
}
