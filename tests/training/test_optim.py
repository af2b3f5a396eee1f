"""Learning rates against their formulas, Adam against its first step written out."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ddpm_jax.training import optim


@pytest.mark.parametrize("warmup_steps", [0, 4])
def test_constant_rises_linearly_and_stays(warmup_steps):
    rate = optim.constant(0.8, warmup_steps=warmup_steps)
    wanted = [0.8 * min(1.0, i / 4) if warmup_steps else 0.8 for i in range(9)]
    np.testing.assert_allclose([float(rate(i)) for i in range(9)], wanted, rtol=1e-6)


@pytest.mark.parametrize("warmup_steps", [0, 10])
def test_warmup_cosine_passes_through_its_closed_form(warmup_steps):
    rate = optim.warmup_cosine(2.0, num_steps=110, warmup_steps=warmup_steps, final=0.5)
    for step in (warmup_steps, 40, 77, 110, 200):
        done = min(1.0, (step - warmup_steps) / (110 - warmup_steps))
        wanted = 0.5 + 1.5 * 0.5 * (1 + math.cos(math.pi * done))
        assert float(rate(step)) == pytest.approx(wanted, rel=1e-5)
    if warmup_steps:
        assert float(rate(0)) == 0.0 and float(rate(5)) == pytest.approx(1.0)


def test_a_warmup_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="warmup_steps 10 must be less than num_steps 10"):
        optim.warmup_cosine(1.0, num_steps=10, warmup_steps=10)


def test_one_cycle_starts_at_a_25th_peaks_and_vanishes():
    rate = optim.one_cycle(1.0, num_steps=100, warmup_fraction=0.3)
    assert float(rate(0)) == pytest.approx(1 / 25)
    assert float(rate(30)) == pytest.approx(1.0)
    assert float(rate(100)) == pytest.approx(1 / 250_000, rel=1e-3)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_cycle_that_only_rises_or_only_falls_is_refused(fraction):
    with pytest.raises(ValueError, match=f"warmup_fraction {fraction} must lie between 0 and 1"):
        optim.one_cycle(1.0, num_steps=100, warmup_fraction=fraction)


def first_update(optimizer, params, grads):
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return updates


def test_adams_first_step_is_the_sign_of_the_gradient():
    # m_hat = g and v_hat = g^2, so the update is -rate g / (|g| + eps).
    grads = {"w": jnp.array([3.0, -0.5])}
    updates = first_update(optim.adam(0.1, eps=0.5), {"w": jnp.zeros(2)}, grads)
    np.testing.assert_allclose(updates["w"], [-0.1 * 3 / 3.5, 0.1 * 0.5 / 1.0], rtol=1e-5)


def test_clipping_scales_the_whole_gradient_to_the_norm():
    # The norm of (3, 4) is 5; clipped to 1 it is (0.6, 0.8).
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    updates = first_update(optim.adam(1.0, eps=1.0, clip_norm=1.0), params, grads)
    np.testing.assert_allclose(updates["a"], -0.6 / 1.6, rtol=1e-5)
    np.testing.assert_allclose(updates["b"], -0.8 / 1.8, rtol=1e-5)


def test_adamw_decays_kernels_and_nothing_else():
    params = {"kernel": jnp.full((2, 2), 10.0), "bias": jnp.full(2, 10.0)}
    grads = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    updates = first_update(optim.adamw(0.1, weight_decay=0.01, clip_norm=1.0), params, grads)
    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.01 * 10.0, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0.0)


KERNELS = {"linear": (6, 4), "convolution": (3, 3, 2, 5)}


@pytest.mark.parametrize("kind", KERNELS)
def test_muon_takes_a_kernel_as_a_matrix_and_steps_along_the_orthogonal_one(kind, key):
    """The gradient's singular values all become about one, in units of the learning rate times
    0.2 sqrt(max(inputs, outputs)): five steps of Newton and Schulz leave 0.7 to 1.2."""
    gradient = jax.random.normal(key, KERNELS[kind])
    params = {"kernel": jnp.zeros_like(gradient)}
    (update,) = first_update(
        optim.muon(0.1, weight_decay=0.0), params, {"kernel": gradient}
    ).values()
    matrix = np.asarray(gradient).reshape(-1, gradient.shape[-1])
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    scaled = -np.asarray(update).reshape(matrix.shape) / (0.1 * 0.2 * math.sqrt(max(matrix.shape)))
    along = u.T @ scaled @ v.T
    assert (np.abs(np.diag(along) - 0.95) < 0.3).all()
    np.testing.assert_allclose(along, np.diag(np.diag(along)), atol=1e-4)


def test_muons_first_step_is_that_of_pytorch(key):
    torch = pytest.importorskip("torch")
    gradient = np.asarray(jax.random.normal(key, (6, 4)))
    weights = torch.nn.Parameter(torch.ones(4, 6))  # PyTorch's kernels have the outputs first
    weights.grad = torch.from_numpy(gradient.T.copy())
    peer = torch.optim.Muon([weights], lr=0.1, weight_decay=0.5, adjust_lr_fn="match_rms_adamw")
    peer.step()
    params = {"kernel": jnp.ones((6, 4))}
    found = first_update(optim.muon(0.1, weight_decay=0.5), params, {"kernel": jnp.array(gradient)})
    # PyTorch computes the orthogonal matrix in bfloat16.
    np.testing.assert_allclose(1 + found["kernel"], weights.detach().numpy().T, atol=2e-3)


def test_muon_leaves_biases_and_embeddings_to_adam_with_nesterovs_momentum(key):
    shapes = {"bias": (4,), "embedding": (3, 4)}
    grads = {name: jax.random.normal(key, shape) for name, shape in shapes.items()}
    params = jax.tree.map(jnp.ones_like, grads)
    found = first_update(optim.muon(0.1, weight_decay=0.5, b1=0.8, b2=0.9), params, grads)
    wanted = first_update(optax.nadam(0.1, b1=0.8, b2=0.9), params, grads)
    for name in shapes:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)


@pytest.mark.parametrize("make", [optim.adamw, optim.muon])
def test_stacked_sets_are_each_optimized_as_if_alone(make):
    """The norms of the two gradients are 5 and 0.5: only the first one is clipped to 1."""
    params = {"kernel": jnp.full((2, 2, 2), 10.0), "bias": jnp.full((2, 2), 10.0)}
    grads = {"kernel": jnp.zeros((2, 2, 2)), "bias": jnp.array([[3.0, 4.0], [0.3, 0.4]])}
    alone = make(0.1, weight_decay=0.01, eps=1.0, clip_norm=1.0)
    found = first_update(optim.for_each(alone), params, grads)
    for i in range(2):
        of_set = jax.tree.map(lambda leaf, i=i: leaf[i], (params, grads))
        wanted = first_update(alone, *of_set)
        for name in params:
            np.testing.assert_allclose(found[name][i], wanted[name], rtol=1e-6)


def test_a_stacked_bias_without_gradient_does_not_decay():
    params = {"kernel": jnp.full((3, 2, 2), 10.0), "bias": jnp.full((3, 2), 10.0)}
    grads = jax.tree.map(jnp.zeros_like, params)
    updates = first_update(optim.for_each(optim.adamw(0.1, weight_decay=0.01)), params, grads)
    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.01 * 10.0, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0.0)


@pytest.mark.parametrize("make", [optim.adam, lambda *a, **k: optim.adamw(*a, weight_decay=0, **k)])
def test_a_norm_that_nothing_can_be_clipped_to_is_refused(make):
    with pytest.raises(ValueError, match=r"clip_norm 0.0 must be positive"):
        make(0.1, clip_norm=0.0)


def test_the_average_of_a_young_run_forgets_fast():
    decay = optim.ema_decay(0.9)
    assert float(decay(jnp.int32(0))) == pytest.approx(0.1)
    assert float(decay(jnp.int32(8))) == pytest.approx(0.5)
    assert float(decay(jnp.int32(10**6))) == pytest.approx(0.9)
    assert float(optim.ema_decay(0.9, warmup=False)(jnp.int32(0))) == pytest.approx(0.9)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_never_follows_is_refused(decay):
    with pytest.raises(ValueError, match=f"decay {decay} must lie in 0 <= decay < 1"):
        optim.ema_decay(decay)


def test_a_number_serves_as_a_learning_rate():
    assert isinstance(optim.adam(1e-3), optax.GradientTransformation)
