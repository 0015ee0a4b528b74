"""A fitted model: what can be done with it, and the files that hold it."""

from autodecoder.model.files import load_model, save_model
from autodecoder.model.fit import fit_model
from autodecoder.model.model import Model

__all__ = ["Model", "fit_model", "load_model", "save_model"]
