"""The explorer's server: Waitress, on one port, until it is closed."""

import errno
import logging
import os
import socket
import threading
from types import TracebackType

import flask
from waitress.server import BaseWSGIServer, create_server

from autodecoder.errors import ConfigError
from autodecoder.explorer.app import MOST_BYTES

#: Number of requests that are answered in parallel.
_THREADS = 8
#: Most connections, and seconds that one may be idle, so that idle ones cannot block others.
_CONNECTIONS = 1000
_IDLE = 20


class Server:
    """A listening server; `run` answers until Ctrl-C. In a `with` block, a thread answers."""

    def __init__(self, server: BaseWSGIServer, port: int) -> None:
        self._server = server
        self._closed = False
        self.port = port
        """The port on which it listens."""

    def run(self) -> None:
        """Answer requests until interrupted."""
        self._server.run()

    def __enter__(self) -> "Server":
        threading.Thread(target=self._run_until_closed, daemon=True).start()
        return self

    def _run_until_closed(self) -> None:
        """Run, and ignore the error of sockets that are closed while the server waits."""
        try:
            self.run()
        except OSError:
            if not self._closed:
                raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._server.close()


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Listen on a port; 0 takes any free port.

    Raises
    ------
    ConfigError
        If the port is in use, host and port cannot be listened on, or the host is empty, which the
        system takes for all addresses.
    """
    if not host.strip():
        raise ConfigError("host must be an address of this machine, such as 127.0.0.1, got none.")
    if not 0 <= port < 2**16:
        raise ConfigError(f"port must lie between 0 and 65535, got {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        if number <= 0:  # an unknown name, or one too long to look up
            raise ConfigError(f"host must be an address of this machine, got {host}.") from error
        other = "host" if number == errno.EADDRNOTAVAIL else "port"
        raise ConfigError(
            f"{host}, port {port}, cannot be listened on: {os.strerror(number).lower()}; --{other} "
            "names another."
        ) from error


def open_server(app: flask.Flask, listening: socket.socket) -> Server:
    """Open a server of an application on a socket of `listen`."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns of short queues
    server = create_server(
        app,
        sockets=[listening],
        threads=_THREADS,
        connection_limit=_CONNECTIONS,
        channel_timeout=_IDLE,
        cleanup_interval=5,
        max_request_body_size=MOST_BYTES,
        ident="autodecoder",
    )
    assert isinstance(server, BaseWSGIServer)  # it is another type only for several sockets
    return Server(server, listening.getsockname()[1])
