"""A web server on this machine that answers as the Hugging Face Hub does, as far as tests need."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

#: May write, may read what is private, and may do neither.
WRITER, READER = "hf_writer", "hf_reader"


@dataclass
class Repository:
    """Commits of files; the last one is `main`."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def commit(self, files: dict[str, bytes], message: str = "") -> str:
        """Add or replace files; returns the name of the commit."""
        before = self.commits[self.head] if self.commits else {}
        sha = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = before | files
        self.messages.append(message)
        return sha


@dataclass
class Hub:
    """What is stored and what was asked for. May be changed at any time."""

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256."""
    requests: list[str] = field(default_factory=list)
    """Method and path of each request."""
    full: bool = False
    """Whether large files are refused."""

    @property
    def fetched(self) -> set[str]:
        """Names of the files that were downloaded or asked about."""
        found = (re.search(r"/resolve/[^/]+/(.*)", unquote(line)) for line in self.requests)
        return {match[1] for match in found if match}


class Refusal(Exception):
    """An answer with an error status, and the Hub's own code for it."""

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(status)
        self.status, self.code = status, code


@contextmanager
def serve() -> Iterator[Hub]:
    class Handler(_Handler):
        @property
        def hub(self) -> Hub:
            return hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = Hub(url=f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    @property
    def hub(self) -> Hub:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep standard error clean."""

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            for method, pattern, respond in _ROUTES:
                match = re.fullmatch(pattern, path)
                if match and self.command in method:
                    respond(self, *map(unquote, match.groups()))
                    return
            raise Refusal(404)
        except Refusal as refusal:
            self.send(b"{}", status=refusal.status, headers={"X-Error-Code": refusal.code})

    def send(
        self, content: bytes, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_json(self, content: Any, status: int = 200) -> None:
        self.send(json.dumps(content).encode(), status=status)

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def must_write(self) -> None:
        if self.token != WRITER:
            raise Refusal(403 if self.token == READER else 401)

    def find(self, name: str, revision: str = "main") -> tuple[Repository, str]:
        """The repository and the commit, if the token may see them."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and self.token not in (READER, WRITER)):
            raise Refusal(404 if self.token else 401, "RepoNotFound")
        if repository.gated and self.command != "POST":
            raise Refusal(403, "GatedRepo")
        sha = repository.head if revision == "main" else revision
        if sha not in repository.commits:
            raise Refusal(404, "RevisionNotFound")
        return repository, sha

    def create(self) -> None:
        self.must_write()
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        exists = name in self.hub.repositories
        if not exists:
            # The client's older versions say `private`.
            private = asked.get("private", asked.get("visibility") == "private")
            self.hub.repositories[name] = Repository(private)
            self.hub.repositories[name].commit({".gitattributes": b""})
        self.send_json({"url": f"{self.hub.url}/{name}"}, 409 if exists else 200)

    def validate(self) -> None:
        self.send_json({"warnings": [], "errors": []})

    def preupload(self, name: str, revision: str) -> None:
        self.must_write()
        self.find(name, revision)
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.send_json({"files": modes})

    def batch(self, name: str) -> None:
        self.must_write()
        self.find(name)
        objects: list[dict[str, Any]] = json.loads(self.body)["objects"]
        for wanted in objects:
            if self.hub.full:
                wanted["error"] = {"code": 507, "message": "no room left"}
            elif wanted["oid"] not in self.hub.blobs:
                wanted["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
        self.send_json({"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.blobs[oid] = self.body
        self.send(b"")

    def commit(self, name: str, revision: str) -> None:
        self.must_write()
        repository, _ = self.find(name, revision)
        files, message = {}, ""
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert item["key"] == "lfsFile"
                files[value["path"]] = self.hub.blobs[value["oid"]]
        sha = repository.commit(files, message)
        self.send_json({"commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})

    def info(self, name: str, revision: str = "main") -> None:
        repository, sha = self.find(name, revision)
        siblings = [{"rfilename": path} for path in repository.commits[sha]]
        self.send_json({"id": name, "sha": sha, "private": False, "siblings": siblings})

    def tree(self, name: str, revision: str) -> None:
        repository, sha = self.find(name, revision)
        entries = []
        for path, content in repository.commits[sha].items():
            entry = {"type": "file", "path": path, "size": len(content), "oid": _blob_id(content)}
            if _is_large(path):
                oid = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self.send_json(entries)

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository, sha = self.find(name, revision)
        content = repository.commits[sha].get(path)
        if content is None:
            raise Refusal(404, "EntryNotFound")
        headers = {"ETag": f'"{_blob_id(content)}"', "X-Repo-Commit": sha}
        if not _is_large(path):
            self.send(content, headers=headers)
            return
        oid = hashlib.sha256(content).hexdigest()
        self.hub.blobs[oid] = content
        headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
        # On another host, as the client must not expect more headers from there.
        headers["Location"] = f"{self.hub.url.replace('127.0.0.1', 'localhost')}/lfs/{oid}"
        self.send(b"", status=302, headers=headers)

    def load(self, oid: str) -> None:
        self.send(self.hub.blobs[oid], headers={"ETag": f'"{oid}"'})


def _is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".pkl"))


def _blob_id(content: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


_NAME = r"([^/]+/[^/]+)"
_ROUTES = (
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", f"/api/models/{_NAME}/preupload/([^/]+)", _Handler.preupload),
    ("POST", f"/{_NAME}[.]git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/lfs/([0-9a-f]+)", _Handler.store),
    ("POST", f"/api/models/{_NAME}/commit/([^/]+)", _Handler.commit),
    ("GET", f"/api/models/{_NAME}", _Handler.info),
    ("GET", f"/api/models/{_NAME}/revision/([^/]+)", _Handler.info),
    ("GET", f"/api/models/{_NAME}/tree/([^/]+)", _Handler.tree),
    (("GET", "HEAD"), f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
    (("GET", "HEAD"), "/lfs/([0-9a-f]+)", _Handler.load),
)
