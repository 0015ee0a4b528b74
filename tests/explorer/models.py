"""Models of all the kinds that are explored, by what is odd about them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tests.report.test_page import make_model

from autodecoder.model import Model

MODELS: dict[str, Callable[[], Model]] = {
    "no latents": partial(make_model, n=0),
    "no labels": lambda: replace(make_model(), labels=None, val_labels=None),
    "one dimension": partial(make_model, 1),
    "300 dimensions": partial(make_model, 300, n=40),
    "colours": partial(make_model, 3, shape=(4, 4, 3)),
    "five channels": partial(make_model, shape=(3, 4, 5)),
}
