"""The console script: run a command, and turn errors into one sentence and an exit status."""

import atexit
import errno
import functools
import gc
import os
import re
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from autodecoder._version import __version__
from autodecoder.cli.compare import compare_
from autodecoder.cli.console import keeping_interrupts
from autodecoder.cli.datasets import datasets
from autodecoder.cli.encode import encode
from autodecoder.cli.evaluate import evaluate
from autodecoder.cli.explore import explore
from autodecoder.cli.export import export
from autodecoder.cli.generate import decode, interpolate, sample
from autodecoder.cli.info import info
from autodecoder.cli.launch import launch
from autodecoder.cli.map import map_images
from autodecoder.cli.mistyped import explain
from autodecoder.cli.pack import pack
from autodecoder.cli.reconstruct import reconstruct
from autodecoder.cli.report import report
from autodecoder.cli.reproduce import reproduce
from autodecoder.cli.runs import runs_app, tensorboard
from autodecoder.cli.streams import STDERR, STDOUT, Console, hold_descriptors
from autodecoder.cli.train import train, tune
from autodecoder.errors import AutodecoderError, is_out_of_memory
from autodecoder.text import printable

# At the end, Python looks for garbage several times among all objects of jax and matplotlib, which
# takes more than a second, although the process is about to end.
atexit.register(gc.freeze)

#: Exit status after a wrong setting, file or folder, and after an interruption.
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

#: Flags to lower when memory runs out.
_COSTLY = (
    *("batch_size", "arch", "latent_dims", "image_size", "examples_frac", "shard_images"),
    *("n_images", "n_subset", "draws", "n"),
)

app: App = App(
    name="autodecoder",
    help="Decoder-only image reconstruction: a decoder and one latent vector per image, trained "
    "together.",
    version=__version__,
    default_parameter=Parameter(name_transform=lambda name: name, negative=()),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    console=Console(soft_wrap=False),
)
app.command(map_images, name="map")
app.command(train)
app.command(tune)
app.command(launch)
app.command(runs_app)
app.command(report)
app.command(reproduce)
app.command(evaluate)
app.command(compare_, name="compare")
app.command(explore)
app.command(tensorboard)
app.command(reconstruct)
app.command(encode)
app.command(decode)
app.command(interpolate)
app.command(sample)
app.command(export)
app.command(info)
app.command(datasets)
app.command(pack)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 on success, 2 on a user's error, 130 on Ctrl-C."""
    hold_descriptors()
    status = _run(sys.argv[1:] if arguments is None else arguments)
    failure = STDOUT.take_failure()
    if failure is not None and not isinstance(failure, BrokenPipeError):  # `head` breaks the pipe
        status = _fail(f"standard output could not be written: {failure.strerror}.")
    STDERR.take_failure()
    sys.exit(status)


def _run(arguments: Sequence[str]) -> int:
    # In a script with Windows line ends, the last argument of each line ends in \r.
    arguments = [argument.removesuffix("\r") or argument for argument in arguments]
    try:
        with keeping_interrupts():
            interrupted = app(
                [_with_underscores(argument) for argument in arguments],
                exit_on_error=False,
                print_error=False,
                help_on_error=False,
            )
    except CycloptsError as error:
        message = explain(error, arguments, _flags()) or " ".join(str(error).split())
        command = arguments[0] if arguments and arguments[0] in app else ""
        return _fail(f"{message} See `autodecoder {command} --help`.".replace("  ", " "))
    except AutodecoderError as error:
        hint = explain(error, arguments, _flags())
        return _fail(f"{error} ({hint})" if hint else str(error))
    except OSError as error:  # a path that is not accessible, or too long
        if error.filename is None and isinstance(error, FileNotFoundError):
            return _fail("the current folder no longer exists; change to another one.")
        if error.errno == errno.ENOMEM:
            return _fail(_tell_memory(arguments))
        if error.filename is None:
            raise
        return _fail(f"{error.filename} cannot be used: {error.strerror}.")
    except ValueError as error:
        reason = _wrong_variable(error)
        if reason is None:
            raise
        return _fail(reason)
    except (MemoryError, RuntimeError) as error:  # jax raises the latter
        if not is_out_of_memory(error):
            raise
        return _fail(_tell_memory(arguments))
    except KeyboardInterrupt:
        _say("interrupted at once: what was not written is lost")
        return EXIT_INTERRUPTED
    return EXIT_INTERRUPTED if interrupted else 0


def _wrong_variable(error: ValueError) -> str | None:
    """The message if jax could not be imported because of an environment variable's value."""
    found = re.search(r"for (?:environment '|JAX flag )(jax_\w+)", str(error), re.IGNORECASE)
    if found is None:
        return None
    name = found[1].upper()
    return f"{name} must have a value that jax accepts, got {os.environ.get(name)!r}: unset it."


def _tell_memory(arguments: Sequence[str]) -> str:
    """The message if memory runs out: it names what the command has to lower."""
    known = _flags_of(arguments[0]) if arguments and arguments[0] in app else frozenset()
    *first, last = [name for name in _COSTLY if f"--{name}" in known] or [""]
    named = " or ".join(filter(None, [", ".join(first), last]))
    advice = f"lower {named}" if named else "give fewer images or latents at once"
    return f"this needs more memory than is available: {advice}, or end other programs."


def _fail(message: str) -> int:
    _say(f"error: {printable(message)}")
    return EXIT_ERROR


def _say(message: str) -> None:
    STDERR.write(f"{message}\n")
    STDERR.flush()


@functools.cache
def _flags() -> frozenset[str]:
    """The names of all flags of all commands."""
    return frozenset().union(*(_flags_of(name) for name in app if not name.startswith("-")))


def _flags_of(command: str) -> frozenset[str]:
    """The names of the flags of a command."""
    return frozenset(
        _with_underscores(name)
        for argument in app[command].assemble_argument_collection()
        for name in argument.names
        if name.startswith("--")
    )


def _with_underscores(argument: str) -> str:
    """Accept `--batch-size` for `--batch_size`; values are unchanged."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value
