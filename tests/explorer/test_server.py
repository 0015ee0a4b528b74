"""Requests as no browser sends them, over a socket: the explorer's server refuses them."""

import json
import socket
from collections.abc import Iterator

import pytest
from tests.report.test_page import make_model

from autodecoder.explorer import Explorer, create_app, listen, open_server

BODY = json.dumps({"latents": [[0, 1]]}).encode()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = create_app(Explorer(make_model(), {}), title="any")
    with open_server(app, listen()) as server:
        yield server.port


def send(port: int, *lines: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request as it is; returns the status and the answer of the server."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (200, ["GET / HTTP/1.0", "Host: localhost"]),
        (403, ["GET / HTTP/1.0"]),
        (403, ["GET / HTTP/1.1", "Connection: close"]),
        (403, ["GET / HTTP/1.0", "Host: evil.example"]),
        (403, ["GET / HTTP/1.0", "Host: localhost", "Host: evil.example"]),
        (400, ["GET / HTTP/1.0", "Host : localhost"]),
        (431, ["GET / HTTP/1.0", "Host: localhost", f"X-Long: {'x' * 2**18}"]),
        (413, ["POST /read HTTP/1.0", "Host: localhost", f"Content-Length: {10**12}"]),
        (400, ["POST /read HTTP/1.0", "Host: localhost", "Content-Length: -1"]),
    ],
)
def test_requests_that_are_refused(port: int, status: int, lines: list[str]) -> None:
    assert send(port, *lines)[0] == status


def test_of_two_lengths_of_a_request_the_chunks_count(port: int) -> None:
    """So that the rest of a body is never taken for another request."""
    lines = ("POST /decode HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    lines = (*lines, "Connection: close", "Content-Length: 3", "Transfer-Encoding: chunked")
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    status, answer = send(port, *lines, body=body)
    assert status == 200
    assert answer.count(b"HTTP/1.1") == 1
    assert send(port, *lines, "Transfer-Encoding: gzip", body=body)[0] in (400, 501)
