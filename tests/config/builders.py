"""Random configurations, and random values of any kind that a file can hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st

from autodecoder.config import (
    ACTIVATIONS,
    ALPHAS,
    AUGMENTATIONS,
    CODES,
    COLOURS,
    DATASETS,
    FIRST_MOMENT_DTYPES,
    INFER_METHODS,
    LATENT_STARTS,
    METRIC_ALIASES,
    METRICS,
    OWN_SOURCES,
    PRIORS,
    SCALERS,
    SCHEDULES,
    SECOND_MOMENTS,
    TRACKERS,
    AugmentConfig,
    DataConfig,
    DecoderConfig,
    EarlyStoppingConfig,
    FitConfig,
    InferConfig,
    LogConfig,
    Range,
    SearchConfig,
    StudyConfig,
)
from autodecoder.errors import ConfigError

T = TypeVar("T")

rates = st.floats(1e-30, 1e30)
#: Of latents of any length.
starts = st.sampled_from([start for start in LATENT_STARTS if start not in ("som", "neighbours")])
shares = st.floats(0.01, 0.99)
counts = st.integers(1, 10_000)
archs = st.lists(st.integers(1, 999_999), min_size=1, max_size=4).map(tuple)


def _some(*names: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), unique=True, max_size=len(names)).map(tuple)


def _values(of: st.SearchStrategy) -> st.SearchStrategy[tuple]:
    return st.lists(of, min_size=1, max_size=3, unique=True).map(tuple)


def _ranges(low: float, high: float) -> st.SearchStrategy[Range]:
    ends = st.tuples(st.floats(low, high), st.floats(low, high)).filter(
        lambda pair: pair[0] < pair[1]
    )
    return st.builds(lambda pair, log: Range(pair[0], pair[1], log), ends, st.booleans())


LISTS = {
    "learning_rate": _values(rates),
    "latent_learning_rate": _values(rates),
    "latent_dims": _values(st.integers(1, 1000)),
    "arch": _values(archs),
    "activation": _values(st.sampled_from(ACTIVATIONS)),
    "batch_norm": _values(st.booleans()),
    "norm": _values(st.sampled_from(["none", "group", "batch"])),
    "use_bias": _values(st.booleans()),
    "dropout_rate": _values(shares),
    "batch_size": _values(st.integers(2, 1000)),
    "latent_start": _values(starts),
    "latent_spread": _values(st.floats(1e-3, 1e3)),
    "bias_spread": _values(st.floats(0, 1e3)),
    "latent_second_moment": _values(st.sampled_from(SECOND_MOMENTS)),
    "latent_first_moment_dtype": _values(st.sampled_from(FIRST_MOMENT_DTYPES)),
    "schedule": _values(st.sampled_from(SCHEDULES)),
    "warmup_steps": _values(st.integers(0, 1000)),
    "base_width": _values(st.integers(1, 5000)),
    "clip_norm": _values(st.floats(1e-3, 1e3)),
    "nesterov": _values(st.booleans()),
    "drop_last": _values(st.booleans()),
    "shards": _values(st.integers(1, 100)),
    "prior": _values(st.sampled_from(PRIORS)),
    "n_components": _values(st.integers(1, 100)),
    "prior_weight": _values(st.floats(1e-3, 1e3)),
    "codes": _values(st.sampled_from(CODES)),
}
RANGES = {
    "learning_rate": _ranges(1e-30, 1e30),
    "latent_learning_rate": _ranges(1e-30, 1e30),
    "dropout_rate": _ranges(0.01, 0.9),
    "latent_spread": _ranges(1e-3, 1e3),
    "bias_spread": _ranges(1e-3, 1e3),
    "latent_dims": st.integers(1, 50).map(lambda low: Range(low, low + 7)),
    "batch_size": st.integers(2, 50).map(lambda low: Range(low, low + 7, log=True)),
}


@st.composite
def search_arguments(draw: st.DrawFn) -> dict[str, Any]:
    """Of grids, and of searches by samplers that draw, in which some settings have ranges."""
    sampler = draw(st.sampled_from(["grid", "random", "tpe"]))
    names = draw(st.lists(st.sampled_from(list(LISTS)), unique=True, max_size=4))
    space = {}
    for name in draw(st.permutations(sorted({*names, "learning_rate"}))):
        is_range = sampler != "grid" and name in RANGES and draw(st.booleans())
        space[name] = draw(RANGES[name] if is_range else LISTS[name])
    # What else would be refused, as it varies nothing.
    if "latent_spread" in space:
        space["latent_start"] = ("zeros", "pca")
    if "norm" in space:  # which says what batch_norm says, and more of widths
        space["norm"] = ("none", "batch")
        space.pop("batch_norm", None)
    if "codes" in space:  # which need a prior
        space["prior"] = ("gaussian", "mixture")
    if "bias_spread" in space:
        space["use_bias"] = (True,)
    most = draw(counts if sampler != "grid" else st.none() | counts)
    return {"space": space, "sampler": sampler, "max_trials": most, "runs_at_once": draw(counts)}


studies = st.builds(
    StudyConfig,
    data=st.builds(
        DataConfig,
        dataset=st.sampled_from([*DATASETS, *(f"{kind}:some/where" for kind in OWN_SOURCES)]),
        image_size=st.none() | st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)),
        colour=st.sampled_from(COLOURS),
        val_fraction=shares,
        split_by=st.none() | st.just(Path("some/split.csv")),
        columns=st.sampled_from(["all", "none", ("site",), ("site, ward", "age")]),
        mask=st.none() | st.just(Path("some/mask.npy")),
        alpha=st.sampled_from(ALPHAS),
        strict=st.booleans(),
        data_dir=st.none() | st.sampled_from(["data", "/somewhere/else"]).map(Path),
        examples_frac=st.floats(0, 1),
        scaler=st.sampled_from(SCALERS),
    ),
    decoder=st.builds(
        DecoderConfig,
        arch=archs,
        latent_dims=counts,
        activation=st.sampled_from(ACTIVATIONS),
        batch_norm=st.booleans(),
        use_bias=st.booleans(),
        dropout_rate=shares,
    ),
    fit=st.builds(
        FitConfig,
        num_epochs=counts,
        batch_size=st.integers(2, 1000),
        latent_start=starts,
        latent_spread=st.none() | st.floats(1e-3, 1e3),
        bias_spread=st.floats(0, 10),
        latent_learning_rate=st.none() | rates,
        latent_second_moment=st.sampled_from(SECOND_MOMENTS),
        latent_first_moment_dtype=st.sampled_from(FIRST_MOMENT_DTYPES),
        warmup_steps=st.integers(0, 1000),
        base_width=st.none() | counts,
        clip_norm=st.none() | st.floats(1e-3, 1e3),
        nesterov=st.booleans(),
        schedule=st.sampled_from(SCHEDULES),
        drop_last=st.booleans(),
        shards=st.integers(1, 100),
        prior=st.sampled_from(PRIORS),
        n_components=st.integers(1, 100),
        prior_weight=st.floats(1e-3, 1e3),
        loss=st.sampled_from(("mse", "laplacian")),
    ),
    augment=st.builds(
        AugmentConfig,
        enabled=_some(*AUGMENTATIONS),
        brightness=shares,
        contrast=shares,
        zoom=shares,
        translation=shares,
    ),
    infer=st.builds(
        InferConfig,
        method=st.sampled_from(INFER_METHODS),
        starts=st.just(("nearest", "zeros")),
        n_starts=counts,
        n_candidates=st.none() | counts,
        n_steps=st.none() | counts,
        tolerance=st.floats(0, 1),
        step_size=rates,
        prior_weight=st.none() | st.floats(0, 1e6),
        fresh_every=st.integers(0, 10),
        block_size=counts,
    ),
    early_stopping=st.builds(
        EarlyStoppingConfig,
        enabled=st.booleans(),
        min_delta=st.floats(0, 1),
        patience=st.none() | shares,
        start_epoch=st.none() | st.integers(0, 1000),
    ),
    search=search_arguments().map(lambda arguments: SearchConfig(**arguments)),
    log=st.builds(
        LogConfig,
        tensorboard=st.booleans(),
        trackers=_some(*TRACKERS),
        histogram_freq=st.integers(0, 100),
        visualize_freq=st.integers(0, 100),
        checkpoint_every=counts,
        save_best_model=st.booleans(),
    ),
    objective=st.sampled_from([*METRICS, *METRIC_ALIASES]),
    executions_per_trial=counts,
    seed=st.integers(0, 2**32 - 1),
    use_xla=st.booleans(),
)

#: Whatever a TOML file can hold in the place of a value.
scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**400, max_value=10**401),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.sampled_from(["relu", "zoom", "500-500", "log:1e-4:1e-1:10", "1e999999", "lin:1:2", "a=1"]),
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def unless_refused(make: Callable[[], T]) -> T | None:
    """What comes of it, or nothing where it is refused by a `ConfigError` of one sentence."""
    try:
        return make()
    except ConfigError as error:
        if not str(error) or str(error).endswith("\n"):
            raise AssertionError(f"no sentence: {error!r}") from error
        return None
