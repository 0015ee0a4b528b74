"""Models of all the kinds that are explored, by what is odd about them."""

from dataclasses import replace

from tests.report.test_page import make_model

MODELS = {
    "no latents": make_model(n=0),
    "no labels": replace(make_model(), labels=None, val_labels=None),
    "one dimension": make_model(1),
    "300 dimensions": make_model(300, n=40),
    "colours": make_model(3, shape=(4, 4, 3)),
    "five channels": make_model(shape=(3, 4, 5)),
}
