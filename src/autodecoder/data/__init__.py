"""Loading images: sources, file formats, and the choice of images that are used."""

from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.data.load import load_configured, load_dataset
from autodecoder.data.splits import subset

__all__ = ["Dataset", "ImageSet", "load_configured", "load_dataset", "subset"]
