"""A network that is told how its training images were augmented (Karras et al. 2022, appendix F.2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from ddpm_jax import pixels
from ddpm_jax.assembly import augmentation, denoising, networks, objective
from ddpm_jax.assembly.denoising import Weights

NUM = 64
AUGMENTED = {"augment.flip": True, "augment.shift": 2, "augment.probability": 0.7}


@pytest.fixture
def config():
    config = default.get_config()
    config.update_from_flattened_dict(AUGMENTED)
    config.net.base_channels, config.net.multipliers = 8, (1, 2)
    config.net.unet.num_groups, config.net.unet.num_res_blocks = 4, 1
    config.net.patch.num_refine_blocks = 1
    config.net.patch.patch_sizes, config.net.augment_condition = (2,), True
    config.schedule.num_steps, config.sampling.num_steps = 20, 4
    return config


def batch():
    image = jax.random.randint(jax.random.key(1), (NUM, 8, 8, 1), 0, 256).astype(jnp.uint8)
    return {"image": image, "label": jnp.arange(NUM) % 10}


class Redoing(nn.Module):
    """Knows the images, and says each as the changes that it is told of leave it."""

    num_classes: int = 0

    def __call__(self, x, t, label=None, changes=None, *, train=False):
        edges = ((0, 0), (2, 2), (2, 2), (0, 0))
        padded = jnp.pad(pixels.to_float(batch()["image"]), edges, "symmetric")

        def one(image, change):
            y, x = 2 + jnp.round(2 * change[:2]).astype(int)
            moved = jax.lax.dynamic_slice(image, (y, x, jnp.zeros_like(y)), (8, 8, 1))
            return jnp.where(change[2] > 0.0, moved[:, ::-1], moved)

        return jax.vmap(one)(padded, changes)


def test_the_loss_tells_the_network_how_each_image_was_changed(config):
    """A network that makes the same changes to the images has no error, whatever the noise."""
    config.loss.prediction = "x0"
    loss = objective.build_loss(config, Redoing(), denoising.build_levels(config.schedule))
    value, _ = jax.jit(loss)({}, batch(), jax.random.key(3))
    assert float(value) < 1e-10
    config.augment.rotation = 20.0  # told before shift and flip: the network reads other numbers
    loss = objective.build_loss(config, Redoing(), denoising.build_levels(config.schedule))
    assert float(jax.jit(loss)({}, batch(), jax.random.key(3))[0]) > 0.01


def built(config, seed=0):
    """The network, and parameters of which none is zero."""
    net = networks.build_net(config, 10)
    params = networks.init_net(net, config.data, jax.random.key(seed))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    filled = [0.3 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return net, params, jax.tree.unflatten(tree, filled)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("name", networks.NETS)
def test_every_network_takes_changes_and_takes_none_for_zeros(config, name):
    config.net.name = name
    net, _, params = built(config)
    x, t = jax.random.normal(jax.random.key(5), (3, 8, 8, 1)), jnp.ones(3)
    label, changes = jnp.arange(3), jnp.array([[0.0] * 3, [1.0, -0.5, 0.0], [0.0, 0.0, 1.0]])
    ask = jax.jit(lambda **given: networks.build_predict(net, params, label, **given)(x, t))
    told, untold = ask(changes=changes), ask()
    np.testing.assert_allclose(told[0], untold[0], rtol=1e-4, atol=1e-4)
    assert np.abs(told - untold)[1:].max((1, 2, 3)).min() > 1e-3


def flat(tree):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("name", networks.NETS)
def test_the_other_parameters_of_a_network_that_is_told_are_those_of_one_that_is_not(config, name):
    config.net.name = name
    told = flat(built(config)[1])
    config.net.augment_condition = False
    untold = flat(built(config)[1])
    (added,) = told.keys() - untold.keys()
    assert told[added].shape[0] == augmentation.num_told(config.augment) == 3
    assert not np.any(told[added])
    for path, leaf in untold.items():
        np.testing.assert_array_equal(told[path], leaf)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_images_are_drawn_with_zeros_with_guidance_too(config, scale):
    """As from the network of the same parameters without the map, which is told nothing."""
    config.sampling.guidance_scale = scale
    table = denoising.build_levels(config.schedule)
    net, _, params = built(config)
    keys, label = jax.random.split(jax.random.key(4), 6), jnp.arange(6)

    def drawn(net, params):
        return jax.jit(denoising.build_sampler(config, net, table))(Weights(params), label, keys)

    told = drawn(net, params)
    config.net.augment_condition = False
    without = dict(params["params"])
    without["conditioning"] = {
        name: part for name, part in without["conditioning"].items() if name != "changes"
    }
    untold = drawn(networks.build_net(config, 10), {"params": without})
    np.testing.assert_allclose(told, untold, atol=1e-3)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("probability", 0.0, "above 0"),
        ("probability", 1.5, "at most 1"),
        ("zoom", 0.9, "at least 1"),
    ],
)
def test_what_is_out_of_range_is_refused(config, field, value, wanted):
    config.augment[field] = value
    with pytest.raises(ValueError, match=rf"augment\.{field} is {value:g}; it must be .*{wanted}"):
        augmentation.build_augmentation(config.augment)
