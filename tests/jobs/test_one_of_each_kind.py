"""A network, a solver, a loss and a source are one entry each: CONTRIBUTING.md, "To add one of a kind"."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.assembly import datasets, denoising, networks, objective
from ddpm_jax.assembly.choice import Option
from ddpm_jax.data import division, npz, source
from ddpm_jax.diffusion import solvers
from ddpm_jax.jobs import export, train

pytestmark = pytest.mark.usefixtures("on_one_device")


class Pixelwise(nn.Module):
    """A dense layer on the pixel, t and the class, and another."""

    width: int
    num_classes: int

    @nn.compact
    def __call__(self, x, t, label=None, changes=None, *, train=False):
        told = jnp.concatenate([t[:, None], nn.one_hot(label, self.num_classes + 1)], axis=1)
        told = jnp.broadcast_to(told[:, None, None], (*x.shape[:3], told.shape[1]))
        h = nn.relu(nn.Dense(self.width)(jnp.concatenate([x, told], axis=3)))
        return nn.Dense(x.shape[3])(h)


def shades(where, shares):
    """Two classes: dark images, and bright ones."""
    labels = np.arange(40, dtype=np.int32) % 2
    images = (
        np.full((40, 8, 8, 1), 40, np.uint8)
        + np.uint8(150) * labels.astype(np.uint8)[:, None, None, None]
    )
    read = source.from_arrays(images, labels, ("dark", "bright"), "shades")
    parts = division.split(read, (0.6, 0.2, 0.2), shares["seed"])
    return source.Splits(*parts)


def euler():
    """The flow dy/ds = eps, in y = x / alpha and s = sigma / alpha."""

    def step(denoise, carry, x, now, nxt, keys):
        slope = denoise(x, now).eps
        return nxt.alpha * (
            x / now.alpha + (nxt.sigma / nxt.alpha - now.sigma / now.alpha) * slope
        ), carry

    return solvers.Solver(lambda x: (), step)


def fourth_power(gap, power):
    return jnp.mean(jnp.abs(gap) ** power, axis=(1, 2, 3))


@pytest.fixture
def with_each(config, monkeypatch):
    """A config that chooses each of them by its name."""

    def build(width, num_classes, **common):
        return Pixelwise(width, num_classes)

    loss = Option(lambda power: lambda raw, target: fourth_power(raw - target, power), ("power",))
    monkeypatch.setitem(datasets.SOURCES, "shades", Option(shades))
    monkeypatch.setitem(networks.NETS, "pixelwise", build)
    monkeypatch.setitem(objective.KINDS, "fourth_power", loss)
    monkeypatch.setitem(denoising.SOLVERS, "euler", Option(lambda table: euler()))
    config.data.source, config.net.name, config.loss.kind = (
        "shades:all",
        "pixelwise",
        "fourth_power",
    )
    config.net.pixelwise = ConfigDict({"width": 16})
    config.loss.power = 4.0
    config.sampling.solver = "euler"
    config.export.num_images = 20
    return config


def test_what_is_added_to_the_tables_is_trained_and_drawn_from(with_each, tmp_path):
    found = train.run(with_each, tmp_path)
    assert np.isfinite(found["validation_loss"])
    export.run(with_each, tmp_path)
    made = npz.load(rundir.synthetic(tmp_path))
    assert made.class_names == ("dark", "bright") and len(made.labels) == 20


def test_names_that_no_table_has_are_answered_with_those_it_has(with_each, tmp_path):
    with_each.net.name = "pixel"
    with pytest.raises(ValueError, match=r"net.name is 'pixel'; known: .*pixelwise"):
        train.run(with_each, tmp_path)
