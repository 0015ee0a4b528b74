"""Who types a parameter of another library is told its name here."""

import inspect
import pickle
from typing import Any

import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from autodecoder import AutoDecoder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n_components", "n_components: it is called latent_dims here."),
        ("n_epochs", "n_epochs: it is called num_epochs here."),
        ("max_iter", "max_iter: it is called num_epochs here."),
        ("random_seed", "random_seed: it is called random_state here."),
        ("progress", "progress: it is called verbose here."),
        ("n_neighbors", "n_neighbors: it trains a decoder"),
        ("lerning_rate", "lerning_rate; did you mean learning_rate?"),
        ("colour", "colour; it has latent_dims, arch, "),
    ],
)
def test_unknown_parameters_are_explained(name: str, message: str) -> None:
    with pytest.raises(TypeError) as told:
        AutoDecoder(**{name: 3})  # pyright: ignore[reportArgumentType]
    assert f"AutoDecoder has no parameter {message}" in str(told.value)
    with pytest.raises(ValueError, match=f"AutoDecoder has no parameter {name}"):
        AutoDecoder().set_params(**{name: 3})


def test_in_a_pipeline_too() -> None:
    pipeline = make_pipeline(AutoDecoder())
    with pytest.raises(ValueError, match="n_components: it is called latent_dims here"):
        pipeline.set_params(autodecoder__n_components=3)
    pipeline.set_params(autodecoder__latent_dims=3)
    assert pipeline.get_params()["autodecoder__latent_dims"] == 3


def test_the_signature_stays_that_of_the_constructor() -> None:
    names = list(inspect.signature(AutoDecoder).parameters)
    assert sorted(names) == sorted(AutoDecoder().get_params())
    assert names[0] == "latent_dims"
    with pytest.raises(TypeError, match="positional"):
        AutoDecoder(2, "32-32")  # pyright: ignore[reportCallIssue]


def test_a_class_of_ones_own_has_parameters_of_its_own() -> None:
    class Mine(AutoDecoder):
        def __init__(self, n_components: int = 3) -> None:
            super().__init__(n_components)
            self.n_components = n_components

    copy: Any = clone(Mine(4).set_params(n_components=5))
    assert copy.n_components == 5
    assert pickle.loads(pickle.dumps(AutoDecoder(3))).latent_dims == 3
