"""A model in the browser: its map, and images that are placed on it live.

Needs the extra `explorer`, which brings Flask and Waitress.
"""

from autodecoder.explorer.app import create_app
from autodecoder.explorer.explorer import Explorer
from autodecoder.explorer.server import Server, listen, open_server
from autodecoder.explorer.shelf import Shelf

__all__ = ["Explorer", "Server", "Shelf", "create_app", "listen", "open_server"]
