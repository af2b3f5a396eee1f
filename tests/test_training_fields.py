"""What a training would only fail at after hours, or at its end, is refused before it."""

import pytest

from configs import default
from ddpm_jax.assembly import denoising, networks, training, training_fields
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
        training_fields.check_kept(config)
    with pytest.raises(ValueError, match=f"^{message}$"):  # a plan, too
        training.build_programs(config, devices.place(), 10)


def test_a_grid_without_images_is_refused(config):
    config.sampling.images_per_class = 0
    with pytest.raises(ValueError, match=r"sampling\.images_per_class is 0; wanted at least 1"):
        training_fields.check_kept(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"sampling.average": "0.1"},
            r"sampling\.average is '0\.1'; known: ema; optim\.averages adds",
        ),
        ({"sampling.average": "best"}, r"optim\.averages is \(\) .*; wanted several averages"),
        (
            {"sampling.average": "best", "optim.averages": (0.1,), "training.eval_images": 0},
            r"training\.eval_images is 0; wanted",
        ),
        (
            {"sampling.checkpoint": "best", "training.eval_images": 0},
            "no checkpoint has a validation",
        ),
        (
            {"sampling.checkpoint": "250"},
            r"sampling\.checkpoint is '250', and the training keeps no",
        ),
        ({"sampling.checkpoint": "newst"}, "is 'newst', and the training keeps no"),
        (
            {"sampling.autoguidance_scale": 2.0},
            "autoguidance_checkpoint is '', and the training keeps",
        ),
    ],
)
def test_what_will_not_be_there_to_sample_from_is_refused(config, fields, message):
    training_fields.check_kept(config)
    config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        training_fields.check_kept(config)


@pytest.mark.parametrize(
    "fields",
    [
        {"sampling.average": "0.1", "optim.averages": (0.1,)},
        {"sampling.average": "best", "optim.averages": (0.1,)},
        {"sampling.checkpoint": "best"},
        {"sampling.checkpoint": "750"},
        {"sampling.checkpoint": "250", "training.keep_every": 250},
    ],
)
def test_what_will_be_there_to_sample_from_is_not_refused(config, fields):
    config.update_from_flattened_dict(fields)
    training_fields.check_kept(config)


@pytest.mark.parametrize(
    ("asked", "there", "found"), [(0, 50, 0), (50, 0, 0), (8, 50, 8), (99, 50, 50), (3, 50, None)]
)
def test_fewer_validation_images_than_devices_are_refused_and_none_are_not(asked, there, found):
    if found is None:
        with pytest.raises(ValueError, match="3 validation images do not fill 4 devices; raise"):
            in_training.num_validated(asked, there, 4)
    else:
        assert in_training.num_validated(asked, there, 4) == found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"guidance_from": "nextclass"},
            r"guidance_from is 'nextclass'; known: unlabelled, next_class",
        ),
        ({"guidance_interval": (0.3,)}, r"guidance_interval is \(0\.3,\), wanted \(low, high\)"),
        ({"guidance_interval": (2.0, 0.3)}, r"guidance_interval is \(2\.0, 0\.3\), wanted"),
    ],
)
def test_guidance_that_cannot_be_is_refused_before_a_training(config, fields, message):
    config.sampling.guidance_scale = 2.0
    net, table = networks.build_net(config, 10), denoising.build_levels(config.schedule)
    denoising.build_sampler(config, net, table)
    config.sampling.update(fields)
    with pytest.raises(ValueError, match=message):
        denoising.build_sampler(config, net, table)


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
            training_fields.check_kept(config)
    with pytest.raises(ValueError, match=f"^{REFUSED[variance]}$"):
        denoising.build_sampler(config, net, table)
    config.sampling.solver = "ddim"
    denoising.build_sampler(config, net, table)


@pytest.mark.parametrize("kind", ["hybrid", "variational"])
def test_a_learned_variance_is_there_where_the_loss_learns_one(config, kind):
    config.sampling.solver, config.sampling.variance = "ancestral", "learned"
    config.loss.kind, config.loss.weight = kind, "none"
    training_fields.check_kept(config)
    net, table = networks.build_net(config, 10), denoising.build_levels(config.schedule)
    denoising.build_sampler(config, net, table)
