"""The description of a model: a Markdown card for people, and facts for programs."""

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autodecoder._version import __version__
from autodecoder.config import OWN, DecoderConfig, format_arch
from autodecoder.core.decoders import count_weights
from autodecoder.core.decoders.operators import count_multiplications
from autodecoder.core.scaling import SCALINGS
from autodecoder.model.metrics import (
    UNITS,
    describe_epoch,
    named_metrics,
    saved_epoch,
    yardstick_of,
)
from autodecoder.model.model import Model
from autodecoder.text import count, legible

_LIBRARIES = ("jax", "numpy", "equinox", "optax", "safetensors")

#: Published names of data sets.
_TITLES = {
    "digits": "Digits",
    "mnist": "MNIST",
    "fmnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}


def library_versions() -> dict[str, str]:
    """Versions of Python, of this library, and of the numerical libraries that it uses."""
    found = {name: version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "autodecoder": __version__, **found}


def count_cost(model: Model) -> int | None:
    """The number of multiplications by weights to decode a sample; `None` if unknown."""
    steps = model.decoder.operators()
    return None if steps is None else count_multiplications(steps)


def model_facts(model: Model) -> dict[str, Any]:
    """Facts about a model by name, one line each; `None` if unknown."""
    about, config = model.about, model.decoder.config
    dataset = about.get("dataset")
    is_table = model.standardization is not None
    shape = " × ".join(map(str, model.sample_shape)) + (" features" if is_table else " pixels")
    return {
        "data set": dataset if isinstance(dataset, str) else "not named",
        "fingerprint of the data": about.get("data_fingerprint"),
        "one sample": shape,
        "scaling": UNITS[model.scaler],
        "minimised loss": None if model.loss == "mse" else model.loss,
        "decoder": f"{count(config.latent_dims, 'latent dimension')}, then {_decoder(model)}",
        "weights": f"{count_weights(model.decoder):,}",
        "multiplications a sample": None if (n := count_cost(model)) is None else f"{n:,}",
        "latents": f"{len(model.latents):,} of training, {len(model.val_latents):,} of validation",
        "epoch": describe_epoch(model),
        "for comparison": _yardstick(model),
        "learning rate": _inside(about, "values", "learning_rate"),
        "seed": _inside(about, "settings", "seed"),
    }


def _yardstick(model: Model) -> str | None:
    """The errors of the mean image and of as many principal components as latents have
    dimensions."""
    found = yardstick_of(model)
    return found and f"{found.tell([model.latent_dims])} (errors of the {found.images})"


def title_of_dataset(name: str) -> str:
    """The title of a data set: its published name, or the name of its file or folder without the
    path."""
    place = name.partition(":")[2]
    return _TITLES.get(name, legible(Path(place).name or name))


def describe_decoder(model: Model) -> str:
    """A short description of the decoder, such as `2-D, 500-500`."""
    config = model.decoder.config
    arch = "own decoder" if config.arch == OWN else format_arch(config.arch)
    return f"{config.latent_dims}-D, {arch}"


def describe_model(model: Model) -> str:
    """The model card: description, training data, errors, and use of the model, in Markdown."""
    dataset, rows = model.about.get("dataset"), model_facts(model)
    lines = [
        "---",
        "library_name: autodecoder",
        "tags: [auto-decoder, latent-space]",
        "---",
        "",
        "# Auto-decoder" + (f" of {_line(dataset)}" if isinstance(dataset, str) else ""),
        "",
        "This is a decoder without an encoder. It was trained together with one latent vector per "
        "training sample. Other samples are reconstructed by inferring their latents.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_line(value)} |" for name, value in rows.items() if value is not None),
        "",
        "## Errors",
        "",
        *_metrics(model),
        "",
        "## Use",
        "",
        "```python",
        "import autodecoder as ad",
        "",
        f'model = ad.load_model("this folder"{_and_module(model)})',
        "found = model.infer(samples)  # latents of other samples",
        "model.decode(found.latents)",
        "```",
        "",
        "The model reconstructs samples similar to its training samples. For other samples it "
        "decodes the nearest one of this kind. This folder contains the latents of the training "
        "samples, from which anybody can decode approximations of these samples."
        + _about_names(model),
        "",
        "Written by " + ", ".join(f"{k} {v}" for k, v in library_versions().items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _about_names(model: Model) -> str:
    columns = ", ".join({**model.columns, **model.val_columns})
    if model.names is None and model.val_names is None and not columns:
        return ""
    more = f", with {columns}" if columns else ""
    return f" `images.csv` lists the file or row of the data for each latent{_line(more)}."


def _and_module(model: Model) -> str:
    return ", decoder=module" if model.decoder.config.arch == OWN else ""


def _decoder(model: Model) -> str:
    config = model.decoder.config
    if config.arch == OWN:
        return "an equinox module, whose code is not in these files"
    output = SCALINGS[model.scaler].output_activation
    return f"{format_arch(config.arch)}, {config.activation}{_options(config)}, output {output}"


def _options(config: DecoderConfig) -> str:
    options = [
        name
        for name, on in (
            (f"{config.normalisation} normalisation", config.normalisation != "none"),
            (f"dropout {config.dropout_rate:g}", config.dropout_rate),
            ("no biases", not config.use_bias),
        )
        if on
    ]
    return "".join(f", {name}" for name in options)


def _metrics(model: Model) -> list[str]:
    named = named_metrics(model)
    if not named:
        return ["Not recorded."]
    others = any(" after epoch " in name for name in named)
    return [
        f"These errors were measured in epoch {saved_epoch(model)} of the training, which this "
        "model holds. "
        + ("A row that names another epoch is not about this model. " if others else "")
        + f"`loss` is the mean squared error ({UNITS[model.scaler]}). `val_` marks validation "
        "samples with latents that moved along in training, `fresh_val_` validation samples with "
        "latents inferred afterwards.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {_line(name)} | {value:.4g} |" for name, value in named.items()),
    ]


def _inside(about: Mapping[str, Any], part: str, name: str) -> Any:
    inner = about.get(part)
    return inner.get(name) if isinstance(inner, Mapping) else None


def _line(value: Any) -> str:
    """An external value as escaped plain text on one line."""
    return re.sub(r"([\\|<>\[\]`*#])", r"\\\1", legible(value))
