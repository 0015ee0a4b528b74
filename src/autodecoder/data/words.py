"""What people call the parts of a data set: folders, splits, columns and arrays."""

TRAIN = ("train", "training")
VALIDATION = (
    *("val", "valid", "validation", "validate", "validating"),
    *("dev", "development", "eval", "evaluation"),
)
TEST = ("holdout", "heldout", "test", "testing", "tests")
#: Parts that are not trained on; of several, the first of these names is validated with.
HELD_OUT = (*VALIDATION, *TEST)
