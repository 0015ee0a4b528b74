"""Architectures of decoders: their kinds and their notation."""

import re
from dataclasses import dataclass
from operator import index
from typing import Any

from autodecoder.config.rules import as_plain, check_choice, check_positive_int
from autodecoder.errors import ConfigError
from autodecoder.text import told

#: Kinds of decoders, with the module of each. Its `init` draws a decoder.
KINDS = {
    "dense": "autodecoder.core.decoders.dense",
    "conv": "autodecoder.core.decoders.conv",
    "resconv": "autodecoder.core.decoders.resconv",
}
#: Kind of a decoder that is the user's own module.
_OWN = "own"
#: Most layers; compilation takes half a minute for so many.
_MOST_LAYERS = 1_000
_WIDTHS = re.compile(r"0*[1-9][0-9]{0,5}(-0*[1-9][0-9]{0,5})*")


@dataclass(frozen=True)
class Arch:
    """The architecture of a decoder that is not fully connected.

    The notation is `kind:64-32-16`, or `kind:256/64-32-16` with a stem of dense layers.
    """

    kind: str
    """One of `KINDS`."""
    widths: tuple[int, ...]
    """Widths, as the kind defines them; for convolutions, the channels at each doubling of the
    sides."""
    stem: tuple[int, ...] = ()
    """Widths of the dense layers before the others."""

    def __post_init__(self) -> None:
        if self.kind == _OWN and not (self.widths or self.stem):
            return
        check_choice("the kind of arch", self.kind, [kind for kind in KINDS if kind != "dense"])
        for name, widths in (("widths", self.widths), ("stem", self.stem)):
            object.__setattr__(self, name, _check_widths(widths))
        if not self.widths:
            raise ConfigError(f"arch must name at least one width, for example {self.kind}:64-32.")

    def __str__(self) -> str:
        if self.kind == _OWN:
            return _OWN
        stem = f"{_join(self.stem)}/" if self.stem else ""
        return f"{self.kind}:{stem}{_join(self.widths)}"


#: The architecture of a decoder that is the user's own module. It has no widths.
OWN = Arch(_OWN, ())


def parse_arch(text: str) -> tuple[int, ...] | Arch:
    """Read an architecture: `500-500` for dense layers, or `kind:64-32-16` (see `Arch`).

    Raises
    ------
    ConfigError
        If the text is no architecture.

    Examples
    --------
    >>> parse_arch("128-256-512")
    (128, 256, 512)
    >>> parse_arch("conv:256/64-32-16")
    Arch(kind='conv', widths=(64, 32, 16), stem=(256,))
    """
    if text.strip() == _OWN:
        return OWN
    head, colon, rest = text.strip().rpartition(":")
    kind = head.strip() if colon else "dense"
    check_choice("the kind of arch", kind, KINDS)
    stem, slash, widths = rest.strip().rpartition("/")
    if kind == "dense" and not slash and _WIDTHS.fullmatch(widths):
        return _split(widths)
    if kind != "dense" and all(map(_WIDTHS.fullmatch, (stem, widths) if slash else (widths,))):
        return Arch(kind, _split(widths), _split(stem) if slash else ())
    example = "500-500" if kind == "dense" else f"{kind}:64-32-16 or {kind}:256/64-32-16"
    raise ConfigError(
        "arch must be layer widths from 1 to 999999 joined by single hyphens, "
        f"for example {example}, got {told(text)}."
    )


def read_arch(arch: Any) -> tuple[int, ...] | Arch:
    """Convert text or a sequence of widths to an architecture; an `Arch` is returned unchanged.

    Raises
    ------
    ConfigError
        If the value is no architecture.
    """
    if isinstance(arch, Arch):
        return arch
    return parse_arch(arch) if isinstance(arch, str) else _check_widths(arch)


def read_plain_arch(value: Any) -> tuple[int, ...] | Arch:
    """Read an architecture from the plain value of a file, a flag or a search.

    The value is text or a sequence of whole numbers; an `Arch` is returned unchanged.

    Raises
    ------
    ConfigError
        If the value is no architecture.
    """
    if isinstance(value, Arch):
        return value
    try:
        return parse_arch(value) if isinstance(value, str) else tuple(map(index, value))
    except TypeError:
        raise ConfigError(
            f"each value of arch must be layer widths like 500-500, got {told(value)}."
        ) from None


def format_arch(arch: tuple[int, ...] | Arch | str) -> str:
    """Write an architecture as `parse_arch` reads it."""
    return _join(arch) if isinstance(arch, tuple) else str(arch)


def arch_kind(arch: tuple[int, ...] | Arch | str) -> str:
    """The kind of an architecture: one of `KINDS`, or the kind of `OWN`."""
    found = read_arch(arch)
    return found.kind if isinstance(found, Arch) else "dense"


def arch_widths(arch: tuple[int, ...] | Arch | str) -> tuple[int, ...]:
    """The widths of all layers but the last, from the latents to the image."""
    found = read_arch(arch)
    return (*found.stem, *found.widths) if isinstance(found, Arch) else found


def _check_widths(widths: Any) -> tuple[int, ...]:
    try:
        found = tuple(as_plain(width) for width in widths)
    except TypeError:
        raise ConfigError(
            f"arch must be text like 500-500 or a sequence of widths, got {told(widths)}."
        ) from None
    for width in found:
        check_positive_int("each width of arch", width)
    return _check_depth(found)


def _check_depth(widths: tuple[int, ...]) -> tuple[int, ...]:
    if len(widths) > _MOST_LAYERS:
        raise ConfigError(f"arch must have at most {_MOST_LAYERS:,} widths, got {len(widths):,}.")
    return widths


def _split(widths: str) -> tuple[int, ...]:
    return _check_depth(tuple(map(int, widths.split("-"))))


def _join(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))
