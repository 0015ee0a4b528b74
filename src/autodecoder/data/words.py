"""Usual names of the parts of a data set, for folders, splits, columns and arrays."""

TRAIN = ("train", "training")
VALIDATION = (
    *("val", "valid", "validation", "validate", "validating"),
    *("dev", "development", "eval", "evaluation"),
)
TEST = ("holdout", "heldout", "test", "testing", "tests")
#: Names of held-out parts; if there are several, the first in this order is the validation set.
HELD_OUT = (*VALIDATION, *TEST)
