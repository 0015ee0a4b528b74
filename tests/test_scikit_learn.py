"""The estimator passes every check of scikit-learn, and none is excused."""

from collections.abc import Callable

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from autodecoder import AutoDecoder

#: Run by default, as all of them, each with samples of other shapes, take minutes to compile.
CHOSEN = (
    "check_parameters_default_constructible",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_sparse_tag",
    "check_estimators_unfitted",
    "check_fit2d_1sample",
    "check_n_features_in",
    "check_transformer_general",
)


def small() -> AutoDecoder:
    return AutoDecoder(arch="4", num_epochs=20)


@pytest.mark.slow
@parametrize_with_checks([small()])
def test_every_check(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


# Some are newer than the oldest release of scikit-learn that does.
@pytest.mark.parametrize("name", [name for name in CHOSEN if hasattr(estimator_checks, name)])
def test_a_check(name: str) -> None:
    getattr(estimator_checks, name)("AutoDecoder", small())
