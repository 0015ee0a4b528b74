"""The switches of jax that programs here depend on, whatever a user has set for other programs."""

import contextlib
import os
import re
from collections.abc import Iterator

import jax
from jax.extend.backend import backends, clear_backends

from autodecoder.errors import ConfigError

#: Another name of JAX_PLATFORMS, which jax still reads.
_DEPRECATED = "JAX_PLATFORM_NAME"

#: The process that runs programs here; one that is forked off it has a copy of this number.
_process: int | None = None


@contextlib.contextmanager
def own_switches() -> Iterator[None]:
    """Run what is inside as compiled programs in single precision, by jax's default rules.

    For every function that users call and that runs programs of jax; also as a decorator. So the
    same call gives the same numbers whatever the process or its environment has set: the width of
    numbers, the rules of promotion, the generator of random numbers, or to run without compiling.
    The checks of `jax_debug_nans` and `jax_debug_infs` are off inside: a value that is not a number
    is no fault here, but stands for what was not measured, and a run that diverges is ended by its
    own program. So is that of `jax_debug_key_reuse`, which takes the key of a run, from which each
    epoch has one of its own, for one that is used again.

    Of the thread that calls, and until the block ends: the caller's programs keep their switches.

    Raises
    ------
    ConfigError
        If jax has no device to work on; if `jax_transfer_guard` forbids arrays to be moved to or
        from it; in a process that was forked off one that has run programs, whose threads it lacks
        and would wait for.
    """
    global _process
    if _process is None:
        check_device()
        _process = os.getpid()
    if _process != os.getpid():
        raise ConfigError(
            "a process must be started afresh to run programs of jax, but this one was forked off "
            "one that has run some, where it would wait for ever: start it by spawn or forkserver, "
            "or by joblib's default, loky."
        )
    with (
        jax.enable_x64(False),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.disable_jit(False),
        jax.debug_nans(False),
        jax.debug_infs(False),
        jax.debug_key_reuse(False),
    ):
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            found = re.search(r"Disallowed (\S+) transfer", str(error))
            if found is None:
                raise
            raise ConfigError(
                "jax must be allowed to move arrays to and from the device, but JAX_TRANSFER_GUARD "
                f"(jax_transfer_guard) or one of its kind disallows {found[1]} transfers: unset "
                "it, or set it to allow or log."
            ) from error


def check_device() -> None:
    """Find a device for jax to work on.

    Raises
    ------
    ConfigError
        If it finds none, as where `JAX_PLATFORMS` names a platform that is not there.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # of CUDA an assertion without a word
        raise ConfigError(_explain_platform(error)) from error


def _explain_platform(error: Exception) -> str:
    asked = {name: jax.config.values[name.lower()] for name in ("JAX_PLATFORMS", _DEPRECATED)}
    given = " and ".join(f"{name} {value!r}" for name, value in asked.items() if value)
    platforms = asked["JAX_PLATFORMS"]
    try:
        if platforms:
            jax.config.update("jax_platforms", "")
        there = ", ".join(backends())
    except (RuntimeError, AssertionError):
        return f"jax finds no device ({error})."
    finally:
        if platforms:
            jax.config.update("jax_platforms", platforms)
            clear_backends()  # else the next call would run where it must not
    return (
        f"jax must run on a platform that is there ({there}), got {given}: unset it, or install "
        "what jax needs for it, for CUDA by pip install 'autodecoder[cuda]'."
    )
