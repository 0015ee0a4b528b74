"""Processes that move one fit together: what they decide, one of them decides for all.

Programs that span processes must be called by all of them, in one order, with the same numbers.
How far a portion goes, whether to stop, and when to save hang on clocks and on the user, so the
leader decides, and the others do as it does.
"""

import contextlib
from typing import Any, Protocol, TypeVar, runtime_checkable

_Value = TypeVar("_Value")


@runtime_checkable
class Team(Protocol):
    """The processes at work, as one of them sees them."""

    @property
    def is_leader(self) -> bool:
        """Whether this process decides, and writes."""
        ...

    def agree(self, value: _Value) -> _Value:
        """The leader's value; called by all in one order."""
        ...

    def collect(self, value: _Value) -> list[_Value]:
        """The values of all processes, of the leader first, in the leader; in others their own."""
        ...

    def step(self) -> contextlib.AbstractContextManager[None]:
        """Around what waits for all processes, so that one that is stuck can be named."""
        ...

    def send(self, message: Any) -> None:
        """Tell the others what comes next; by the leader."""
        ...


class _Alone:
    """One process."""

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
