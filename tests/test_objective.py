"""Every option of the loss and the sampler, on a network whose answer is known: nothing but zeros."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from ddpm_jax.assembly import denoising, networks, objective, optimizers, training
from ddpm_jax.diffusion import solvers

NUM = 512


class Silent(nn.Module):
    """Zeros of as many channels as the variance needs."""

    out_channels: int = 1
    num_classes: int = 0

    @nn.compact
    def __call__(self, x, t, label=None, *, train=False):
        scale = self.param("scale", nn.initializers.zeros, ())
        return scale * jnp.concatenate([x] * self.out_channels, axis=-1)


@pytest.fixture
def config():
    config = default.get_config()
    config.loss.prediction = "eps"
    config.schedule.num_steps = 100
    return config


@pytest.fixture
def loss(config):
    def run(build=objective.build_loss, whole=False, seed=2, **options):
        net = Silent(2 if networks.learns_variance(config) else 1)
        table = denoising.build_levels(config.schedule)
        image = jax.random.randint(jax.random.key(1), (NUM, 4, 4, 1), 0, 256).astype(jnp.uint8)
        batch = {"image": image, "label": jnp.zeros(NUM, jnp.int32)}
        params = net.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)), jnp.zeros(1))
        value, metrics = build(config, net, table)(params, batch, jax.random.key(seed), **options)
        return (float(value), metrics) if whole else float(value)

    return run


def test_the_distances_of_noise_from_zero(config, loss):
    """Those of a standard normal: mean square 1, mean absolute value sqrt(2 / pi), cosine distance 1."""
    found = {}
    for kind in ("mse", "squared_norm", "l1", "huber", "combined"):
        config.loss.kind = kind
        found[kind] = loss()
    assert found["mse"] == pytest.approx(1.0, abs=0.05)
    assert found["squared_norm"] == pytest.approx(16 * found["mse"], rel=1e-5)
    assert found["l1"] == pytest.approx(np.sqrt(2 / np.pi), abs=0.02)
    assert found["huber"] < 0.5 * found["mse"]
    expected = 0.7 * found["mse"] + 0.15 * found["l1"] + 0.15
    assert found["combined"] == pytest.approx(expected, rel=1e-5)


def test_the_scheduled_loss_by_the_scales_of_the_batch(config, loss):
    """The L1 part is brought to the MSE's scale, and the sum stays the MSE."""
    mse = loss()
    config.loss.kind = "scheduled"
    for step in (0, config.training.num_steps // 2, None):
        given = None if step is None else jnp.int32(step)
        assert loss(step=given) == pytest.approx(mse, rel=1e-5)


def test_the_scheduled_loss_follows_the_progress_of_the_training(config, loss):
    """The share of L1 grows from 0.2 by 0.15 times the share of the steps that are done."""
    mse = loss()
    config.loss.kind = "l1"
    l1 = loss()
    config.loss.kind = "scheduled"
    config.training.num_steps = 40
    start = objective.build_past(config, 100).start
    for step, share in ((0, 0.2), (10, 0.2375), (40, 0.35), (None, 0.35)):
        value = loss(past=start, step=None if step is None else jnp.int32(step))
        assert value == pytest.approx((1 - share) * mse + share * l1, rel=1e-5)


def test_the_scheduled_loss_goes_by_the_running_ratio_and_keeps_it(config, loss):
    mse = loss()
    config.loss.kind = "l1"
    l1 = loss()
    config.loss.kind = "scheduled"
    past = objective.build_past(config, 100)
    value, metrics = loss(whole=True, past=past.start)
    assert value == pytest.approx(0.65 * mse + 0.35 * l1, rel=1e-5)
    later = past.update(past.start, metrics["seen"])["scales"]
    ratio = float(later.mse / later.l1)
    np.testing.assert_allclose(later, [0.99 + 0.01 * mse, 0.99 + 0.01 * l1], rtol=1e-5)
    scaled = loss(past={"scales": later})
    assert scaled == pytest.approx(0.65 * mse + 0.35 * ratio * l1, rel=1e-5)


def test_the_consistency_loss_follows_the_progress_of_the_training(config, loss):
    """A network of zeros says alpha x_t. At the end, each gap of this short table is a row."""
    config.loss.kind, config.loss.prediction, config.loss.consistency_offset = "consistency", "v", 0
    past = objective.build_past(config, 100)
    assert past.start == {} == past.update({}, None)
    end = loss(step=jnp.int32(config.training.num_steps))
    assert end == loss() and loss(step=jnp.int32(0)) != end
    config.schedule.num_steps, config.schedule.name = 1, "linear"
    config.schedule.beta_start = 0.1
    # By hand: the target is x0, the estimate is 0.9 x0 + 0.3 eps, and sigma / alpha is 1 / 3.
    config.loss.kind, config.loss.prediction = "mse", "x0"
    mean_square = loss()
    config.loss.kind, config.loss.prediction = "consistency", "v"
    assert loss() == pytest.approx(3 * (0.01 * mean_square + 0.09), rel=0.05)


@pytest.mark.parametrize(("field", "value"), [("weight", "snr"), ("prediction", "eps")])
def test_the_consistency_loss_refuses_what_does_not_go_with_it(config, loss, field, value):
    config.loss.kind, config.loss.prediction = "consistency", "v"
    config.loss[field] = value
    with pytest.raises(ValueError, match=f"'consistency', .*{field} '{value}'.*; wanted"):
        loss()


def test_levels_of_a_larger_loss_are_sampled_more_often_and_count_less(config, loss):
    """A network of zeros misses all of x0 at every level, so the losses are as their weights."""
    config.loss.prediction = "x0"
    config.loss.draw = "second_moment"
    config.loss.weight = "snr"
    config.training.batch_size = NUM
    past = objective.build_past(config, 100)
    kept, values = past.start, []
    for seed in range(30):
        value, metrics = loss(whole=True, past=kept, seed=seed)
        kept = past.update(kept, metrics["seen"])
        values.append(value)
    assert kept["moments"].counts.sum() == pytest.approx(30 * NUM)
    table = denoising.build_levels(config.schedule)
    levels = objective.build_level_sampler(config.loss, table)(jax.random.key(5), 4000, kept)
    snr = np.square(table.alpha / table.sigma)[1:]
    shares = np.bincount(np.asarray(levels.now.t).astype(int) - 1, minlength=100) / 4000
    wanted = snr / snr.sum()
    np.testing.assert_allclose(shares, wanted, atol=0.05)
    of_the_first = float(levels.importance[levels.now.t == 1].mean())
    assert of_the_first == pytest.approx(1 / (100 * wanted[0]), rel=0.1)
    assert np.std(values[-10:]) < 0.2 * np.std(values[:10])


def test_the_weights_of_the_noise_levels(config, loss):
    """One level only, T = 1: the weight is a factor; see weights.py for the table."""
    config.schedule.num_steps = 1
    config.schedule.name = "linear"
    config.schedule.beta_start = 0.1
    config.loss.prediction = "x0"
    snr = 0.9 / 0.1
    plain = loss()
    for weight, factor in {
        "none": 1.0,
        "snr": snr,
        "truncated_snr": snr,
        "min_snr": 5.0,
        "p2": snr / (1 + snr),
    }.items():
        config.loss.weight = weight
        assert loss() == pytest.approx(factor * plain, rel=1e-4), weight


def test_offset_noise_shifts_whole_images(config, loss):
    """The noise's variance is 1 + strength^2, and a network that says nothing misses all of it."""
    config.loss.offset_noise = 1.0
    assert loss() == pytest.approx(2.0, abs=0.2)
    assert loss(objective.build_validation_loss) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("draw", ["uniform", "stratified", "beta"])
def test_levels_are_sampled_as_asked(config, draw):
    config.loss.draw = draw
    table = denoising.build_levels(config.schedule)
    now, nxt, _ = objective.build_level_sampler(config.loss, table)(jax.random.key(0), 4000, {})
    t = np.asarray(now.t)
    assert t.min() >= 1 and t.max() <= 100
    np.testing.assert_array_equal(nxt.t, t - 1)
    ends = np.mean((t <= 10) | (t > 90))
    # Beta(1/2, 1/2), the arcsine law, has 2 / pi asin(sqrt(0.1)) = 0.2048 on either tenth.
    assert ends == pytest.approx(0.41 if draw == "beta" else 0.2, abs=0.03)


@pytest.mark.parametrize("kind", ["hybrid", "variational"])
def test_a_learned_variance_doubles_the_channels_and_has_a_loss(config, loss, kind):
    config.loss.kind = kind
    assert networks.build_net(config, 3).out_channels == 2
    assert np.isfinite(loss()) and np.isfinite(loss(objective.build_validation_loss))
    config.loss.weight = "snr"
    with pytest.raises(ValueError, match=r"loss\.weight 'snr'.*has its own"):
        loss()


def test_edm_has_its_own_levels_and_weight(config, loss):
    config.loss.prediction = "edm"
    with pytest.raises(ValueError, match="'log_normal' and 'edm' go together"):
        loss()
    config.loss.draw = "log_normal"
    assert np.isfinite(loss())
    assert networks.build_net(config, 3).max_t == 1.0
    config.loss.kind = "l1"
    with pytest.raises(ValueError, match=r"loss\.kind 'l1'"):
        loss()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedule.name", "linaer"),
        ("net.name", "vnet"),
        ("net.dtype", "float16"),
        ("loss.kind", "l2"),
        ("loss.weight", "snr2"),
        ("loss.draw", "gauss"),
        ("sampling.solver", "euler"),
        ("sampling.guidance_from", "nothing"),
        ("optim.schedule", "linear"),
        ("optim.name", "sgd"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(config, loss, field, value):
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=f"{field} is '{value}'; known: "):
        table = denoising.build_levels(config.schedule)
        networks.build_net(config, 3)
        loss()
        denoising.build_solver(config.sampling, table)
        denoising.leaned_from(config.sampling, jnp.zeros(1, jnp.int32), 3)
        optimizers.build_optimizer(config.optim, 100)


def test_every_schedule_begins_clean(config):
    for name in ("linear", "cosine", "sigmoid_beta", "sigmoid_alpha_bar", "blend", "karras"):
        config.schedule.name = name
        table = denoising.build_levels(config.schedule)
        assert table.num_steps == 100 and table.sigma[0] == 0.0 and table.alpha[0] == 1.0


@pytest.mark.parametrize(
    ("solver", "spacing"),
    [
        ("ancestral", "uniform"),
        ("ddim", "quadratic"),
        ("dpm_solver_pp_2m", "log_snr"),
        ("sde_dpm_solver_pp_2m", "log_snr"),
        ("heun", "karras"),
        ("edm_stochastic", "karras"),
        ("iterative_x0", "uniform"),
    ],
)
def test_every_solver_walks_to_the_denoisers_image(config, solver, spacing):
    """A denoiser that always says 0.5 is the oracle of data that is one point."""
    config.sampling.solver, config.sampling.spacing = solver, spacing
    config.sampling.num_steps = 8
    table = denoising.build_levels(config.schedule)
    levels = denoising.build_steps(config.sampling, table)
    keys = jax.random.split(jax.random.key(0), 2)

    def denoise(x, level):
        return denoising.predictions.from_x0(x, jnp.full_like(x, 0.5), level)

    x = solvers.starting_noise(levels, keys, (2, 2, 1))
    made = solvers.sample(denoising.build_solver(config.sampling, table), denoise, levels, x, keys)
    np.testing.assert_allclose(made, 0.5, atol=2e-3)


@pytest.mark.parametrize("schedule", ["cosine", "karras"])
def test_iterative_x0_adds_noise_above_a_share_of_the_noisiest_level(config, schedule):
    """Of a Karras schedule t is sigma, at most 80."""
    config.schedule.name, config.sampling.num_steps = schedule, 8
    config.sampling.solver, config.sampling.iterative_above = "iterative_x0", 0.7
    table = denoising.build_levels(config.schedule)
    levels = denoising.build_steps(config.sampling, table)
    keys = jax.random.split(jax.random.key(0), 2)
    x = solvers.starting_noise(levels, keys, (2, 2, 1))

    def denoise(x, level):
        return denoising.predictions.from_x0(x, x / 4, level)

    def made(noise):
        config.sampling.iterative_noise = noise
        solver = denoising.build_solver(config.sampling, table)
        return np.asarray(solvers.sample(solver, denoise, levels, x, keys))

    assert np.abs(made(0.5) - made(0.0)).max() > 1e-6


@pytest.mark.parametrize("solver", ["heun", "edm_stochastic"])
def test_heun_is_refused_where_it_would_leave_the_flow(config, solver):
    """A cosine's last row has sigma / alpha of some 20,000, and even steps of t go from there to 13."""
    config.schedule.num_steps = 1000
    config.sampling.solver, config.sampling.num_steps = solver, 20
    table = denoising.build_levels(config.schedule)
    with pytest.raises(ValueError, match=r"by 789 in one of the 20 steps.*take 'karras'"):
        denoising.build_steps(config.sampling, table)
    for spacing in ("karras", "log_snr"):
        config.sampling.spacing = spacing
        denoising.build_steps(config.sampling, table)
    config.schedule.name, config.sampling.spacing = "linear", "uniform"
    denoising.build_steps(config.sampling, denoising.build_levels(config.schedule))


def test_guidance_leans_from_no_label_or_from_the_other_class(config):
    label = jnp.array([0, 1, 2])
    assert denoising.leaned_from(config.sampling, label, 3).tolist() == [3, 3, 3]
    config.sampling.guidance_from = "next_class"
    assert denoising.leaned_from(config.sampling, label, 3).tolist() == [1, 2, 0]
    # A mix of two images has no label, and so no class beside it.
    assert denoising.leaned_from(config.sampling, jnp.array([3]), 3).tolist() == [3]


@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_guidance_is_refused_where_no_label_was_ever_dropped(config, scale):
    """The row of the null class is then as it was initialized."""
    config.loss.label_dropout = 0.0
    config.sampling.guidance_scale = scale
    table = denoising.build_levels(config.schedule)
    net = Labelled()
    asked = (
        lambda: denoising.build_sampler(config, net, table),
        lambda: denoising.build_denoiser(config, net, denoising.Weights({}), jnp.array([0, 1])),
    )
    for ask in asked:
        with pytest.raises(ValueError, match=rf"scale of {scale:g} .*label_dropout = 0.*wanted a"):
            ask()
    config.sampling.guidance_from = "next_class"
    for ask in asked:
        ask()
    config.sampling.guidance_from, config.sampling.guidance_scale = "unlabelled", 1.0
    for ask in asked:
        ask()


def test_guidance_is_refused_of_a_network_without_labels(config):
    config.net.class_conditional = False
    config.sampling.guidance_scale = 2.0
    with pytest.raises(
        ValueError, match=r"scale of 2 .*class_conditional is False; wanted a scale"
    ):
        denoising.check_guidance(config)


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        # The square root of the product of 1 - beta: 0.603 at T = 100, 0.951 at T = 10.
        ({"name": "linear", "num_steps": 100}, "beta_start=0.001 and schedule.beta_end=0.2"),
        ({"name": "sigmoid_beta", "num_steps": 100}, "beta_start=0.001 and schedule.beta_end=0.2"),
        ({"name": "linear", "num_steps": 10}, "take schedule.name=cosine"),
        ({"name": "blend", "num_steps": 10, "blend_reach": 0.4}, "set schedule.blend_reach=1"),
    ],
)
def test_a_schedule_that_does_not_end_in_noise_is_warned_of(config, fields, advice, capsys):
    config.schedule.update(fields)
    training.warn(config, denoising.build_levels(config.schedule))
    (line,) = capsys.readouterr().err.splitlines()
    betas = np.linspace(1e-4, 0.02, config.schedule.num_steps)
    alpha = np.cos(0.2 * np.pi) if fields["name"] == "blend" else np.sqrt(np.prod(1 - betas))
    assert f"ends at alpha_T = {alpha:.2g}" in line and advice in line


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "linear", "num_steps": 1000},
        # What the warning advises.
        {"name": "linear", "num_steps": 100, "beta_start": 0.001, "beta_end": 0.2},
        {"name": "sigmoid_beta", "num_steps": 100, "beta_start": 0.001, "beta_end": 0.2},
        {"name": "blend", "num_steps": 10, "blend_reach": 1.0},
        {"name": "cosine", "num_steps": 10},
        {"name": "cosine", "num_steps": 1},
        {"name": "sigmoid_alpha_bar", "num_steps": 10},
        {"name": "karras", "num_steps": 10},
    ],
)
def test_a_schedule_that_ends_in_noise_is_not(config, fields, capsys):
    config.schedule.update(fields)
    training.warn(config, denoising.build_levels(config.schedule))
    assert capsys.readouterr().err == ""


class Labelled(nn.Module):
    """Says the label as the image, 0 where there is none."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, x, t, label=None, *, train=False):
        value = jnp.where(label == self.num_classes, 0.0, 0.1 + 0.1 * label)
        return jnp.broadcast_to(value[:, None, None, None], x.shape)


@pytest.mark.parametrize(
    ("scale", "source", "expected"),
    [
        (1.0, "unlabelled", (0.1, 0.2)),
        (3.0, "unlabelled", (0.3, 0.6)),
        # 0.2 + 3 (0.1 - 0.2) and 0.1 + 3 (0.2 - 0.1)
        (3.0, "next_class", (-0.1, 0.4)),
        # Clipped to the range of images.
        (20.0, "unlabelled", (1.0, 1.0)),
    ],
)
def test_the_scale_of_guidance(config, scale, source, expected):
    config.loss.prediction = "x0"
    config.sampling.guidance_scale, config.sampling.guidance_from = scale, source
    level = denoising.build_levels(config.schedule)[50]
    denoise = denoising.build_denoiser(config, Labelled(), denoising.Weights({}), jnp.array([0, 1]))
    found = denoise(jnp.zeros((2, 4, 4, 1)), level).x0[:, 0, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_guidance_outside_of_its_interval_is_none(config):
    config.loss.prediction = "x0"
    config.sampling.guidance_scale = 3.0
    config.sampling.guidance_interval = (0.1, 0.5)
    table = denoising.build_levels(config.schedule)
    denoise = denoising.build_denoiser(config, Labelled(), denoising.Weights({}), jnp.array([0, 1]))
    ratio = np.asarray(table.sigma / table.alpha)
    for row in (20, 90):
        inside = 0.1 < ratio[row] <= 0.5
        found = float(denoise(jnp.zeros((2, 4, 4, 1)), table[row]).x0[0, 0, 0, 0])
        assert found == pytest.approx(0.3 if inside else 0.1, abs=1e-6)
    assert 0.1 < ratio[20] <= 0.5 < ratio[90]


def test_every_learning_rate_ends_as_its_name_says(config):
    """Adam's first step is the learning rate itself, whatever the gradient."""
    moved = {}
    for schedule in ("constant", "cosine", "one_cycle"):
        config.optim.schedule, config.optim.warmup_steps = schedule, 10
        optimizer = optimizers.build_optimizer(config.optim, 100)
        params = {"w": jnp.ones((2, 2))}
        state, moved[schedule] = optimizer.init(params), []
        for _ in range(100):
            update, state = optimizer.update({"w": jnp.ones((2, 2))}, state, params)
            moved[schedule].append(float(-update["w"][0, 0]))
    assert moved["constant"][0] == 0.0 and moved["constant"][-1] == pytest.approx(1e-3, rel=0.01)
    assert moved["cosine"][-1] < 1e-5
    assert moved["one_cycle"][0] == pytest.approx(1e-3 / 25, rel=0.01)
    assert max(moved["one_cycle"]) == pytest.approx(1e-3, rel=0.01)
    assert moved["one_cycle"][-1] < 1e-5
