"""Processes that run one fit together, one of which decides for all.

All processes must call the programs that they share in the same order, with the same arguments.
How far a portion goes, when to stop, and when to save depend on clocks and on the user. So the
leader decides, and the other processes follow.
"""

import contextlib
from typing import Any, Protocol, TypeVar, runtime_checkable

_Value = TypeVar("_Value")


@runtime_checkable
class Team(Protocol):
    """The processes of a fit, from the view of one of them."""

    @property
    def is_leader(self) -> bool:
        """Whether this process decides and writes files."""
        ...

    def agree(self, value: _Value) -> _Value:
        """Return the leader's value. All processes must call it, in the same order."""
        ...

    def collect(self, value: _Value) -> list[_Value]:
        """In the leader, the values of all processes, its own first; elsewhere only its own."""
        ...

    def step(self) -> contextlib.AbstractContextManager[None]:
        """A context for code that waits for all processes, so that a stuck one can be named."""
        ...

    def send(self, message: Any) -> None:
        """Tell the other processes what comes next; only the leader calls it."""
        ...


class _Alone:
    """The team of a single process."""

    is_leader = True

    def agree(self, value: _Value) -> _Value:
        return value

    def collect(self, value: _Value) -> list[_Value]:
        return [value]

    def step(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def send(self, message: Any) -> None:
        pass


ALONE = _Alone()
