"""Errors of an MLflow server in the course of a study: told without the password in its URI."""

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.study.builders import CONFIG

from autodecoder.study import RunInfo
from autodecoder.study.observers import Observers

pytestmark = pytest.mark.skipif(
    find_spec("mlflow") is None,
    reason="MLflow is not installed (pip install 'autodecoder[mlflow]')",
)
PASSWORD = "hunter2"


class Handler(BaseHTTPRequestHandler):
    """Answers the first request, for experiments, and fails at any other."""

    def do_GET(self) -> None:
        if "experiments/search" not in self.path:
            self.send_error(500)
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep standard error clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.parametrize("password", [PASSWORD, f"{PASSWORD}@home", f"{PASSWORD}%2Fhome"])
@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize("fails", ["goes away", "answers 500"])
def test_the_password_is_not_told_when_the_server_fails(
    server: ThreadingHTTPServer,
    fails: str,
    by_variable: bool,
    password: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from autodecoder.report.mlflow import MLflowLogger

    uri = f"http://me:{password}@127.0.0.1:{server.server_port}"
    if by_variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    logger = MLflowLogger(None if by_variable else uri)
    if fails == "goes away":
        server.shutdown()
        server.server_close()
    run = RunInfo("0", 0, {}, CONFIG.run_config({"learning_rate": 0.01}, (8, 8, 1)), tmp_path, "s")
    with caplog.at_level(logging.DEBUG):
        Observers([logger]).tell(lambda one: one.begin_run(run, 0))
    told = caplog.text + "".join(capfd.readouterr())
    assert "the observer MLflowLogger failed with MLflowError: " in told
    assert "me:***@127.0.0.1" in told
    assert "hunter2" not in told
