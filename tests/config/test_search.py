"""What a study varies: how people write it, which trials come of it, and what is refused."""

import itertools
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.config.builders import LISTS, archs, search_arguments, unless_refused

from autodecoder.config import (
    LEARNING_RATE_GRID,
    TRACED,
    TUNABLE,
    DecoderConfig,
    FitConfig,
    Range,
    SearchConfig,
    StudyConfig,
    format_value,
    parse_tune,
    read_value,
)
from autodecoder.errors import ConfigError

RATE = {"learning_rate": (1e-3,)}


# Values and ranges as people write them


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("lr=log:1e-4:1e-1:10", "learning_rate", (1e-4, 1e-3, 1e-2, 1e-1)),
        ("lr=log:1e-4:0.5:10", "learning_rate", (1e-4, 1e-3, 1e-2, 1e-1)),
        ("lr=log:0.001:0.001:10", "learning_rate", (1e-3,)),
        ("lr=log:1e-4:1e-1", "learning_rate", Range(1e-4, 1e-1, log=True)),
        ("lr=lin:0.1:0.2", "learning_rate", Range(0.1, 0.2)),
        ("learning_rate=1e-3", "learning_rate", (1e-3,)),
        ("learning-rate = 1e-3 , 1e-2 ", "learning_rate", (1e-3, 1e-2)),
        ("latent_lr=1e-3", "latent_learning_rate", (1e-3,)),
        ("dropout_rate=lin:0:0.5:0.1", "dropout_rate", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),
        ("dropout_rate=lin:0.1:0.35:0.1", "dropout_rate", (0.1, 0.2, 0.3)),
        ("latent_dims=2,8,32", "latent_dims", (2, 8, 32)),
        ("latent-dims=log:2:32:4", "latent_dims", (2, 8, 32)),
        ("latent_dims=lin:2:8:3", "latent_dims", (2, 5, 8)),
        ("latent_dims=lin:2:8", "latent_dims", Range(2, 8)),
        ("batch_size=log:32:256", "batch_size", Range(32, 256, log=True)),
        ("batch_size=1e2", "batch_size", (100,)),
        ("arch=500-500,500-1000", "arch", ((500, 500), (500, 1000))),
        ("arch=16", "arch", ((16,),)),
        ("activation=relu, tanh", "activation", ("relu", "tanh")),
        ("batch_norm=true,no", "batch_norm", (True, False)),
        ("use_bias=0,YES", "use_bias", (False, True)),
        ("drop_last=False", "drop_last", (False,)),
        ("schedule=cosine", "schedule", ("cosine",)),
        ("latent_start=pca,zeros,", "latent_start", ("pca", "zeros")),
    ],
)
def test_what_is_to_be_tuned_is_read(text: str, name: str, values: Any) -> None:
    read = parse_tune(text)
    assert read == (name, values)
    assert [type(value) for value in _ends(read[1])] == [type(value) for value in _ends(values)]


def _ends(values: Any) -> tuple[Any, ...]:
    return (values.low, values.high, values.log) if isinstance(values, Range) else values


@given(st.integers(-9, 3), st.integers(1, 9), st.sampled_from(["2", "10", "1.5", "2.5"]))
def test_decimal_ranges_are_exact(exponent: int, steps: int, factor: str) -> None:
    """The last value is there, and each is the number that its decimals name."""
    low = Decimal(1).scaleb(exponent)
    wanted = [low * Decimal(factor) ** k for k in range(steps + 1)]
    _, values = parse_tune(f"lr=log:{low}:{wanted[-1]}:{factor}")
    assert values == tuple(map(float, wanted))
    wanted = [low * (1 + k) for k in range(steps + 1)]
    _, values = parse_tune(f"lr=lin:{low}:{wanted[-1]}:{low}")
    assert values == tuple(map(float, wanted))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "tune must be name=values, .*, got 'lr'"),
        ("", "tune must be name=values, .*, got ''"),
        ("=1e-3", "a setting to tune must be one of learning_rate, .*, got ''"),
        ("seed=1,2", "a setting to tune must be one of .*, got 'seed'"),
        ("latent_dim=2", "a setting to tune .*, got 'latent_dim'; did you mean latent_dims"),
        ("lr=fast", "each value of learning_rate must be a number, got 'fast'"),
        ("lr=1e-3;1e-2", "each value of learning_rate must be a number, got '1e-3;1e-2'"),
        ("lr=1e-4:1e-1", "each value of learning_rate must be a number, got '1e-4:1e-1'"),
        ("lr=sNaN", "each value of learning_rate must be a number, got 'sNaN'"),
        ("latent_dims=2.5", "each value of latent_dims must be a whole number, got '2.5'"),
        ("latent_dims=nan", "each value of latent_dims must be a whole number, got 'nan'"),
        ("latent_dims=inf", "each value of latent_dims must be a whole number, got 'inf'"),
        ("latent_dims=1e999999", "each value of latent_dims must be a whole number, got '1e99"),
        ("latent_dims=lin:2:3:0.5", "each value of latent_dims must be a whole number, got '2.5'"),
        ("latent_dims=lin:2.5:8", "each value of latent_dims must be a whole number, got '2.5'"),
        ("arch=500--1", "arch must be layer widths from 1 to 999999 .*, got '500--1'"),
        ("batch_norm=perhaps", "each value of batch_norm must be true or false, got 'perhaps'"),
        ("lr=log:1", "a range of learning_rate must be log:low:high:factor or .*'log:1'"),
        ("lr=log:1:2:3:4", "a range of learning_rate must be .*'log:1:2:3:4'"),
        ("lr=log:a:b", "a range of learning_rate must be .*'log:a:b'"),
        ("lr=log:nan:1:10", "a range of learning_rate must be .*'log:nan:1:10'"),
        ("lr=log:1e-4:inf:10", "a range of learning_rate must be .*'log:1e-4:inf:10'"),
        ("lr=log:1e-1:1e-4:10", "a range of learning_rate .* It must rise"),
        ("lr=log:0:1:10", "a range of learning_rate .* It must rise: log from above 0"),
        ("lr=log:-1:1:10", "a range of learning_rate .* It must rise: log from above 0"),
        ("lr=log:1e-4:1e-1:1", "a range of learning_rate .* It must rise: .* factor above 1"),
        ("lr=log:1e-4:1e-1:0.1", "a range of learning_rate .* It must rise"),
        ("lr=lin:0.1:0.5:0", "a range of learning_rate .* It must rise"),
        ("lr=lin:0.1:0.5:-0.1", "a range of learning_rate .* It must rise"),
        ("lr=lin:0:1:1e-9", "the range of learning_rate has more than 10000 values"),
        ("lr=lin:0:1:1e-90", "the range of learning_rate has more than 10000 values"),
        ("lr=lin:0:1:1e-999999999", "a range of learning_rate must be"),
        ("lr=log:1:1e999999:1e999999", "a range of learning_rate must be"),
        ("latent_dims=lin:1e999999:1e999999:1", "a range of latent_dims must be"),
        ("activation=log:1:2:3", "activation is no number and cannot be searched in a range"),
        ("activation=lin:1:2", "activation is no number and cannot be searched in a range"),
        ("arch=lin:1:3:1", "arch is no number and cannot be searched in a range"),
        ("batch_norm=lin:0:1:1", "batch_norm is no number and cannot be searched in a range"),
    ],
)
def test_what_cannot_be_tuned_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_tune(text)


@pytest.mark.thorough
@given(
    st.sampled_from([*TUNABLE, "lr", "latent_lr"]),
    st.text("0123456789.:,-+_eElogintrufa ∞ ", max_size=20) | st.text(max_size=8),
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_in_a_sentence(name: str, text: str) -> None:
    read = unless_refused(lambda: parse_tune(f"{name}={text}"))
    if read is not None:
        found, values = read
        assert found in TUNABLE
        unless_refused(lambda: StudyConfig(search=SearchConfig({**RATE, found: values})))


@pytest.mark.parametrize("name", TUNABLE)
def test_every_tunable_setting_is_one(name: str) -> None:
    assert name == "learning_rate" or name in {
        *DecoderConfig.__dataclass_fields__,
        *FitConfig.__dataclass_fields__,
    }


@given(st.data(), st.sampled_from(TUNABLE))
def test_values_are_read_back_as_they_are_shown(data: st.DataObject, name: str) -> None:
    for value in data.draw(LISTS[name]):
        assert read_value(name, value) == value
        again = read_value(name, format_value(value))
        assert again == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-3, "0.001"),
        (1e-5, "1e-05"),
        (0.30000000000000004, "0.3"),
        (2.0, "2"),
        (128, "128"),
        ((500, 500), "500-500"),
        ((16,), "16"),
        (True, "True"),
        ("relu", "relu"),
        (None, "None"),
    ],
)
def test_values_are_shown_as_people_write_them(value: Any, text: str) -> None:
    assert format_value(value) == text


# The search


def test_the_grid_of_the_original_is_the_default() -> None:
    config = SearchConfig()
    assert config.space == {"learning_rate": (1e-4, 1e-3, 1e-2, 1e-1)}
    assert parse_tune("lr=log:1e-4:.1:10")[1] == LEARNING_RATE_GRID
    assert [cell["learning_rate"] for cell in config.cells()] == [1e-4, 1e-3, 1e-2, 1e-1]


def test_cells_of_one_shape_stand_together() -> None:
    """Whatever the order in which the settings are named, the traced ones vary fastest."""
    space = {
        "learning_rate": (1e-3, 1e-2),
        "arch": ((16,), (8, 8)),
        "latent_learning_rate": (1e-1, 1.0),
        "latent_dims": (2, 3),
    }
    config = SearchConfig(space)
    cells = list(config.cells())
    assert len(cells) == config.n_trials == 16
    assert len({tuple(cell.items()) for cell in cells}) == 16
    shapes = [(cell["arch"], cell["latent_dims"]) for cell in cells]
    assert [shape for shape, _ in itertools.groupby(shapes)] == [
        ((16,), 2),
        ((16,), 3),
        ((8, 8), 2),
        ((8, 8), 3),
    ]
    rates = [(cell["learning_rate"], cell["latent_learning_rate"]) for cell in cells[:4]]
    assert rates == list(itertools.product((1e-3, 1e-2), (1e-1, 1.0)))


@given(search_arguments())
@settings(max_examples=50, deadline=None)
def test_a_search_has_as_many_trials_as_it_says(arguments: dict[str, Any]) -> None:
    config = SearchConfig(**arguments)
    if config.sampler != "grid":
        assert config.n_trials == config.max_trials
        return
    cells = list(itertools.islice(config.cells(), 1000))
    whole = math.prod(len(_ends(values)) for values in config.space.values())
    assert len(cells) == config.n_trials == min(whole, config.max_trials or whole)
    for name, values in config.space.items():
        assert {cell[name] for cell in cells} <= set(_ends(values))
    names = [name for name in config.space if name not in TRACED]
    shapes = [tuple(cell[name] for name in names) for cell in cells]
    assert len(list(itertools.groupby(shapes))) == len(set(shapes)), "each shape once"


def test_a_grid_may_be_cut_short() -> None:
    config = SearchConfig({"learning_rate": (1e-3, 1e-2, 1e-1)}, max_trials=2)
    assert config.n_trials == 2
    assert [cell["learning_rate"] for cell in config.cells()] == [1e-3, 1e-2]
    assert SearchConfig(max_trials=100).n_trials == 4


def test_a_huge_grid_is_counted_without_being_listed() -> None:
    values = tuple(range(1, 10_001))
    space = {**RATE, "latent_dims": values, "batch_size": values[1:], "dropout_rate": (0.1, 0.2)}
    assert SearchConfig(space).n_trials == 10_000 * 9_999 * 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearchConfig({}), "the search space must hold learning_rate"),
        (lambda: SearchConfig({"latent_dims": (2,)}), "the search space must hold learning_rate"),
        (lambda: SearchConfig({"learning_rate": ()}), "space of learning_rate is empty"),
        (lambda: SearchConfig({**RATE, "arch": ()}), "the search space of arch is empty"),
        (lambda: SearchConfig({"learning_rate": (0.1, 0.1)}), r"must differ, got \(0.1, 0.1\)"),
        (lambda: SearchConfig({**RATE, "seed": (1,)}), "a setting to tune must be .*got 'seed'"),
        (lambda: SearchConfig({"learning_rate": (0.0,)}), "learning_rate must be greater than 0"),
        (lambda: SearchConfig({"learning_rate": (-1.0,)}), "greater than 0, got -1.0"),
        (lambda: SearchConfig({"learning_rate": (math.nan,)}), "must be a finite number, got nan"),
        (lambda: SearchConfig({"learning_rate": (1e39,)}), "must be a number of single precision"),
        (lambda: SearchConfig(sampler="bayes"), "sampler must be one of grid, .*got 'bayes'"),
        (lambda: SearchConfig(sampler="gird"), "sampler must be one of .*did you mean grid"),
        (lambda: SearchConfig(sampler="tpe"), "max_trials must be given for the sampler tpe"),
        (lambda: SearchConfig(sampler="random"), "max_trials must be given for .* random"),
        (lambda: SearchConfig(max_trials=0), "max_trials must be a positive whole number, got 0"),
        (lambda: SearchConfig(max_trials=10**7), "max_trials must be at most 1000000, got"),
        (lambda: SearchConfig(runs_at_once=0), "runs_at_once must be a positive .*, got 0"),
        (
            lambda: SearchConfig({"learning_rate": Range(1e-4, 1e-1, log=True)}),
            "a grid needs values of learning_rate, not a range.*--sampler",
        ),
        (
            lambda: SearchConfig({"learning_rate": Range(0.1, 0.1)}, "tpe", 3),
            "the range of learning_rate must rise, got 0.1 to 0.1",
        ),
        (
            lambda: SearchConfig({"learning_rate": Range(0.1, math.nan)}, "tpe", 3),
            "an end of the range of learning_rate must be a finite number, got nan",
        ),
        (
            lambda: SearchConfig({"learning_rate": Range(0.0, 0.1)}, "random", 3),
            "learning_rate must be greater than 0, got 0.0",
        ),
        (
            lambda: SearchConfig({**RATE, "dropout_rate": Range(0.0, 0.5, log=True)}, "tpe", 3),
            "the logarithmic range of dropout_rate must start above 0, got 0.0",
        ),
        (
            lambda: SearchConfig({**RATE, "activation": Range(1.0, 2.0)}, "tpe", 3),
            "activation is no number and cannot be searched in a range",
        ),
    ],
)
def test_searches_that_cannot_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("values", [[1e-3, 1e-2], 1e-3, "1e-3", {"low": 1e-3}])
def test_values_that_are_no_tuple_are_refused(values: Any) -> None:
    """A list would pass for one trial."""
    with pytest.raises(ConfigError, match="learning_rate must be a tuple or a range, got"):
        SearchConfig({"learning_rate": values})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"dropout_rate": (0.1, 1.5)}, "dropout_rate must be at least 0 and below 1, got 1.5"),
        ({"activation": ("relu", "rellu")}, "activation must be one of .*did you mean relu"),
        ({"latent_dims": (2, 10**6)}, "latent_dims must be at most 100000, got 1000000"),
        ({"latent_learning_rate": (1e-3, -1.0)}, "latent_learning_rate must be greater than 0"),
        ({"latent_start": ("ones",)}, "latent_start must be one of zeros.*, got 'ones'"),
        ({"batch_size": (1,), "batch_norm": (False, True)}, "batch_size must be at least 2 with"),
    ],
)
@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_every_combination_is_checked_before_anything_runs(
    space: dict[str, tuple], message: str, sampler: str
) -> None:
    """Also those that come after `max_trials`, which a sampler may draw."""
    with pytest.raises(ConfigError, match=message):
        StudyConfig(search=SearchConfig({**RATE, **space}, sampler, max_trials=1))


def test_a_search_cannot_be_changed_afterwards() -> None:
    space = {"learning_rate": (1e-3,)}
    config = SearchConfig(space)
    space["learning_rate"] = (1.0,)
    assert config.space["learning_rate"] == (1e-3,)
    with pytest.raises(TypeError):
        config.space["learning_rate"] = (1.0,)  # type: ignore[index]


@given(archs, st.integers(1, 100))
def test_a_trial_takes_its_values_over_the_settings(arch: tuple[int, ...], dims: int) -> None:
    config = StudyConfig()
    values = {"learning_rate": 1.0, "arch": arch, "latent_dims": dims, "schedule": "cosine"}
    decoder, fit = config.parts(values)
    assert (decoder.arch, decoder.latent_dims, fit.schedule) == (arch, dims, "cosine")
    assert decoder.activation == config.decoder.activation
    assert fit.num_epochs == config.fit.num_epochs
