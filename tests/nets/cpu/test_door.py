"""A GPU's program holds nothing of the CPU's code, and both sides of the door compute the same."""

import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets import cpu
from ddpm_jax.nets.unet import UNet

X = jax.random.normal(jax.random.key(0), (8, 8, 8, 3))
T = jnp.linspace(1.0, 900.0, 8)
NET = UNet(
    3,
    base_channels=32,
    multipliers=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(4,),
    dropout=0.0,
    dtype=jnp.bfloat16,
)
# Convolutions of 3x3, in the stem, eight blocks, the changes of resolution and the head.
NUM_CONVS, NUM_ATTENTIONS = 1 + 2 * 8 + 2 + 1, 4


def open_to_none(plain, faster, *arrays):
    """The plain operations on a CPU too."""
    return plain(*arrays)


def loss_of(net):
    return lambda params, x: jnp.mean(jnp.sin(net.apply(params, x, T)))


def program(net):
    """The gradient's, in StableHLO, for a GPU, which need not be there."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), X, T)
    gradient = jax.jit(jax.grad(loss_of(net)))
    return str(jax.export.export(gradient, platforms=["cuda"])(shapes, X).mlir_module())


def types(operation, text):
    """The types of operands and result, for each operation of that name."""
    lines = (line for line in text.splitlines() if f"stablehlo.{operation}" in line)
    return collections.Counter(tuple(re.findall(r"x([a-z]+\d+)>", line)[-3:]) for line in lines)


def operations(text):
    """How many there are of each that computes or moves numbers; zeros kept for nothing count too."""
    found = collections.Counter(re.findall(r"stablehlo\.(\w+)", text))
    zeros = len(re.findall(r"broadcast_in_dim %cst\w*, dims = \[\]", text))
    # The choice itself, and what a gradient does again and XLA finds done: pixels repeated for a
    # convolution of doubled ones and its kernel rounded.
    free = {"case", "return", "constant", "reshape", "broadcast_in_dim", "convert"}
    return {name: num for name, num in found.items() if name not in free} | {"zeros": zeros}


@pytest.fixture(scope="module")
def for_a_gpu():
    return program(NET)


def test_a_gpus_bfloat16_program_has_plain_convolutions_and_no_float32_product(for_a_gpu):
    layouts = set(re.findall(r"dim_numbers = (\S.*?), window", for_a_gpu))
    assert layouts == {
        "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]",
        # As autodiff makes them from the first: the gradients by the kernel and by the input.
        "[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]",
        "[b, 0, 1, f]x[0, 1, o, i]->[b, 0, 1, f]",
    }
    # The last convolution is float32; there is no gradient by the image.
    assert types("convolution", for_a_gpu) == {("bf16",) * 3: 3 * NUM_CONVS - 4, ("f32",) * 3: 3}
    products = types("dot_general", for_a_gpu)
    # The logits of attention are summed up and left in float32 for the softmax.
    assert products.pop(("bf16", "bf16", "f32")) == NUM_ATTENTIONS
    assert set(products) == {("bf16",) * 3}


def test_a_gpus_program_is_that_without_a_door(for_a_gpu, monkeypatch):
    monkeypatch.setattr(cpu, "choose", open_to_none)
    assert operations(for_a_gpu) == operations(program(NET))


def test_both_sides_of_the_door_agree(fill, compiled, monkeypatch):
    # Wide enough for Winograd's products in the forward pass.
    net = NET.clone(base_channels=64, dtype=jnp.float32)
    params = fill(net, X, T)
    results = []
    for _ in range(2):
        out = compiled(net.apply)(params, X, T)
        results.append((out, compiled(jax.grad(loss_of(net), (0, 1)))(params, X)))
        monkeypatch.setattr(cpu, "choose", open_to_none)
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())
