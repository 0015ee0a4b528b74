"""Pictures and pages of studies and models."""

import autodecoder.report.drawing  # noqa: F401  (the first to import matplotlib)
from autodecoder.report.comparison import write_comparison
from autodecoder.report.methods import write_methods_page
from autodecoder.report.page import write_model_page, write_study_page
from autodecoder.report.pictures import write_figures, write_pictures

__all__ = [
    "write_comparison",
    "write_figures",
    "write_methods_page",
    "write_model_page",
    "write_pictures",
    "write_study_page",
]
