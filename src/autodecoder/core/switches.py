"""The jax settings that programs of this package need, whatever the user has set."""

import contextlib
import os
import re
from collections.abc import Iterator

import jax
from jax.extend.backend import backends, clear_backends

from autodecoder.errors import ConfigError

#: A deprecated name of JAX_PLATFORMS, which jax still reads.
_DEPRECATED = "JAX_PLATFORM_NAME"

#: Id of the process that runs programs here. A forked process inherits its parent's id.
_process: int | None = None


@contextlib.contextmanager
def own_switches() -> Iterator[None]:
    """Run the block as compiled programs in single precision, by jax's default rules.

    Every public function that runs programs of jax uses it, also as a decorator. So a call returns
    the same numbers whatever the process or its environment sets for precision, promotion rules,
    the random number generator, or running without compiling. `jax_debug_nans` and `jax_debug_infs`
    are off inside, since NaN stands for values that were not measured, and a diverging run is
    stopped by its own program. `jax_debug_key_reuse` is off, since it mistakes deriving a key for
    each epoch from the key of a run for reuse.

    Settings apply to the calling thread until the block ends; other programs keep theirs.

    Raises
    ------
    ConfigError
        If jax finds no device; if `jax_transfer_guard` forbids to move arrays to or from it; if the
        process was forked from one that has run programs, since it lacks the threads of its parent
        and would wait for them.
    """
    global _process
    if _process is None:
        check_device()
        _process = os.getpid()
    if _process != os.getpid():
        raise ConfigError(
            "a process that runs programs of jax must not be forked from one that has run some, "
            "since it would hang: start it by spawn or forkserver, or by joblib's default, loky."
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
                f"(jax_transfer_guard) or one of its variants disallows {found[1]} transfers: "
                "unset it, or set it to allow or log."
            ) from error


def check_device() -> None:
    """Check that jax finds a device.

    Raises
    ------
    ConfigError
        If it finds none, for example because `JAX_PLATFORMS` names an unavailable platform.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # CUDA raises an AssertionError without text
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
            clear_backends()  # otherwise the next call would run on a platform not asked for
    return (
        f"jax must run on an available platform ({there}), got {given}: unset it, or install what "
        "jax needs for it, for CUDA by pip install 'autodecoder[cuda]'."
    )
