"""Pictures of a study."""

from autodecoder.report.pictures import write_pictures

__all__ = ["write_pictures"]
