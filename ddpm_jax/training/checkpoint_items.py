"""The Orbax items of a checkpoint, each of which can be read without the others."""

from collections.abc import Mapping
from typing import Any

import jax

from ddpm_jax.training.state import TrainState

PAST = "memory"
"""The item of a loss's past, under the name used in the files of earlier versions."""
NAMES = ("ema_params", "params", PAST)
"""Those that can be restored alone, besides averages."""


def average(name: str) -> str:
    """The item of a further average."""
    return f"average_{name}"


def of(state: TrainState) -> dict[str, Any]:
    # Orbax cannot store an item without arrays.
    past = {PAST: state.past} if jax.tree.leaves(state.past) else {}
    averages = {average(name): params for name, params in state.averages.items()}
    return (
        past
        | averages
        | {
            "params": state.params,
            "ema_params": state.ema_params,
            "rest": {
                "step": state.step,
                "opt_state": state.opt_state,
                "totals": state.totals,
                "nonfinite_step": state.nonfinite_step,
            },
        }
    )


def into(target: TrainState, stored: Mapping[str, Any]) -> TrainState:
    """A state like `target`, with what is stored."""
    past = {"past": stored[PAST]} if PAST in stored else {}
    weights = {name: stored[name] for name in ("params", "ema_params")}
    averages = {name: stored[average(name)] for name in target.averages}
    return target.replace(**weights, averages=averages, **past, **stored["rest"])
