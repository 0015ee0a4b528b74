"""The exceptions; each message names the rule, the value received and a remedy."""

import re

from autodecoder.text import printable, shorten

#: Longest message, in characters: a message may quote the content of a file.
_MOST = 2000


class AutodecoderError(Exception):
    """Base of every error that a user can mend; the command line prints it and exits with 2.

    A very long message is shortened in the middle. Unprintable characters are replaced.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(shorten(message, _MOST)))


class ConfigError(AutodecoderError, ValueError):
    """A setting breaks its rule."""


class DataError(AutodecoderError, ValueError):
    """A data file is missing, damaged or of another format than its name says."""


class DataWarning(UserWarning):
    """Data can be read in two ways; the message names the one used and how to get the other."""


class MemoryLimitError(AutodecoderError, MemoryError):
    """The settings need more memory than is available."""


class OutputError(AutodecoderError, OSError):
    """A result cannot be written where it should go."""


class StorageError(AutodecoderError):
    """The storage of a study's trials cannot be reached, read or written."""


class SearchError(AutodecoderError):
    """A search is aborted after too many consecutive failed trials."""


class ReproductionError(AutodecoderError):
    """A repeated study differs from the first one by more than is allowed."""


class EngineError(AutodecoderError):
    """The engine of a study is not available, or repeatedly loses its workers."""


#: How jax says so; the last one is a step on a CPU that got no memory for its results.
_OUT_OF_MEMORY = re.compile(
    "out of memory|RESOURCE_EXHAUSTED|YNNPACK operation failed", re.IGNORECASE
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python or a device of jax had too little memory."""
    if isinstance(error, MemoryError):
        return True
    return bool(_OUT_OF_MEMORY.search(str(error)))
