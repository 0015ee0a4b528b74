"""Fitted models: fitting, use, files, and export."""

from autodecoder.model.fit import fit_model
from autodecoder.model.generated import Generated, Trace
from autodecoder.model.hub import from_pretrained, push_to_hub
from autodecoder.model.loading import load_model
from autodecoder.model.model import Model
from autodecoder.model.onnx import export_onnx
from autodecoder.model.saving import save_model

__all__ = [
    "Generated",
    "Model",
    "Trace",
    "export_onnx",
    "fit_model",
    "from_pretrained",
    "load_model",
    "push_to_hub",
    "save_model",
]
