"""The explorer as a Flask application: one page, and a few addresses that answer it in JSON."""

import ipaddress
import json
import logging
import reprlib
import secrets
import socket
from collections.abc import Callable, Collection
from typing import Any

import flask
import markupsafe
from werkzeug.exceptions import HTTPException

from autodecoder.core.decoders import count_weights
from autodecoder.errors import AutodecoderError, DataError
from autodecoder.explorer.explorer import Explorer
from autodecoder.report.plane import classes_context
from autodecoder.report.templates import render

_log = logging.getLogger(__name__)
#: Largest request, in bytes.
MOST_BYTES = 20_000_000
#: Content security policy: the page uses only its own content and answers of this server.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: Other headers of all answers: pages of other sites cannot embed an answer, use the window of the
#: page, or learn its address.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def create_app(explorer: Explorer, *, title: str, hosts: Collection[str] = ()) -> flask.Flask:
    """The explorer as an application for any WSGI server.

    Parameters
    ----------
    explorer : Explorer
    title : str
        Title of the page.
    hosts : collection of str
        Names by which a browser may address the server, besides `localhost`, this machine's name
        and numeric addresses. Others are refused, so that a foreign page cannot reach the server
        by a name that it has pointed here (DNS rebinding).
    """
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    known = {"localhost", socket.gethostname().lower(), *(host.lower() for host in hosts)} - {""}
    nonce = secrets.token_urlsafe(16)
    page, most = _page(explorer, title, nonce), explorer.most_values

    @app.before_request
    def refuse_strangers() -> None:
        request = flask.request
        if not _is_known(request.host, known):
            flask.abort(
                403,
                f"{reprlib.repr(request.host)} is not a name of this server; "
                "autodecoder explore --name NAME allows one.",
            )
        if request.method == "GET" and request.path == "/":
            return  # a link from elsewhere may lead here
        # Browsers state the origin of a request in one or both of these headers.
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site not in (None, "same-origin", "none") or (
            origin is not None and origin.partition("://")[2] != request.host
        ):
            flask.abort(403, "Requests of other pages are refused.")

    @app.after_request
    def harden(response: flask.Response) -> flask.Response:
        response.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
        response.headers.update(_HEADERS)
        return response

    @app.errorhandler(AutodecoderError)
    def tell(error: AutodecoderError) -> tuple[flask.Response, int]:
        return flask.jsonify(error=str(error)), 400

    @app.errorhandler(HTTPException)
    def tell_status(error: HTTPException) -> tuple[flask.Response, int]:
        text = error.description or error.name
        if error.code == 413:
            text = f"The request is too large: at most {MOST_BYTES // 1_000_000} MB are allowed."
        if flask.request.method == "GET":  # shown to a person
            page = f"<!doctype html><title>{error.code}</title><p>{markupsafe.escape(text)}"
            return flask.Response(page), error.code or 500
        return flask.jsonify(error=text), error.code or 500

    @app.errorhandler(Exception)
    def tell_failure(error: Exception) -> tuple[flask.Response, int]:
        _log.exception("a request failed", exc_info=error)
        return flask.jsonify(error="The server has failed; see its terminal for the error."), 500

    @app.get("/")
    def show() -> flask.Response:
        return flask.Response(page, mimetype="text/html")

    def answer(path: str, function: Callable[..., dict[str, Any]], *names: str) -> None:
        """Serve a function at an address that takes its named values as JSON."""

        def respond() -> flask.Response:
            values = _values(flask.request.get_data(), names, most)
            return flask.Response(
                json.dumps(function(**values), allow_nan=False), mimetype="application/json"
            )

        app.post(path, endpoint=path)(respond)

    def plane(basis: Any, across: Any, up: Any) -> dict[str, Any]:
        return explorer.plane(str(basis)[:40], _whole(across), _whole(up))

    def draw(n: Any, seed: Any) -> dict[str, Any]:
        return explorer.draw(_whole(n), _whole(seed))

    def way(a: Any, b: Any, n: Any, path: Any) -> dict[str, Any]:
        return explorer.way(a, b, _whole(n), str(path)[:40])

    def pick(name: Any, index: Any) -> dict[str, Any]:
        return explorer.pick(str(name)[:40], _whole(index))

    def gallery(name: Any, text: Any, first: Any) -> dict[str, Any]:
        return explorer.gallery(str(name)[:40], str(text or "")[:200], _whole(first))

    answer("/plane", plane, "basis", "across", "up")
    answer("/decode", explorer.decode, "latents")
    answer("/place", explorer.place, "values", "mask", "start")
    answer("/draw", draw, "n", "seed")
    answer("/way", way, "a", "b", "n", "path")
    answer("/pick", pick, "name", "index")
    answer("/gallery", gallery, "name", "text", "first")

    @app.post("/read")
    def read() -> flask.Response:
        if flask.request.mimetype != "application/octet-stream":
            raise DataError("a file must be of the type application/octet-stream.")
        return flask.jsonify(explorer.read(flask.request.get_data()))

    return app


def _page(explorer: Explorer, title: str, nonce: str) -> bytes:
    model = explorer.model
    look = {**explorer.first_look, "most_bytes": MOST_BYTES}
    originals = explorer.originals
    context = {
        "title": title,
        "originals": None if originals is None else json.dumps(originals),
        "has_originals": originals is not None,
        "nonce": nonce,
        "weights": f"{count_weights(model.decoder):,}",
        "model": json.dumps(look, allow_nan=False).replace("<", "\\u003c"),
        "axis_names": look["axis_names"],
        **classes_context(model),
        "shelves": look["shelves"],
        "dims": model.latent_dims,
        "n_train": f"{len(model.latents):,}",
        "n_val": f"{len(model.val_latents):,}",
        "is_live": True,  # the server decodes what the page cannot
        "is_table": model.standardization is not None,
        "is_colour": model.image_shape[2] == 3,
        "is_picture": model.standardization is None and model.image_shape[2] in (1, 3),
    }
    page = render("explorer.html.jinja", context, room="autodecoder.explorer")
    return page.encode("utf-8", "replace")


def _values(body: bytes, names: Collection[str], most: int) -> dict[str, Any]:
    """The named values of a request; absent ones are `None`."""
    if flask.request.mimetype != "application/json":
        raise DataError("a request must be of the type application/json.")
    # Counted before parsing, since parsed lists take many times the memory of their text.
    if sum(map(body.count, (b",", b"[", b"{"))) > most:
        raise DataError(f"a request must be a JSON object of at most {most:,} values.")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not set(given) <= set(names):
        raise DataError(f"a request must be a JSON object of {', '.join(names)}.")
    return {name: given.get(name) for name in names}


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DataError(f"a whole number is needed, got {reprlib.repr(value)}.")
    return value


def _is_known(host: str, known: Collection[str]) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in known
    return True
