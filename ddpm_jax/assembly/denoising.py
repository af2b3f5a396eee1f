"""From a config to noise levels, and to how a trained network is sampled."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddpm_jax.assembly import guides
from ddpm_jax.assembly.choice import Option, build, choose
from ddpm_jax.assembly.datasets import image_shape
from ddpm_jax.assembly.networks import build_predict, build_reader, learns_variance
from ddpm_jax.diffusion import editing, guidance, predictions, process, schedules, solvers
from ddpm_jax.types import Images, Keys, Labels, Params

Sampler = Callable[..., Images]
"""`sampler(weights, label, keys)`, or `sampler(weights, label, keys, images)` if it starts from images."""

# Heun's method corrects a step by half of the step in sigma / alpha, times the change of the estimated
# noise. Relative to the level that the step ends at, this factor is 789 for 20 even steps of t from the
# last row of a cosine schedule, and images end as black and white specks. For 5 steps of Karras et
# al.'s levels it is 2.4.
MOST_AMPLIFIED = 50.0

# Largest alpha / sigma of a table's last row that counts as noise. Ho et al.'s linear schedule ends at
# 0.006, a cosine at most at 0.03; Stable Diffusion's 0.068 shows in its images (Lin et al. 2024, table 1).
MOST_SIGNAL_LEFT = 0.05


class Weights(NamedTuple):
    """Parameters of a denoising network, and of what guides it: a classifier, a worse denoising network."""

    net: Params
    guide: Params | None = None
    bad: Params | None = None


SCHEDULES = {
    "linear": Option(schedules.linear, ("beta_start", "beta_end")),
    "cosine": Option(schedules.cosine),
    "sigmoid_beta": Option(schedules.sigmoid_beta, ("beta_start", "beta_end")),
    "sigmoid_alpha_bar": Option(schedules.sigmoid_alpha_bar),
    "blend": Option(schedules.blend, ("blend_reach",)),
    "karras": Option(schedules.karras),
}


def build_levels(config: ConfigDict) -> schedules.Level:
    """The table of T+1 levels."""
    return build("schedule.name", config.name, SCHEDULES, config, config.num_steps)


def signal_left(config: ConfigDict, table: schedules.Level) -> str | None:
    """A warning if the schedule section's table does not end in noise, from which samples start."""
    alpha, sigma, num_steps = float(table.alpha[-1]), float(table.sigma[-1]), table.num_steps
    if alpha <= MOST_SIGNAL_LEFT * sigma:
        return None
    advice = "take schedule.name=cosine"
    if config.name in ("linear", "sigmoid_beta"):
        # The default first and last beta, scaled to T steps as in Nichol & Dhariwal's code.
        first, last = 1e-4 * 1000 / num_steps, 0.02 * 1000 / num_steps
        if last < 1.0:
            advice = f"set schedule.beta_start={first:.3g} and schedule.beta_end={last:.3g}"
    elif config.name == "blend":
        advice = "set schedule.blend_reach=1"
    return (
        f"warning: schedule.name {config.name!r} of {num_steps} steps ends at alpha_T = {alpha:.2g}, "
        f"sigma_T = {sigma:.2g}, not in the noise that samples start from; {advice}"
    )


def check_guidance(config: ConfigDict) -> None:
    """Raises ValueError if guidance asks the network for what it was not trained for, or is of two kinds.

    Also if it is from something unknown, or in something that is no interval.
    """
    scale, interval = config.sampling.guidance_scale, tuple(config.sampling.guidance_interval)
    if interval and not (len(interval) == 2 and interval[0] < interval[1]):
        raise ValueError(
            f"sampling.guidance_interval is {interval}, wanted (low, high) or () for everywhere"
        )
    if scale == 1.0:
        return
    choose("sampling.guidance_from", config.sampling.guidance_from, LEANED_FROM)
    if autoguided(config):
        raise ValueError(
            f"sampling.autoguidance_scale is {config.sampling.autoguidance_scale:g} and a guidance scale "
            f"(sampling.guidance_scale, sweep.guidance_scales) is {scale:g}; wanted 1 for one of them"
        )
    what = f"a guidance scale of {scale:g} (sampling.guidance_scale, sweep.guidance_scales)"
    if not config.net.class_conditional:
        raise ValueError(
            f"{what} needs labels, and net.class_conditional is False; wanted a scale of 1"
        )
    if config.sampling.guidance_from == "unlabelled" and not config.loss.label_dropout:
        raise ValueError(
            f"{what} asks for images without a label, which a network with loss.label_dropout = 0 is "
            "never trained for; wanted a scale of 1, sampling.guidance_from=next_class, or a training "
            "with loss.label_dropout above 0, such as 0.1"
        )


def check_variance(config: ConfigDict) -> None:
    """Raises ValueError if `sampling.variance` is not known, or is to be learned and the loss learns none."""
    variance = config.sampling.variance
    if variance not in process.VARIANCES:
        known = ", ".join(process.VARIANCES)
        raise ValueError(f"sampling.variance is {variance!r}; known: {known}")
    if variance == "learned" and not learns_variance(config):
        raise ValueError(
            f"sampling.variance is 'learned' and loss.kind is {config.loss.kind!r}; wanted loss.kind "
            "'hybrid' or 'variational'"
        )


def autoguided(config: ConfigDict) -> bool:
    """Whether a worse version of the network guides it (Karras et al. 2024)."""
    return config.sampling.autoguidance_scale != 1.0


def build_denoiser(
    config: ConfigDict, net: nn.Module, weights: Weights, label: Labels
) -> predictions.Denoiser:
    """The network with its labels bound, guided and clipped as the sampling section says.

    Raises ValueError as `check_guidance` does.
    """
    check_guidance(config)
    sampling = config.sampling
    plain = build_reader(config, build_predict(net, weights.net, label))
    denoise = plain
    if net.num_classes and sampling.guidance_scale != 1.0:
        both = jnp.concatenate([label, leaned_from(sampling, label, net.num_classes)])
        pair = guidance.doubled(build_reader(config, build_predict(net, weights.net, both)))
        denoise = guidance.classifier_free_pair(pair, sampling.guidance_scale)
    if weights.bad is not None:
        bad = build_reader(config, build_predict(net, weights.bad, label))
        denoise = guidance.classifier_free(plain, bad, sampling.autoguidance_scale)
    if weights.guide is not None:
        log_prob = guides.build_log_prob(config.guide, weights.guide, label, plain)
        denoise = guidance.classifier(denoise, log_prob, sampling.classifier_scale)
    if sampling.guidance_interval and denoise is not plain:
        denoise = guidance.interval(denoise, plain, *sampling.guidance_interval)
    return predictions.clipped(denoise) if sampling.clip else denoise


LEANED_FROM: dict[str, Callable[[Labels, int], Labels]] = {
    "unlabelled": lambda label, num_classes: jnp.full_like(label, num_classes),
    # The null class, which a mix of two images has, has no next class.
    "next_class": lambda label, num_classes: jnp.where(
        label == num_classes, num_classes, (label + 1) % num_classes
    ),
}


def leaned_from(config: ConfigDict, label: Labels, num_classes: int) -> Labels:
    """The labels that classifier-free guidance leans away from."""
    from_label = choose("sampling.guidance_from", config.guidance_from, LEANED_FROM)
    found: Labels = from_label(label, num_classes)
    return found


SOLVERS = {
    "ancestral": Option(lambda table, variance: solvers.ancestral(variance), ("variance",)),
    "ddim": Option(lambda table, eta: solvers.ddim(eta), ("eta",)),
    "dpm_solver_pp_2m": Option(lambda table: solvers.dpm_solver_pp_2m()),
    "sde_dpm_solver_pp_2m": Option(lambda table: solvers.dpm_solver_pp_2m(stochastic=True)),
    "heun": Option(lambda table: solvers.heun()),
    "edm_stochastic": Option(solvers.edm_stochastic, ("churn",)),
    "consistency": Option(lambda table: solvers.consistency()),
    "iterative_x0": Option(
        lambda table, noise, above: solvers.iterative_x0(noise, above * float(table.t[-1])),
        ("iterative_noise", "iterative_above"),
    ),
}


def build_solver(config: ConfigDict, table: schedules.Level) -> solvers.Solver:
    return build("sampling.solver", config.solver, SOLVERS, config, table)


def build_steps(config: ConfigDict, table: schedules.Level) -> schedules.Level:
    """The levels that a sampler walks, noisiest first.

    Raises ValueError if Heun's method would leave the flow: see `MOST_AMPLIFIED`.
    """
    levels = schedules.descending(table, config.num_steps, config.spacing)
    if config.solver in ("heun", "edm_stochastic"):
        ratio = levels.sigma / levels.alpha
        end = levels[1:-1]
        share = end.alpha / jnp.hypot(end.alpha, end.sigma)
        times = jnp.max(share * (ratio[:-2] - ratio[1:-1]) / 2, initial=0.0)
        if times > MOST_AMPLIFIED:
            raise ValueError(
                f"sampling.solver {config.solver!r} would multiply errors of the estimated noise by "
                f"{times:.0f} in one of the {config.num_steps} steps of sampling.spacing "
                f"{config.spacing!r} (wanted: at most {MOST_AMPLIFIED:g}); take 'karras'"
            )
    return levels


def build_steps_from(config: ConfigDict, table: schedules.Level, share: float) -> schedules.Level:
    """The levels that a sampler walks from `share` of the noisiest one's t, 1 for all of them."""
    levels = build_steps(config, table)
    return editing.below(levels, share * float(levels.t[0]))


def build_sampler(
    config: ConfigDict, net: nn.Module, table: schedules.Level, start: float = 1.0
) -> Sampler:
    """`(weights, label, keys) -> images in [-1, 1]`; image i depends on label[i] and keys[i] alone.

    With `start` below 1, the sampler also takes images, noises them to that share of T and samples
    from there (SDEdit, Meng et al. 2022). Refuses here what cannot be sampled, before a training or an export
    begins.
    """
    check_guidance(config)
    # Under another solver the images do not depend on the variance, so it must not be read here.
    if config.sampling.solver == "ancestral":
        check_variance(config)
    levels = build_steps_from(config.sampling, table, start)
    solver = build_solver(config.sampling, table)

    def sample(weights: Weights, label: Labels, keys: Keys, images: Images | None = None) -> Images:
        denoise = build_denoiser(config, net, weights, label)
        start_keys, chain_keys = process.fold_in(keys, 0), process.fold_in(keys, 1)
        if images is None:
            x = solvers.starting_noise(levels, start_keys, image_shape(config))
        else:
            x = editing.noised(levels, images, start_keys)
        return solvers.sample(solver, denoise, levels, x, chain_keys)

    return sample
