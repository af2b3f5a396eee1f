"""The samplers and guidance scales of a sweep."""

from typing import NamedTuple

from ml_collections import ConfigDict


class Point(NamedTuple):
    solver: str
    num_steps: int
    spacing: str
    scale: float

    @property
    def name(self) -> str:
        return f"guidance {self.scale:g}, {self.solver}, {self.num_steps} steps, {self.spacing}"


def build_points(config: ConfigDict) -> list[Point]:
    """Every sampler at every guidance scale."""
    samplers = [parse(text, config.sampling.spacing) for text in config.sweep.samplers]
    return [
        Point(*sampler, scale) for scale in config.sweep.guidance_scales for sampler in samplers
    ]


def parse(sampler: str, spacing: str) -> tuple[str, int, str]:
    """ "ddim:20" -> ("ddim", 20, spacing); "heun:10:karras" names its own spacing."""
    parts = sampler.split(":")
    if len(parts) not in (2, 3) or not parts[1].isdigit():
        raise ValueError(
            f"sweep.samplers has {sampler!r}, wanted SOLVER:STEPS or SOLVER:STEPS:SPACING, such as "
            "'ddim:20' or 'heun:10:karras'"
        )
    return parts[0], int(parts[1]), parts[2] if len(parts) == 3 else spacing


def config_of(config: ConfigDict, point: Point) -> ConfigDict:
    config = config.copy_and_resolve_references()
    config.sampling.solver = point.solver
    config.sampling.num_steps = point.num_steps
    config.sampling.spacing = point.spacing
    config.sampling.guidance_scale = point.scale
    return config
