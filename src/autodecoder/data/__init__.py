"""Images in: where they come from, how their files are read, and which of them are used."""

from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.data.load import load_configured, load_dataset
from autodecoder.data.splits import subset

__all__ = ["Dataset", "ImageSet", "load_configured", "load_dataset", "subset"]
