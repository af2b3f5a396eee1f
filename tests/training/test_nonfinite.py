import jax
import jax.numpy as jnp
import numpy as np
import pytest
import regression

from ddpm_jax.training import devices, loop, nonfinite
from ddpm_jax.training import state as states


def poisoned(number):
    rows = regression.batch(number)
    if number == 7:
        rows["y"][3, 1] = np.nan
    return rows


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "unroll": True}])
def test_the_findings_name_the_batch_and_the_gradients_it_spoiled(options):
    placement = devices.place("jit", jax.devices()[:1])
    with pytest.raises(loop.NonFinite) as caught:
        regression.train(placement, 30, batches=poisoned, **options)
    found = nonfinite.inspect(
        regression.noisy_loss,
        caught.value.state,
        jax.tree.map(jnp.asarray, poisoned(7)),
        jax.random.key(regression.KEY_SEED),
        **options,
    )
    assert found.step == 7 and np.isnan(found.loss) and np.isnan(found.metrics["mean_error"])
    assert found.batch == {"y": 1} and found.params == {}
    # Row 3 reaches output 1 only: 8 of the 16 entries of the last kernel, and all before it.
    assert found.gradients == {"first/bias": 8, "first/kernel": 24, "second/kernel": 8}
    assert "not finite in batch: y (1)" in str(found)
    assert "not finite in params: nothing" in str(found)


def test_a_gradient_can_be_at_fault_alone():
    def loss_fn(params, batch, key):
        # The square root has a finite value and an infinite slope at 0.
        return jnp.sqrt(jnp.sum(params["w"] ** 2)) + jnp.sum(params["v"]), {}

    params = {"w": jnp.zeros(3), "v": jnp.ones(2)}
    state = states.create(params, regression.adam(), loss_fn, {"x": jnp.zeros(1)})
    found = nonfinite.inspect(loss_fn, state, {"x": jnp.zeros(1)}, jax.random.key(0))
    assert found.loss == 2.0 and found.gradients == {"w": 3}
