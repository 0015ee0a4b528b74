"""`autodecoder launch`: start the processes of one fit on one machine without a launcher."""

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import GROUPS
from autodecoder.errors import ConfigError

#: Seconds that processes get to end after one of them has failed.
_SECONDS_TO_END = 15
_COMMANDS = ("train", "tune")


def launch(
    *command: Annotated[
        str,
        Parameter(
            group=GROUPS["Output"],
            allow_leading_hyphen=True,
            help="train or tune, and its flags.",
        ),
    ],
    n: Annotated[
        int,
        Parameter(group=GROUPS["Output"], name=("-n", "--num_processes"), help="Processes."),
    ],
) -> None:
    """Start the processes of one fit on this machine. They share the images of every run.

    After -- comes a train or tune command. Process 0 leads and prints the command's output. The
    processes divide the cores among them.

    Example: autodecoder launch -n 4 -- train --dataset mnist --lr 5e-3
    """
    if n < 1:
        raise ConfigError(f"num_processes must be a positive whole number, got {n}.")
    if not command or command[0] not in _COMMANDS:
        given = f"got {command[0]}" if command else "got nothing"
        raise ConfigError(f"the command after -- must be train or tune, {given}.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for i in range(n):
            processes.append(_start(command, address, n, i))
        # Process 0 handles the signal as a command alone would: it saves and ends the study.
        signal.signal(signal.SIGTERM, lambda *_: processes[0].terminate())
        status = _follow(processes)
    except BaseException:
        for process in processes:
            process.kill()
        raise
    if status:
        sys.exit(status)


def _start(command: tuple[str, ...], address: str, n: int, i: int) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "autodecoder", *command]
    words += [f"--coordinator={address}", f"--num_processes={n}", f"--process_id={i}"]
    out = None if i == 0 else subprocess.DEVNULL
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = cores[i * len(cores) // n : (i + 1) * len(cores) // n] or [cores[i % len(cores)]]
        environment.setdefault("NPROC", str(len(share)))  # the size of XLA's thread pool
    return subprocess.Popen(words, stdout=out, env=environment)


def _follow(processes: "list[subprocess.Popen[bytes]]") -> int:
    """Wait for all processes. If one fails, the others get a few seconds to end."""
    while True:
        try:
            statuses = [process.poll() for process in processes]
            if all(status is not None for status in statuses):
                first = next((status for status in statuses if status), 0) or 0
                return 128 - first if first < 0 else first
            if any(statuses):
                for process in processes:
                    process.wait(_SECONDS_TO_END)
                continue
            time.sleep(0.1)
        except KeyboardInterrupt:  # all processes receive it; process 0 ends the study in order
            continue
        except subprocess.TimeoutExpired:
            for process in processes:
                process.kill()
