"""The config of diffusers' schedulers, to and from the fields of this program's config."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from ddpm_jax.assembly import denoising
from ddpm_jax.diffusion import schedules

CLASSES = tuple(
    f"{kind}Scheduler"
    for kind in (
        "DDPM DDPMParallel DDIM DDIMParallel DDIMInverse PNDM DPMSolverMultistep DPMSolverSinglestep "
        "DPMSolverMultistepInverse DEISMultistep UniPCMultistep SASolver EulerDiscrete "
        "EulerAncestralDiscrete HeunDiscrete KDPM2Discrete KDPM2AncestralDiscrete LMSDiscrete"
    ).split()
)
"""diffusers' schedulers whose noise levels are the betas of the config."""
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
VARIANCES = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "beta",
    "fixed_large_log": "beta",
}
SCHEDULES = {"linear": "linear", "squaredcos_cap_v2": "cosine", "sigmoid": "sigmoid_beta"}
NAMED = ("cosine", "sigmoid_alpha_bar")
"""The schedules that a list of betas is recognized as."""
CLOSE = 1e-6


def fields_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of this program's config that mean the same, by dotted name.

    Raises ValueError naming the first field that has no counterpart. A config may lack its `_class_name`.
    """
    name = given.get("_class_name", "DDPMScheduler")
    if name not in CLASSES:
        raise ValueError(f"_class_name is {name!r}; this program has {', '.join(CLASSES)}")
    if given.get("use_flow_sigmas"):
        raise ValueError("use_flow_sigmas is True; this program has the noise levels of betas only")
    kind = given.get("prediction_type", "epsilon")
    if kind not in PREDICTIONS:
        raise ValueError(f"prediction_type is {kind!r}; this program has {', '.join(PREDICTIONS)}")
    if given.get("thresholding"):
        raise ValueError("thresholding is True; this program clips the estimate of x0 at 1")
    clips, reach = given.get("clip_sample", True), given.get("clip_sample_range", 1.0)
    if clips and reach != 1.0:
        raise ValueError(f"clip_sample_range is {reach}; this program clips at 1")
    if given.get("rescale_betas_zero_snr"):
        raise ValueError("rescale_betas_zero_snr is True, which no schedule of this program does")
    variance = given.get("variance_type", "fixed_small")
    return _schedule(given) | {
        "loss.prediction": PREDICTIONS[kind],
        "sampling.clip": bool(clips),
        "sampling.variance": VARIANCES.get(variance, "posterior"),
    }


def _schedule(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("trained_betas") is not None:
        return _recognized(np.asarray(given["trained_betas"], np.float64))
    name, num = given.get("beta_schedule", "linear"), int(given.get("num_train_timesteps", 1000))
    if name not in SCHEDULES:
        raise ValueError(f"beta_schedule is {name!r}; this program has {', '.join(SCHEDULES)}")
    fields = {"schedule.name": SCHEDULES[name], "schedule.num_steps": num}
    if name != "squaredcos_cap_v2":
        fields["schedule.beta_start"] = float(given.get("beta_start", 1e-4))
        fields["schedule.beta_end"] = float(given.get("beta_end", 0.02))
    return fields


def _recognized(betas: Float[np.ndarray, " T"]) -> dict[str, Any]:
    """The schedule that has these betas."""
    num = len(betas)
    known: dict[str, dict[str, float]] = {name: {} for name in NAMED}
    ends = {"beta_start": float(betas[0]), "beta_end": float(betas[-1])}
    known |= {name: ends for name in ("linear", "sigmoid_beta")}
    for name, others in known.items():
        table = denoising.SCHEDULES[name].build(num, *others.values())
        if np.abs(betas_of(table) - betas).max() < CLOSE:
            return {"schedule.name": name, "schedule.num_steps": num} | {
                f"schedule.{field}": value for field, value in others.items()
            }
    raise ValueError(
        f"trained_betas (T = {num}, from {betas[0]:g} to {betas[-1]:g}) are those of no schedule of this "
        f"program: {', '.join(known)}"
    )


def betas_of(table: schedules.Level) -> Float[np.ndarray, " T"]:
    """The variance that each step adds; ValueError if the table does not preserve the variance."""
    alpha, sigma = np.asarray(table.alpha, np.float64), np.asarray(table.sigma, np.float64)
    if np.abs(alpha**2 + sigma**2 - 1.0).max() > 1e-5:
        raise ValueError(
            "alpha^2 + sigma^2 is not 1 at all levels, as diffusers' schedulers want it"
        )
    # Of two small alphas the ratio is exact, of two small sigmas the difference of squares.
    return np.where(
        alpha[1:] < 0.5,
        1.0 - (alpha[1:] / alpha[:-1]) ** 2,
        (sigma[1:] ** 2 - sigma[:-1] ** 2) / alpha[:-1] ** 2,
    )


def config_of(config: ConfigDict) -> dict[str, Any]:
    """The config of the `DDPMScheduler` of a model of `config`; raises ValueError if there is none."""
    schedule, names = config.schedule, {ours: theirs for theirs, ours in SCHEDULES.items()}
    found: dict[str, Any] = {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": schedule.num_steps,
        "prediction_type": {ours: theirs for theirs, ours in PREDICTIONS.items()}[
            config.loss.prediction
        ],
        "clip_sample": bool(config.sampling.clip),
        "clip_sample_range": 1.0,
        "variance_type": "fixed_large" if config.sampling.variance == "beta" else "fixed_small",
        "timestep_spacing": "leading",
    }
    if schedule.name not in names:
        betas = betas_of(denoising.build_levels(schedule))
        return found | {"trained_betas": [float(beta) for beta in betas]}
    found["beta_schedule"] = names[schedule.name]
    if schedule.name != "cosine":
        found |= {"beta_start": schedule.beta_start, "beta_end": schedule.beta_end}
    return found
