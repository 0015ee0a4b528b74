"""The package's front door: everything it names is there, and nothing has come or gone unseen."""

import autodecoder

#: The public names. A name that goes from this list breaks programs of users: it needs a line in
#: CHANGELOG.md.
PUBLIC = (
    "__version__",
    "AugmentConfig",
    "AutoDecoder",
    "AutodecoderError",
    "compare_methods",
    "Comparison",
    "ConfigError",
    "DataConfig",
    "DataError",
    "Dataset",
    "DataWarning",
    "DecoderConfig",
    "EarlyStoppingConfig",
    "EngineError",
    "export_onnx",
    "fit_config",
    "fit_model",
    "FitConfig",
    "from_pretrained",
    "Generated",
    "ImageSet",
    "InferConfig",
    "Inference",
    "load_dataset",
    "load_model",
    "load_study",
    "load_study_data",
    "LogConfig",
    "Model",
    "OutputError",
    "parse_arch",
    "push_to_hub",
    "Range",
    "reproduce_study",
    "Reproduction",
    "ReproductionError",
    "run_study",
    "save_model",
    "SearchConfig",
    "SearchError",
    "StorageError",
    "Study",
    "study_config",
    "StudyConfig",
    "Trace",
)


def test_the_public_names_are_these() -> None:
    assert sorted(autodecoder.__all__) == sorted(PUBLIC)


def test_every_public_name_can_be_had() -> None:
    for name in PUBLIC:
        assert getattr(autodecoder, name) is not None
    assert set(PUBLIC) <= set(dir(autodecoder))
