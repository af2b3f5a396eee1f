"""Averages kept beside the exponential one: their widths, the step that keeps them, their checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ddpm_jax.training import checkpoint_items, checkpoints, optim, state, step


def weights_after(num, gain):
    """The weight of each of `num` steps' parameters in the average."""
    weights = np.zeros(num)
    for at in range(num):
        share = float(gain(jnp.int32(at)))
        weights *= 1.0 - share
        weights[at] = share
    return weights


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_the_weights_have_the_width_that_was_asked_for(width):
    num = 1000
    weights = weights_after(num, optim.power_average(width))
    at = np.arange(1, num + 1) / num
    mean = (weights * at).sum()
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    assert np.sqrt((weights * (at - mean) ** 2).sum()) == pytest.approx(width, rel=1e-4)


def test_the_widest_is_the_plain_mean():
    np.testing.assert_allclose(
        weights_after(20, optim.power_average(optim.WIDEST)), 1 / 20, rtol=1e-4
    )


def test_a_late_step_still_counts_exactly():
    """At step t the share is (gamma + 1) / t to first order; 1 - (1 - 1 / t)^... loses it in float32."""
    gain, late = optim.power_average(optim.WIDEST), 3_000_000
    assert float(gain(jnp.int32(late - 1))) == pytest.approx(1.0 / late, rel=1e-4)


@pytest.mark.parametrize("width", [0.0, -0.1, 0.3])
def test_a_width_that_no_such_average_has_is_refused(width):
    with pytest.raises(ValueError, match=rf"the width {width} of an average must lie in 0 < width"):
        optim.power_average(width)


def loss_fn(params, batch, key):
    return jnp.sum(params["w"] * batch["x"]), {}


def trained(num):
    """Gradient descent on a line: w after t steps is -t."""
    averages = {"0.2887": optim.power_average(optim.WIDEST), "0.1": optim.power_average(0.1)}
    optimizer = optax.sgd(1.0)
    batch = {"x": jnp.ones((1,))}
    begin = state.create(
        {"w": jnp.zeros((1,))}, optimizer, loss_fn, batch, averages=tuple(averages)
    )
    made = step.make_train_step(
        loss_fn, optimizer, ema_decay=optim.ema_decay(0.5), averages=averages
    )
    run = jax.jit(made)
    for _ in range(num):
        begin = run(begin, batch, jax.random.key(0))
    return begin


def test_the_step_keeps_each_average_of_the_parameters():
    end = trained(5)
    assert end.averages["0.2887"]["w"] == pytest.approx(-np.mean([1, 2, 3, 4, 5]), rel=1e-5)
    expected = -(weights_after(5, optim.power_average(0.1)) * [1, 2, 3, 4, 5]).sum()
    assert end.averages["0.1"]["w"] == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_gives_back_the_averages_all_or_one(tmp_path):
    end = trained(3)
    with checkpoints.saver(tmp_path, keep=1) as save:
        save(end)
    target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), end)
    found = checkpoints.restore(tmp_path, target).state
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), found.averages, end.averages))
    one = checkpoints.restore_params(tmp_path, target.params, item=checkpoint_items.average("0.1"))
    assert one.params["w"] == end.averages["0.1"]["w"]
