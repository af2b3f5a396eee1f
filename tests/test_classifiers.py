"""Classifiers trained side by side against the same ones trained one by one with optax alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import default
from ddpm_jax import pixels
from ddpm_jax.assembly import classifiers
from ddpm_jax.assembly.choice import key_for
from ddpm_jax.data import order, source

NUM_STEPS = 4
SHAPE = (8, 8, 1)


def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, *SHAPE), np.uint8), np.arange(40, dtype=np.int32) % 4


def config_of_a_short_training():
    config = default.get_config().classifier
    config.num_steps, config.warmup_steps, config.batch_size = NUM_STEPS, 1, 8
    config.weight_decay = 50.0  # a tenth of a weight a step: what should not decay is far off
    return config


def trained_alone(config, seed):
    """Plain optax, one seed, no stack; biases and scales have one axis."""
    net = classifiers.build_net(config, 4)
    params = net.init(jax.random.fold_in(key_for(0, "classifier"), seed), jnp.zeros((1, *SHAPE)))
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.num_steps
    )

    def is_kernel(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

    optimizer = optax.adamw(rate, weight_decay=config.weight_decay, mask=is_kernel)

    def loss(params, batch):
        logits = net.apply(params, pixels.to_float(jnp.asarray(batch["image"])), train=True)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return each.mean()

    @jax.jit
    def step(params, state, batch):
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    whole = source.from_arrays(*images(), ["a", "b", "c", "d"], "arrays")
    read = order.batches(whole, config.batch_size, seed)
    for _ in range(NUM_STEPS):
        params, state = step(params, state, next(read))
    return params


def test_a_seed_of_a_stack_is_trained_as_it_is_alone():
    config = config_of_a_short_training()
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    together = trainer.fit(*images(), [0, 3])
    for place, seed in enumerate([0, 3]):
        alone = trained_alone(config, seed)
        for (path, wanted), found in zip(
            jax.tree_util.tree_leaves_with_path(alone), jax.tree.leaves(together), strict=True
        ):
            # A bias is of the order of the rate, 2e-3; a decay of it would show at 2e-4.
            np.testing.assert_allclose(found[place], wanted, atol=2e-5, err_msg=str(path))
