"""What Weights & Biases wrote offline, read from its files without a server."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

#: A file is a header and blocks of this size; a record lies in one block, or in parts in several.
_HEADER, _BLOCK = 7, 32768
_WHOLE, _LAST = 1, 4


class Offline(NamedTuple):
    """A run, put together from all files of its id, in the order of their times."""

    group: str
    project: str
    name: str
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    """Metrics as they were logged, each with its `_step`."""
    summary: dict[str, Any]
    artifacts: list[str]
    """Names of their types."""
    exit_codes: list[int]


def read_runs(folder: Path) -> dict[str, Offline]:
    """Every run below `wandb/` of a folder, by its id."""
    found: dict[str, Offline] = {}
    for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        run_id = path.stem.removeprefix("run-")
        run = found.setdefault(run_id, Offline("", "", "", {}, [], {}, [], []))
        found[run_id] = _add(run, path)
    return found


def _add(run: Offline, path: Path) -> Offline:
    from wandb.proto import wandb_internal_pb2  # pyright: ignore[reportMissingImports]

    for content in _records(path.read_bytes()):
        record: Any = vars(wandb_internal_pb2)["Record"].FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            names = {"group": record.run.run_group, "project": record.run.project}
            names["name"] = record.run.display_name or run.name
            run = run._replace(**names, config=run.config | config)
        elif kind == "history":
            row = {_key(item): json.loads(item.value_json) for item in record.history.item}
            run.rows.append({"_step": record.history.step.num, **row})
        elif kind == "summary":
            run.summary.update({_key(i): json.loads(i.value_json) for i in record.summary.update})
        elif kind == "artifact":
            run.artifacts.append(record.artifact.type)
        elif kind == "exit":
            run.exit_codes.append(record.exit.exit_code)
    return run


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _records(content: bytes) -> Iterator[bytes]:
    place, parts = _HEADER, b""
    while place + _HEADER <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + _HEADER])
        place += _HEADER
        parts += content[place : place + length]
        place += length
        if kind in (_WHOLE, _LAST):
            yield parts
            parts = b""
