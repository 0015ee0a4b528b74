"""Export of a decoder as an ONNX file, for programs that have neither this package nor jax.

The graph is written operator by operator. The general converter jax2onnx gives the same numbers,
but five times as many nodes. It installs 290 MB that nothing else here needs (flax, orbax,
tensorstore, sympy and more), while `onnx` alone takes 31 MB.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from autodecoder._version import __version__
from autodecoder.config import format_arch
from autodecoder.core.decoders import Decoder
from autodecoder.core.decoders.operators import (
    Activate,
    Convolve,
    Crop,
    Dense,
    Flatten,
    GroupNorm,
    Operator,
    Residual,
    Unflatten,
    Upsample,
)
from autodecoder.core.scaling import SCALINGS
from autodecoder.errors import ConfigError
from autodecoder.files import write_file
from autodecoder.model.model import Model
from autodecoder.model.tables import Standardization
from autodecoder.paths import user_path

#: This operator set has everything that a decoder needs, and older runtimes support it.
_OPSET = 17
_IR_VERSION = 8
#: Numbers of float32 and float64 in the format.
_FLOAT, _DOUBLE = 1, 11
#: Most bytes of weights. A file is one protocol buffer of less than 2 GiB, including names.
_MOST_BYTES = 2**31 - 2**20


class _Node(NamedTuple):
    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


class _Graph:
    """Nodes in execution order, and their constants by name."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        """Add a constant; returns its name."""
        self.constants[name] = np.asarray(value, dtype)
        return name

    def add(
        self, operator: str, *inputs: str, attributes: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        """Append a node; returns the name of its output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(_Node(operator, inputs, output, attributes))
        return output


def export_onnx(model: Model, path: Path | str) -> None:
    """Write the decoder as an ONNX file, whole or not at all.

    The file computes `Model.decode`, including the conversion to pixels and clipping. Batch
    normalisation is folded into the weights, since its statistics are fixed in evaluation mode.

    The input `latents` is `(n, latent_dims)`. The output `images` is `(n, height, width, channels)`
    with pixels from 0 to 1; for features it is `features`, `(n, n_features)`, in their own units.
    All are float32, and `n` is variable. The metadata of the file are `latent_dims`, `image_shape`,
    `scaler` and `autodecoder`, the version that wrote it.

    Parameters
    ----------
    model : Model
    path : Path or str
        The file to write; an existing file is replaced.

    Raises
    ------
    ConfigError
        If `onnx` is not installed, if the decoder is too large for the format, or if it is a user's
        own module, which has no operators.
    OutputError
        If the file cannot be written.
    """
    graph = _Graph()
    outputs = _decode(graph, model.decoder, "latents")
    if model.standardization is None:
        name, output = "images", _to_images(graph, outputs, model.scaler, model.image_shape)
    else:
        name, output = "features", _to_features(graph, outputs, model.standardization)
    about = {
        "latent_dims": str(model.latent_dims),
        "image_shape": json.dumps(model.image_shape),
        "scaler": model.scaler,
        "autodecoder": __version__,
    }
    signature = {"latents": (model.latent_dims,), name: model.sample_shape}
    write_file(user_path(path), _serialise(graph, output, signature, about))


def _decode(graph: _Graph, decoder: Decoder, latents: str) -> str:
    """Add the nodes of the decoder in evaluation mode; returns the name of the output."""
    steps = decoder.operators()
    if steps is None:
        raise ConfigError(
            f"a decoder of arch {format_arch(decoder.config.arch)} has no list of operators, and "
            "cannot be exported from Python."
        )
    return _run(graph, steps, latents, "")


def _run(graph: _Graph, steps: Sequence[Operator], hidden: str, prefix: str) -> str:
    for k, step in enumerate(steps):
        name = f"{prefix}{k}"
        if isinstance(step, Residual):
            hidden = graph.add("Add", hidden, _run(graph, step.operators, hidden, f"{name}/"))
        elif isinstance(step, Activate):
            hidden = _ACTIVATIONS[step.name](graph, hidden)
        else:
            hidden = _OPERATORS[type(step)](graph, step, hidden, name)
    return hidden


def _dense(graph: _Graph, step: Dense, hidden: str, name: str) -> str:
    inputs = [hidden, graph.constant(f"{name}/weight", step.weight)]
    if step.bias is None:
        return graph.add("MatMul", *inputs)
    return graph.add("Gemm", *inputs, graph.constant(f"{name}/bias", step.bias))


def _unflatten(graph: _Graph, step: Unflatten, hidden: str, name: str) -> str:
    """Rows to images. Images in the graph are channels first, as the format requires."""
    shape = (0, step.height, step.width, step.channels)
    images = graph.add("Reshape", hidden, graph.constant(f"{name}/shape", shape, np.int64))
    return graph.add("Transpose", images, attributes={"perm": (0, 3, 1, 2)})


def _upsample(graph: _Graph, step: Upsample, hidden: str, name: str) -> str:
    weight = graph.constant(f"{name}/weight", np.moveaxis(step.weight, 3, 1))
    bias = () if step.bias is None else (graph.constant(f"{name}/bias", step.bias),)
    attributes = {"strides": (2, 2), "pads": (1, 1, 1, 1)}
    return graph.add("ConvTranspose", hidden, weight, *bias, attributes=attributes)


def _convolve(graph: _Graph, step: Convolve, hidden: str, name: str) -> str:
    weight = graph.constant(f"{name}/weight", step.weight.transpose(3, 0, 1, 2))
    bias = () if step.bias is None else (graph.constant(f"{name}/bias", step.bias),)
    return graph.add("Conv", hidden, weight, *bias, attributes={"pads": (1, 1, 1, 1)})


def _group_norm(graph: _Graph, step: GroupNorm, hidden: str, name: str) -> str:
    """Group normalisation of rows or images, by instance normalisation of each group.

    The format's own group normalisation is newer than the operator set used here.
    """
    groups = step.n_groups
    shape = graph.constant(f"{name}/shape", (0, groups, -1), np.int64)
    ones = graph.constant(f"{name}/ones", np.ones(groups))
    zeros = graph.constant(f"{name}/zeros", np.zeros(groups))
    grouped = graph.add("Reshape", hidden, shape)
    even = graph.add(
        "InstanceNormalization", grouped, ones, zeros, attributes={"epsilon": step.epsilon}
    )
    back = graph.add("Reshape", even, graph.add("Shape", hidden))
    # Channels are the second axis: (1, channels, 1, 1) for images, (1, channels) for rows.
    places = (1, 1) if step.of_images else ()
    sides = (1, len(step.scale), *places)
    scaled = graph.add("Mul", back, graph.constant(f"{name}/scale", step.scale.reshape(sides)))
    return graph.add("Add", scaled, graph.constant(f"{name}/offset", step.offset.reshape(sides)))


def _crop(graph: _Graph, step: Crop, hidden: str, name: str) -> str:
    starts = graph.constant(f"{name}/starts", (step.top, step.left), np.int64)
    ends = graph.constant(
        f"{name}/ends", (step.top + step.height, step.left + step.width), np.int64
    )
    axes = graph.constant(f"{name}/axes", (2, 3), np.int64)
    return graph.add("Slice", hidden, starts, ends, axes)


def _flatten(graph: _Graph, _step: Flatten, hidden: str, _name: str) -> str:
    rows = graph.add("Transpose", hidden, attributes={"perm": (0, 2, 3, 1)})
    return graph.add("Flatten", rows)


_OPERATORS: Mapping[type, Callable[[_Graph, Any, str, str], str]] = MappingProxyType(
    {
        Dense: _dense,
        Unflatten: _unflatten,
        Upsample: _upsample,
        Convolve: _convolve,
        GroupNorm: _group_norm,
        Crop: _crop,
        Flatten: _flatten,
    }
)


def _to_images(graph: _Graph, outputs: str, scaler: str, image_shape: tuple[int, int, int]) -> str:
    """The last steps for pixels: `to_unit`, and the reshape to images."""
    scaling = SCALINGS[scaler]
    if scaling.low != 0:
        outputs = graph.add("Sub", outputs, graph.constant("low", scaling.low))
    if scaling.span != 1:
        outputs = graph.add("Div", outputs, graph.constant("span", scaling.span))
    zero, one = graph.constant("zero", 0), graph.constant("one", 1)
    pixels = graph.add("Clip", outputs, zero, one)
    # A length of 0 means that of the input, which may itself be 0.
    shape = graph.constant("shape", (0, *image_shape), np.int64)
    return graph.add("Reshape", pixels, shape)


def _to_features(graph: _Graph, outputs: str, by: Standardization) -> str:
    """The last step for features: `unstandardize`, also in double precision."""
    double = graph.add("Cast", outputs, attributes={"to": _DOUBLE})
    scaled = graph.add("Mul", double, graph.constant("std", by.std, np.float64))
    moved = graph.add("Add", scaled, graph.constant("mean", by.mean, np.float64))
    return graph.add("Cast", moved, attributes={"to": _FLOAT})


def _serialise(
    graph: _Graph,
    output: str,
    signature: Mapping[str, tuple[int, ...]],
    about: Mapping[str, str],
) -> bytes:
    """The bytes of a checked file. `signature` has the names of input and output, with shapes
    without `n`."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ConfigError(
            "ONNX is not installed; pip install 'autodecoder[onnx]' brings it."
        ) from error
    n_bytes = sum(array.nbytes for array in graph.constants.values())
    if n_bytes > _MOST_BYTES:
        raise ConfigError(
            f"an ONNX file holds at most {_MOST_BYTES:,} bytes of weights, the decoder has "
            f"{n_bytes:,}: use a narrower arch."
        )
    (first, given), (final, returned) = signature.items()
    names = {output: final}
    nodes = [
        onnx.helper.make_node(
            node.operator,
            node.inputs,
            [names.get(node.output, node.output)],
            name=node.output,
            **node.attributes,
        )
        for node in graph.nodes
    ]
    float32 = onnx.TensorProto.FLOAT
    built = onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "decoder",
            [onnx.helper.make_tensor_value_info(first, float32, ["n", *given])],
            [onnx.helper.make_tensor_value_info(final, float32, ["n", *returned])],
            [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        producer_name="autodecoder",
        producer_version=__version__,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.helper.set_model_props(built, dict(about))
    onnx.checker.check_model(built, full_check=True)
    return built.SerializeToString(deterministic=True)


def _one(
    operator: str, attributes: Mapping[str, Any] = MappingProxyType({})
) -> Callable[[_Graph, str], str]:
    """The writer of an activation that is a single operator of the format."""
    return lambda graph, x: graph.add(operator, x, attributes=attributes)


def _gelu(graph: _Graph, x: str) -> str:
    inner = graph.add("Div", x, graph.constant("root_two", math.sqrt(2)))
    double = graph.add("Add", graph.add("Erf", inner), graph.constant("one", 1))
    return graph.add("Mul", graph.add("Mul", x, graph.constant("half", 0.5)), double)


def _silu(graph: _Graph, x: str) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _mish(graph: _Graph, x: str) -> str:
    return graph.add("Mul", x, graph.add("Tanh", graph.add("Softplus", x)))


#: For each activation, the function that adds its nodes.
_ACTIVATIONS: MappingProxyType[str, Callable[[_Graph, str], str]] = MappingProxyType(
    {
        "relu": _one("Relu"),
        "leaky_relu": _one("LeakyRelu", {"alpha": 0.2}),
        "elu": _one("Elu"),
        "selu": _one("Selu"),
        "gelu": _gelu,
        "tanh": _one("Tanh"),
        "sigmoid": _one("Sigmoid"),
        "softplus": _one("Softplus"),
        "swish": _silu,
        "silu": _silu,
        "mish": _mish,
        "linear": lambda _graph, x: x,
    }
)
