"""What a training would only fail at after hours, or at its end, is refused before it."""

import pytest

from configs import default
from ddpm_jax.assembly import denoising, networks, training
from ddpm_jax.models import in_training
from ddpm_jax.training import devices


@pytest.fixture
def config():
    config = default.get_config()
    config.net.base_channels, config.net.unet.num_groups = 4, 2
    config.net.multipliers, config.net.unet.num_res_blocks = (1,), 1
    config.schedule.num_steps, config.sampling.num_steps = 8, 4
    return config


@pytest.mark.parametrize("every", [0, -1])
@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("log_every", "at the end only"),
        ("eval_every", "at the end only"),
        ("save_every", "at the end only"),
        ("sample_every", "never"),
    ],
)
def test_an_interval_below_1_is_refused(config, name, when, every):
    config.training[name] = every
    message = (
        f"training.{name} is {every}; wanted at least 1, or more than training.num_steps for {when}"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        training.check_kept(config)
    with pytest.raises(ValueError, match=f"^{message}$"):  # a plan, too
        training.build_programs(config, devices.place(), 10)


def test_a_grid_without_images_is_refused(config):
    config.sampling.images_per_class = 0
    with pytest.raises(ValueError, match=r"sampling\.images_per_class is 0; wanted at least 1"):
        training.check_kept(config)


@pytest.mark.parametrize(
    ("asked", "there", "found"), [(0, 50, 0), (50, 0, 0), (8, 50, 8), (99, 50, 50), (3, 50, None)]
)
def test_fewer_validation_images_than_devices_are_refused_and_none_are_not(asked, there, found):
    if found is None:
        with pytest.raises(ValueError, match="3 validation images do not fill 4 devices; raise"):
            in_training.num_validated(asked, there, 4)
    else:
        assert in_training.num_validated(asked, there, 4) == found


REFUSED = {
    "learned": "sampling.variance is 'learned' and loss.kind is 'mse'; wanted loss.kind 'hybrid' or "
    "'variational'",
    "tiny": "sampling.variance is 'tiny'; known: posterior, beta, learned",
}


@pytest.mark.parametrize("variance", REFUSED)
def test_a_variance_that_is_not_there_is_refused(config, variance):
    """Before a training, whatever the solver, because bits/dim need it too; before an export, if it is drawn
    with it."""
    config.sampling.variance = variance
    net, table = networks.build_net(config, 10), denoising.build_levels(config.schedule)
    for solver in ("ddim", "ancestral"):
        config.sampling.solver = solver
        with pytest.raises(ValueError, match=f"^{REFUSED[variance]}$"):
            training.check_kept(config)
    with pytest.raises(ValueError, match=f"^{REFUSED[variance]}$"):
        denoising.build_sampler(config, net, table)
    config.sampling.solver = "ddim"
    denoising.build_sampler(config, net, table)


@pytest.mark.parametrize("kind", ["hybrid", "variational"])
def test_a_learned_variance_is_there_where_the_loss_learns_one(config, kind):
    config.sampling.solver, config.sampling.variance = "ancestral", "learned"
    config.loss.kind, config.loss.weight = kind, "none"
    training.check_kept(config)
    net, table = networks.build_net(config, 10), denoising.build_levels(config.schedule)
    denoising.build_sampler(config, net, table)
