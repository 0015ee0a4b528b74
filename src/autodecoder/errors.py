"""The few exceptions; each message names the rule, the value received and a way out."""


class AutodecoderError(Exception):
    """Base of every error that a user can mend; the command line prints it and exits with 2."""


class ConfigError(AutodecoderError, ValueError):
    """A setting breaks its rule."""


class DataError(AutodecoderError, ValueError):
    """A data file is missing, damaged or of another format than its name says."""


class MemoryLimitError(AutodecoderError, MemoryError):
    """The settings need more memory than there is."""


class OutputError(AutodecoderError, OSError):
    """A result cannot be written where it should go."""


class StorageError(AutodecoderError):
    """The storage of a study's trials cannot be reached, read or written."""


class SearchError(AutodecoderError):
    """A search is given up."""
