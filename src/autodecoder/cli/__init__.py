"""The command line: thin commands that parse flags, call the library and print results."""

from autodecoder.cli.main import main

__all__ = ["main"]
