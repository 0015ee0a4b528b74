"""The command line: thin commands that parse, call and print."""

from autodecoder.cli.main import main

__all__ = ["main"]
