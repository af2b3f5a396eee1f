"""Every config builds the network it describes, on images of the size it names."""

import importlib
import pathlib
import re

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from configs import cifar10, default
from ddpm_jax.assembly import denoising, networks, optimizers, options

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
NUM_CLASSES = 3
NO_GENERATOR = {"classifier"}
# Fields of any content, chosen by the data set.
FREE_FORM = {"data.groups"}
PATHS = sorted(path for path in CONFIGS.rglob("*.py") if path.stem not in NO_GENERATOR)


def load(path):
    name = ".".join(path.relative_to(CONFIGS.parent).with_suffix("").parts)
    return importlib.import_module(name).get_config()


def fields(config, prefix=""):
    for name, value in config.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, ConfigDict) and dotted not in FREE_FORM:
            yield from fields(value, f"{dotted}.")
        else:
            yield dotted, value


def count(net, config):
    shapes = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes)), shapes


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_has_the_fields_and_types_of_the_default(path):
    known = dict(fields(default.get_config()))
    for name, value in fields(load(path)):
        assert name in known, f"{name} is no field of configs/default.py"
        assert type(value) is type(known[name]), f"{name} is {value!r}, was {known[name]!r}"


def test_every_field_is_read():
    """By `config.FIELD`, `section.FIELD` or the section's own name, somewhere in the package.

    Or as an option's entry names it, or as an argument of the network whose section it is in.
    """
    named = {
        f"{chooser.rpartition('.')[0]}.{field}"
        for chooser, known in options.CHOICES.items()
        for option in known.values()
        for field in option.reads
    }
    package = CONFIGS.parent / "ddpm_jax"
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for name, _ in fields(default.get_config()):
        section, _, field = name.rpartition(".")
        if name in named or section.removeprefix("net.") in networks.NETS:
            continue
        holders = f"config|section|sampling|net|{section.rpartition('.')[2] or 'config'}"
        assert re.search(rf"\b({holders})\.{field}\b", text), f"nothing reads {name}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_builds_a_network_for_its_images(path):
    config = load(path)
    net = networks.build_net(config, NUM_CLASSES)
    _, shapes = count(net, config)
    image = jnp.zeros((2, config.data.image_size, config.data.image_size, config.data.channels))
    label = jnp.zeros(2, jnp.int32) if net.num_classes else None
    output = jax.eval_shape(net.apply, shapes, image, jnp.ones(2), label)
    assert output.shape[:3] == image.shape[:3]
    assert output.shape[3] in (config.data.channels, 2 * config.data.channels)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_builds_its_levels_its_optimizer_and_its_sampler(path):
    config = load(path)
    table = denoising.build_levels(config.schedule)
    assert table.num_steps == config.schedule.num_steps
    assert denoising.build_steps(config.sampling, table).num_steps == config.sampling.num_steps
    denoising.build_solver(config.sampling, table)
    optimizers.build_optimizer(config.optim, config.training.num_steps)
    assert config.sampling.num_steps <= config.schedule.num_steps


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_says_its_command_and_its_time(path):
    text = path.read_text()
    if path.stem == "default":
        return
    assert f"--config={path.relative_to(CONFIGS.parent)}" in text
    assert "Time: " in text


def test_the_result_on_the_digits_stands_in_one_place():
    """The README has it; a second table would be of another run."""
    figure = r"\d\d\.\d (\+-|%)"
    assert re.search(figure, (CONFIGS.parent / "README.md").read_text())
    assert not re.search(figure, (CONFIGS / "digits.py").read_text())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_images_that_have_a_left_and_a_right_are_not_mirrored(path):
    """Digits, and the shoes of Fashion-MNIST, which all point to the left."""
    config = load(path)
    if config.data.source.removeprefix("tfds:") in ("digits", "mnist", "fashion_mnist"):
        assert not config.augment.flip and not config.classifier.augment.flip


def test_the_cifar10_config_is_the_papers_network_and_a_class_table():
    """35,746,307 is the count of Ho et al.'s released network; the table is 10 classes and a null."""
    config = cifar10.get_config()
    table = (10 + 1) * 512
    assert count(networks.build_net(config, 10), config)[0] == 35_746_307 + table
    config.net.class_conditional = False
    assert count(networks.build_net(config, 10), config)[0] == 35_746_307
