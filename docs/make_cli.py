"""Write docs/cli.md, the reference of all commands, from the commands' own help."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.console import Console

from autodecoder.cli.main import app

PAGE = Path(__file__).with_name("cli.md")

HEAD = """# Command line

<!-- Made by `make reference` from the help of the commands; a test fails where it is stale. -->

This page shows the `--help` of each command. `autodecoder` and `python -m autodecoder` are the same
program, and `./train.py` is `autodecoder train`. Flags accept underscores or hyphens. The exit
status is 0 on success, 2 on a wrong setting, file or folder (with one sentence that names it), and
130 after an interruption.

| command | what it does |
|---|---|
"""

#: Wider than any sentence: the page is wrapped by whatever shows it.
_WIDTH = 10_000


@dataclass
class CommandHelp:
    """The help of one command, caught instead of printed: a formatter of cyclopts."""

    names: tuple[str, ...]
    """For example `("runs", "compare")`."""
    usage: str = ""
    text: str = ""
    """What the command does."""
    example: str = ""
    """The command line after `Example:`."""
    panels: dict[str, list[Any]] = field(default_factory=dict)
    """Arguments and flags, by the title that groups them."""

    def __call__(self, console: Console, options: Any, panel: Any) -> None:
        if panel.format == "parameter" and panel.entries:
            self.panels[plain(panel.title)] = panel.entries

    def render_usage(self, console: Console, options: Any, usage: Any) -> None:
        self.usage = plain(usage).removeprefix("Usage:").strip()

    def render_description(self, console: Console, options: Any, description: Any) -> None:
        text, _, example = plain(description).partition("Example:")
        self.text, self.example = text.strip(), example.strip()

    @property
    def title(self) -> str:
        """The command as it is typed."""
        return " ".join(("autodecoder", *self.names))


def read_help() -> list[CommandHelp]:
    """The help of every command that the application holds."""
    formatter, found = app.help_formatter, []
    try:
        for names in _commands(app, ()):
            command = CommandHelp(names)
            app.help_formatter = command
            app.help_print(list(names), console=Console(file=io.StringIO()))
            found.append(command)
    finally:
        app.help_formatter = formatter
    return found


def page() -> str:
    """The whole page."""
    helps = read_help()
    rows = (
        f"| [`{h.title}`](#{h.title.replace(' ', '-')}) | {_prose(h.text.splitlines()[0])} |\n"
        for h in helps
    )
    return HEAD + "".join(rows) + "".join(map(_section, helps))


def plain(shown: Any) -> str:
    """What rich would print, as text: no colours, each paragraph on one line."""
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(shown, highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip()


def _commands(group: App, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The names of all commands below a group; a command of its own may be one, too."""
    for name in group:
        command = group[name]
        if name in (*group.help_flags, *group.version_flags) or not command.show:
            continue
        yield (*path, name)
        yield from _commands(command, (*path, name))


def _section(command: CommandHelp) -> str:
    parts = [f"## {command.title}", f"```text\n{command.usage}\n```", _prose(command.text)]
    if command.example:
        parts.append(f"```bash\n{command.example}\n```")
    for title, entries in command.panels.items():
        kind = "argument" if all(entry.positional_label for entry in entries) else "flag"
        rows = "".join(map(_row, entries)).rstrip()
        parts.append(f"**{title}**\n\n| {kind} | default | meaning |\n|---|---|---|\n{rows}")
    return "\n" + "\n\n".join(parts) + "\n"


def _row(entry: Any) -> str:
    labels = ", ".join(f"`{label}`" for label in entry.display_labels_with_metavar)
    meaning = plain(entry.description)
    # Flags of settings tell their default in the text, as `None` says "not given" there.
    meaning, _, told = meaning.partition(" [default: ")
    default = told.rstrip("]") or entry.default or ("required" if entry.required else "")
    return f"| {labels} | {_prose(default)} | {_prose(meaning)} |\n"


def _prose(text: str) -> str:
    """Text as Markdown: nothing in it is markup, flags are code, pages of docs/ are links."""
    text = re.sub(r"([\\|*<$`])", r"\\\1", text)
    text = re.sub(r"(?<![\w-])(--\w+)", r"`\1`", text)
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[docs/\1](\1)", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
