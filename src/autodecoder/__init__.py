"""Decoder-only image reconstruction: train a decoder and one latent vector per image together."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autodecoder._version import __version__

if TYPE_CHECKING:
    from autodecoder.compare import Comparison, compare_methods
    from autodecoder.config import (
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
        fit_config,
        parse_arch,
        study_config,
    )
    from autodecoder.core.infer import Inference
    from autodecoder.data import Dataset, ImageSet, load_dataset
    from autodecoder.errors import (
        AutodecoderError,
        ConfigError,
        DataError,
        DataWarning,
        EngineError,
        OutputError,
        ReproductionError,
        SearchError,
        StorageError,
    )
    from autodecoder.estimator import AutoDecoder
    from autodecoder.model import (
        Generated,
        Model,
        Trace,
        export_onnx,
        fit_model,
        from_pretrained,
        load_model,
        push_to_hub,
        save_model,
    )
    from autodecoder.study import (
        Reproduction,
        Study,
        load_study,
        load_study_data,
        reproduce_study,
        run_study,
    )

#: Module of each public name. Names are imported at first use, so that `--help` does not wait for
#: jax.
_HOMES = {
    "compare": ("Comparison", "compare_methods"),
    "config": (
        "AugmentConfig",
        "DataConfig",
        "DecoderConfig",
        "EarlyStoppingConfig",
        "FitConfig",
        "InferConfig",
        "LogConfig",
        "Range",
        "SearchConfig",
        "StudyConfig",
        "fit_config",
        "parse_arch",
        "study_config",
    ),
    "core.infer": ("Inference",),
    "data": ("Dataset", "ImageSet", "load_dataset"),
    "errors": (
        "AutodecoderError",
        "ConfigError",
        "DataError",
        "DataWarning",
        "EngineError",
        "OutputError",
        "ReproductionError",
        "SearchError",
        "StorageError",
    ),
    "estimator": ("AutoDecoder",),
    "model": (
        "Generated",
        "Model",
        "Trace",
        "export_onnx",
        "fit_model",
        "from_pretrained",
        "load_model",
        "push_to_hub",
        "save_model",
    ),
    "study": (
        "Reproduction",
        "Study",
        "load_study",
        "load_study_data",
        "reproduce_study",
        "run_study",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AugmentConfig",
    "AutoDecoder",
    "AutodecoderError",
    "Comparison",
    "ConfigError",
    "DataConfig",
    "DataError",
    "DataWarning",
    "Dataset",
    "DecoderConfig",
    "EarlyStoppingConfig",
    "EngineError",
    "FitConfig",
    "Generated",
    "ImageSet",
    "InferConfig",
    "Inference",
    "LogConfig",
    "Model",
    "OutputError",
    "Range",
    "Reproduction",
    "ReproductionError",
    "SearchConfig",
    "SearchError",
    "StorageError",
    "Study",
    "StudyConfig",
    "Trace",
    "__version__",
    "compare_methods",
    "export_onnx",
    "fit_config",
    "fit_model",
    "from_pretrained",
    "load_dataset",
    "load_model",
    "load_study",
    "load_study_data",
    "parse_arch",
    "push_to_hub",
    "reproduce_study",
    "run_study",
    "save_model",
    "study_config",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
