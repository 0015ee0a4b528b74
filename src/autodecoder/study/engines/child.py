"""A worker process of the engine `processes`: `python -m autodecoder.study.engines.child`."""

import logging
import os
import pickle
import queue
import sys
import threading
from typing import Any

from autodecoder.study.engines.contract import Assignment, Failed
from autodecoder.study.engines.remote import (
    STOP,
    LogForwarder,
    Workplace,
    portable_error,
)


def main() -> None:
    """Run groups until standard input ends."""
    # Standard output carries messages, so the output of libraries goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(message: Any) -> None:
        try:
            with lock:
                pickle.dump(message, out, pickle.HIGHEST_PROTOCOL)
                out.flush()
        except BrokenPipeError:
            os._exit(1)

    log = logging.getLogger("autodecoder")
    log.addHandler(LogForwarder(send))
    log.propagate = False
    log.setLevel(logging.INFO)
    setup = pickle.load(sys.stdin.buffer)
    assignments: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_read, args=(assignments, stop), daemon=True).start()
    workplace, error = None, None
    try:
        workplace = Workplace(setup)
        del setup  # the workplace now owns the images
    except Exception as caught:  # sent with the first group
        error = portable_error(caught)
    while True:
        assignment = assignments.get()
        if workplace is None:
            assert error is not None
            send(Failed(error))
            continue
        for message in workplace.run(assignment, stop.is_set):
            send(message)


def _read(assignments: "queue.SimpleQueue[Assignment]", stop: threading.Event) -> None:
    """Read messages as they arrive. The process ends with its input, even during a group."""
    try:
        while True:
            message = pickle.load(sys.stdin.buffer)
            if message == STOP:
                stop.set()
            else:
                assignments.put(message)
    except (EOFError, OSError):
        os._exit(0)
    except Exception as error:  # invalid message
        os.write(2, f"worker: {error!r}\n".encode())
        os._exit(1)


if __name__ == "__main__":
    main()
