"""jax's switches, set by a user for other programs, change no number here and raise nothing."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.switches import SWITCHES, switched

from autodecoder.core.switches import own_switches
from autodecoder.errors import ConfigError


def test_inside_arrays_are_of_single_precision_and_may_hold_what_is_no_number() -> None:
    with switched(**SWITCHES):
        with own_switches():
            row = jnp.arange(3) / 2 + jnp.ones((2, 3))
            assert row.dtype == jnp.float32
            assert np.isnan(jnp.zeros(1) / jnp.zeros(1)).all()
            assert np.isinf(jnp.exp(jnp.float32(1e9)))
        assert jnp.ones(2).dtype == jnp.float64
        with pytest.raises(FloatingPointError):
            jnp.log(jnp.zeros(1) - 1)


def test_switches_are_the_callers_again_after_an_error() -> None:
    with switched(jax_enable_x64=True):
        with pytest.raises(KeyError), own_switches():
            raise KeyError
        assert jnp.ones(2).dtype == jnp.float64


def test_of_the_thread_alone() -> None:
    inside, checked = threading.Event(), threading.Event()

    def hold() -> None:
        with own_switches():
            inside.set()
            checked.wait(60)

    with switched(jax_enable_x64=True):
        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait(60)
        found = jnp.ones(2).dtype
        checked.set()
        thread.join()
    assert found == jnp.float64


@pytest.mark.parametrize("name", ["jax_transfer_guard", "jax_transfer_guard_host_to_device"])
def test_a_guard_against_transfers_is_named(name: str) -> None:
    guarded = pytest.raises(ConfigError, match=r"JAX_TRANSFER_GUARD .* disallows host-to-device")
    with switched(**{name: "disallow"}), guarded, own_switches():
        jnp.asarray(np.ones(3, np.float32))


def test_other_errors_of_jax_stay_what_they_are() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError, match="memory"), own_switches():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
