"""A plan as lines for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from ddpm_jax import units

NOT_PREDICTED = (
    "compiling, which the cache of compiled programs keeps; "
    "sample: the animations; evaluate: distances, copies, bits/dim; classify: testing; compare, report"
)


def describe(fields: Mapping[str, Any], num_steps: int, solver: str) -> Iterator[str]:
    """Lines for the terminal."""
    memory, kept = fields["memory"], fields["disk"]
    yield (
        f"{fields['num_parameters']:,} parameters; GFLOP an image: {fields['gflop_training_image']:.3g} of "
        f"a training step, {fields['gflop_solver_step_image']:.3g} of a step of the sampler"
    )
    yield (
        f"memory of each of {fields['num_devices']} {fields['platform']} device(s), compiled: training "
        f"{units.num_bytes(memory['training'])}, a grid of samples meanwhile "
        f"{units.num_bytes(memory['grid'])}, export {units.num_bytes(memory['export'])}; "
        f"there is {units.num_bytes(memory['limit'])}"
    )
    parts = ("parameters", "average", "optimizer", "batch, gradients, activations")
    yield "  of training: " + ", ".join(f"{part} {units.num_bytes(memory[part])}" for part in parts)
    if fields["shortage"] is None:
        yield (
            f"{fields['images_per_second']:,.4g} images/s trained, {fields['drawn_per_second']:,.4g} "
            f"images/s drawn in {num_steps} steps of {solver}"
        )
        yield f"{'stage':10}{'takes':>12}{'ends after':>14}   of it"
        for stage, found in fields["stages"].items():
            of = (f"{part['number']:,} {name} {units.duration(part['number'] * part['each'])}"
                  for name, part in found["of"].items() if part["number"])  # fmt: skip
            times = (
                f"{units.duration(found['seconds']):>12}{units.duration(found['ends_after']):>14}"
            )
            yield f"{stage:10}{times}   {', '.join(of)}"
        yield f"not predicted: {NOT_PREDICTED}"
    compiling = units.duration(fields["compile_seconds"])
    yield f"compiling the training step and the sampler took {compiling} here"
    names = ("checkpoints", "synthetic.npz", "features")
    shares = ", ".join(f"{name} {units.num_bytes(kept[name])}" for name in names if name in kept)
    yield f"disk, at most: {shares}; there is {units.num_bytes(kept['free'])}"
