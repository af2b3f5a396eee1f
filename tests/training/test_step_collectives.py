"""What the compiled programs say to each other and how much work they are, read from the programs."""

import math
import re

import jax
import numpy as np
import pytest

from configs import digits
from ddpm_jax.assembly import choice, denoising, networks, objective, optimizers, training
from ddpm_jax.training import compilation, devices, optim
from ddpm_jax.training import state as states
from ddpm_jax.training import step as steps

COLLECTIVE = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-reduce|all-gather|all-to-all|reduce-scatter"
    r"|collective-permute|collective-broadcast)(?:-start)?\("
)
ARRAY = re.compile(r"(pred|[a-z]+\d+)\[([\d,]*)\]")
pytestmark = pytest.mark.slow

BYTES = {"pred": 1, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "u8": 1}


def collectives(compiled):
    """(kind, bytes) of every one in the program."""
    found = []
    for match in COLLECTIVE.finditer(compiled.as_text()):
        sizes = [
            BYTES[dtype] * math.prod(int(n) for n in dims.split(",") if n)
            for dtype, dims in ARRAY.findall(match["shapes"])
        ]
        found.append((match["kind"], sum(sizes)))
    return found


def config():
    config = digits.get_config()
    config.net.base_channels = 8
    config.net.multipliers = (1,)
    config.net.unet.num_groups = 4
    config.net.unet.num_res_blocks = 1
    return config


def step_and_arguments(config, placement, rows=32):
    net = networks.build_net(config, 10)
    params = networks.init_net(net, config.data, jax.random.key(0))
    loss_fn = objective.build_loss(config, net, denoising.build_levels(config.schedule))
    optimizer = optimizers.build_optimizer(config.optim, 100)
    step = steps.make_train_step(loss_fn, optimizer, ema_decay=optim.ema_decay(0.99))
    batch = {
        "image": np.zeros((rows, 8, 8, 1), np.uint8),
        "label": np.zeros(rows, np.int32),
    }
    state = states.create(params, optimizer, loss_fn, batch)
    return compilation.compile_step(placement, step), (state, batch, jax.random.key(0))


@pytest.fixture(scope="module")
def on_four():
    step, arguments = step_and_arguments(config(), devices.place())
    return step.lower(*arguments).compile(), arguments[0].params


def test_a_training_step_exchanges_the_gradient_and_nothing_else(on_four):
    compiled, params = on_four
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    # The loss, a mean over the batch, is 4 bytes more.
    assert collectives(compiled) == [("all-reduce", num_bytes + 4)]


def test_each_step_of_a_call_does_so_and_gathers_its_rows_where_they_are(on_four):
    several = config()
    several.training.steps_per_call = 2
    programs = training.build_programs(several, devices.place(), 10, num_resident=50)
    shapes = jax.eval_shape(programs.begin)
    compiled = training.compile_train_step(devices.place(), programs, shapes)
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(on_four[1]))
    assert collectives(compiled) == [("all-reduce", num_bytes + 4)] * 2


def test_a_training_step_is_no_more_work_than_it_was(on_four):
    # Recorded from XLA's own count; compilers fuse differently, so bytes have more room than GFLOP.
    cost = on_four[0].cost_analysis()
    assert cost["flops"] == pytest.approx(26_937_656, rel=0.03)
    assert cost["bytes accessed"] == pytest.approx(13_317_755, rel=0.15)


def test_sampling_exchanges_nothing():
    small = config()
    net = networks.build_net(small, 10)
    weights = denoising.Weights(networks.init_net(net, small.data, jax.random.key(0)))
    sampler = denoising.build_sampler(small, net, denoising.build_levels(small.schedule))
    compiled = compilation.spread(
        devices.place(), lambda weights, rows: sampler(weights, rows["label"], rows["key"])
    )
    rows = {
        "label": np.zeros(8, np.int32),
        "key": jax.random.split(choice.key_for(0, "sample"), 8),
    }
    assert collectives(compiled.lower(weights, rows).compile()) == []
