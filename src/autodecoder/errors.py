"""The few exceptions; each message names the rule, the value received and a way out."""

import re

from autodecoder.text import printable, shorten

#: Characters of a message at most: it may repeat what a file holds.
_MOST = 2000


class AutodecoderError(Exception):
    """Base of every error that a user can mend; the command line prints it and exits with 2.

    Of a message that is very long the middle is left out; what no terminal should get is replaced.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(shorten(message, _MOST)))


class ConfigError(AutodecoderError, ValueError):
    """A setting breaks its rule."""


class DataError(AutodecoderError, ValueError):
    """A data file is missing, damaged or of another format than its name says."""


class DataWarning(UserWarning):
    """Data can be taken in two ways: which one was, and how to have the other."""


class MemoryLimitError(AutodecoderError, MemoryError):
    """The settings need more memory than there is."""


class OutputError(AutodecoderError, OSError):
    """A result cannot be written where it should go."""


class StorageError(AutodecoderError):
    """The storage of a study's trials cannot be reached, read or written."""


class SearchError(AutodecoderError):
    """A search is aborted, since trial after trial has failed."""


class EngineError(AutodecoderError):
    """The engine of a study cannot be had, or loses its workers again and again."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python or a device of jax had too little memory."""
    if isinstance(error, MemoryError):
        return True
    return bool(re.search("out of memory|RESOURCE_EXHAUSTED", str(error), re.IGNORECASE))
