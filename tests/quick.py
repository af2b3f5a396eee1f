"""For what is compiled longer than it runs: one device, and none of XLA's optimizations."""

import contextlib

import jax
import pytest


@contextlib.contextmanager
def quickly():
    """XLA's optimizations are off, and a run has one device.

    One device, because without optimizations XLA:CPU leaves sums over devices apart that it else combines,
    and simulated devices that share two cores' threads then wait for each other until XLA aborts.
    """
    with _with(place_on_one, disabled=True):
        yield


@contextlib.contextmanager
def plainly():
    """Undoes `quickly`: a run is as in a program of its own that has all these devices."""
    with _with(place_on_all, disabled=False):
        yield


@contextlib.contextmanager
def _with(place, *, disabled):
    before = jax.config.read("jax_disable_most_optimizations")
    with pytest.MonkeyPatch.context() as monkeypatch:
        place(monkeypatch)
        jax.config.update("jax_disable_most_optimizations", disabled)
        try:
            yield
        finally:
            jax.config.update("jax_disable_most_optimizations", before)


def place_on_one(monkeypatch):
    """A run has one device, unless it names others."""
    from ddpm_jax.training import devices  # not above: jaxtyping's hook has to come before it

    place = as_it_was(devices.place)

    def on_one(parallel="jit", devices=None):
        return place(parallel, devices or jax.devices()[:1])

    on_one.before = place
    monkeypatch.setattr(devices, "place", on_one)


def place_on_all(monkeypatch):
    from ddpm_jax.training import devices

    monkeypatch.setattr(devices, "place", as_it_was(devices.place))


def as_it_was(place):
    return getattr(place, "before", place)
