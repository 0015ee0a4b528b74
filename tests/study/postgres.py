"""A PostgreSQL server for the time of the tests, from the programs that this machine has."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: The server's superuser, and a password that no message may show.
USER, PASSWORD = "tester", "hunter2-and-more"


def find_programs() -> Path | None:
    """The newest folder that holds PostgreSQL's server; `None` if there is none."""
    found = [Path("/usr/lib/postgresql").glob("*/bin/initdb")] if os.name == "posix" else []
    folders = sorted((p.parent for paths in found for p in paths), key=lambda p: p.parent.name)
    if folders:
        return folders[-1]
    program = shutil.which("initdb")
    return None if program is None else Path(program).resolve().parent


class Server:
    """A cluster in a folder of its own, which listens on this machine alone."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._as: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:  # the server refuses to run as root
            user = _other_user()
            self._as |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(folder, user.pw_uid, user.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            *("initdb", "--username", USER, "--pwfile", secret, "--auth", "scram-sha-256"),
            *("--no-sync", "--encoding", "UTF8", "--locale", "C", "--pgdata", folder / "data"),
        )

    def url(self, password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("start", "--options", options, "--log", self._folder / "log", "--wait")

    def stop(self) -> None:
        """As an outage would: connections are cut."""
        self._control("stop", "--mode", "immediate", "--wait")

    def _control(self, *words: object) -> None:
        self._run("pg_ctl", "--silent", "--pgdata", self._folder / "data", *words)

    def _run(self, program: str, *words: object) -> None:
        command = [str(self._programs / program), *map(str, words)]
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False, **self._as)
            output.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} failed: {output.read().decode()}")


def _other_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("there is no user to run the server as")


@contextmanager
def serve(programs: Path) -> Iterator[Server]:
    # Not below pytest's folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="autodecoder-postgres-"))
    try:
        server = Server(programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
