"""SDE-DPM-Solver++(2M) beside diffusers' own, with the exact network of a Gaussian and the same noise."""

import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import process, schedules, solvers

SHAPE = (4, 4, 1)
TABLE = schedules.linear(1000)


def by_diffusers(levels, x, keys):
    """Its first step and its last are first order, as ours."""
    import diffusers
    import torch

    scheduler = diffusers.DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        algorithm_type="sde-dpmsolver++",
        solver_order=2,
        prediction_type="epsilon",
        final_sigmas_type="zero",
        lower_order_final=True,
    )
    x = torch.tensor(x)
    rows = np.asarray(levels.t)[:-1].astype(int)
    scheduler.set_timesteps(timesteps=[int(t) - 1 for t in rows])  # its times begin at 0
    for i, t in enumerate(scheduler.timesteps):
        eps = oracle.denoise(jnp.asarray(x.numpy()), levels[i]).eps
        noise = process.gaussian(process.fold_in(keys, i), SHAPE)
        x = scheduler.step(
            torch.tensor(np.asarray(eps)), t, x, variance_noise=torch.tensor(np.asarray(noise))
        ).prev_sample
    return x.numpy()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_stochastic_dpm_solver_pp_2m_is_that_of_diffusers(key):
    pytest.importorskip("diffusers")
    levels = schedules.descending(TABLE, 10)  # whole rows of the table, as diffusers has no others
    keys = jax.random.split(key, 3)
    x = solvers.starting_noise(levels, keys, SHAPE)
    ours = solvers.sample(solvers.dpm_solver_pp_2m(True), oracle.denoise, levels, x, keys)
    # Its log-SNRs come from float32 products of a thousand alphas, ours from float64.
    np.testing.assert_allclose(ours, by_diffusers(levels, np.asarray(x), keys), atol=2e-5)
