"""A trained model in Python, NumPy in and out: draw images, change images, read its denoiser."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from ml_collections import ConfigDict, FrozenConfigDict

from ddpm_jax.assembly import datasets, denoising
from ddpm_jax.diffusion import predictions
from ddpm_jax.models import edited, reverse, trained
from ddpm_jax.types import Pixels

Labels = Int[np.ndarray, "N"] | list[int]
KEPT_PROGRAMS = 16
"""Compiled programs that a model keeps for the next call with the same settings."""


class Model:
    """A trained model, as `load` and `train` return it. `class_names[label]` is what a label means."""

    def __init__(self, config: ConfigDict, model: trained.Model) -> None:
        self.config = config
        """That of the run; a change of its `sampling` section changes what is drawn."""
        self.class_names = model.class_names
        self.step: int = model.facts["step"]
        """The checkpoint's."""
        self._model = model
        self._build = functools.lru_cache(maxsize=KEPT_PROGRAMS)(
            lambda build, config, *rest: build(config, model, *rest)
        )

    def sample(
        self,
        labels: Labels,
        *,
        seed: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        first: int = 0,
    ) -> Pixels:
        """Draw one image for each label. Image i is image `first + i` of `--mode=export` with this seed
        and `export.start=1`.

        What is None is as in the run's config: `seed`, `sampling.num_steps`, `sampling.guidance_scale` and
        `sampling.solver`. Raises ValueError if a label is none of the model's classes.
        """
        config = self._with(num_steps=steps, guidance_scale=guidance, solver=solver, seed=seed)
        model, program = self._model, self._program(_sampler, config)
        draw = trained.build_draw(config, model.net, model.table, "export", program=program)
        return np.concatenate(list(draw(model.weights, self._checked(labels), first)))

    def trajectory(
        self,
        labels: Labels,
        *,
        seed: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
    ) -> tuple[reverse.Frames, reverse.Frames]:
        """The way from noise to each image that `sample` draws: `x_t` and the estimates of `x_0`.

        The first has `steps + 1` frames, from noise to the image, the second one for each step.
        """
        config = self._with(num_steps=steps, guidance_scale=guidance, solver=solver, seed=seed)
        program = self._program(_walk, config)
        return reverse.walk_to_samples(program, self._model, self._checked(labels), config.seed)

    def denoise(
        self,
        images: Pixels,
        labels: Labels,
        start: float = 0.5,
        *,
        seed: int | None = None,
        steps: int | None = None,
    ) -> edited.Denoised:
        """Noise images to `start` of T, and denoise them: a result with `t`, `noised` and `images`.

        At a `start` of 1 little is left of the images, near 0 little changes. `--mode=denoise` does the same.
        """
        config, pairs = self._with(num_steps=steps, seed=seed), self._pairs(images, labels)
        program = self._program(edited.build_denoise, config, start)
        return edited.denoise(config, self._model, *pairs, program)

    def inpaint(
        self,
        images: Pixels,
        labels: Labels,
        known: Bool[np.ndarray, "*masks rows columns"],
        *,
        resamples: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
    ) -> Pixels:
        """Paint images anew where `known` is False. One mask [H, W] holds for all; or one for each.

        More `resamples` (default: `editing.num_resamples`) let the new part agree better with the
        rest, and take as many times as long. `--mode=inpaint` does the same.
        """
        images, labels = self._pairs(images, labels)
        if known.shape not in (images.shape[1:3], images.shape[:3]):
            raise ValueError(
                f"known is {known.shape}; wanted {images.shape[1:3]} or {images.shape[:3]}"
            )
        config = self._with(num_steps=steps, seed=seed)
        config.editing.num_resamples = resamples or config.editing.num_resamples
        mask = known.reshape(-1, *images.shape[1:3], 1).astype(np.float32)
        program = self._program(edited.build_fill, config)
        return edited.fill(config, self._model, images, labels, mask, program)

    def interpolate(
        self,
        first: tuple[Pixels, Labels],
        second: tuple[UInt8[np.ndarray, "M H W C"], Int[np.ndarray, " M"] | list[int]],
        weights: Sequence[float] | Float[np.ndarray, " weights"] = (0.0, 0.25, 0.5, 0.75, 1.0),
        start: float = 0.5,
        *,
        seed: int | None = None,
        steps: int | None = None,
    ) -> edited.Mixes:
        """Mix pairs of images, noised to `start` of T, and denoise the mixes: uint8 [N, weights, H, W, C].

        `first` and `second` are images and their labels; a weight is the second image's share, 0 to 1.
        `--mode=interpolate` does the same.
        """
        one, other = self._pairs(*first), self._pairs(*second)
        if one[0].shape != other[0].shape:
            raise ValueError(
                f"images are {one[0].shape} and {other[0].shape}; wanted the same shape"
            )
        config, labels = self._with(num_steps=steps, seed=seed), np.stack([one[1], other[1]])
        shares = np.asarray(weights, np.float64)
        program = self._program(edited.build_mix, config, start, len(shares))
        return edited.mix(config, self._model, one[0], other[0], labels, shares, program)

    def denoiser(self, labels: Labels) -> predictions.Denoiser:
        """`denoise(xt, level) -> (x0, eps, ...)` for images of these labels, guided as the config says.

        It goes with everything in `ddpm_jax.diffusion`; `levels` has the noise levels.
        """
        checked = jnp.asarray(self._checked(labels), jnp.int32)
        return denoising.build_denoiser(self.config, self._model.net, self._model.weights, checked)

    @property
    def levels(self) -> Any:
        """The levels that the sampler walks, noisiest first: a `schedules.Level`."""
        return denoising.build_steps(self.config.sampling, self._model.table)

    def _program(self, build: Callable[..., Any], config: ConfigDict, *rest: Any) -> Any:
        """The compiled program of `build`; one that was asked for lately is kept, for any seed."""
        of_any_seed = config.copy_and_resolve_references()
        of_any_seed.seed = 0
        return self._build(build, FrozenConfigDict(of_any_seed), *rest)

    def _with(self, *, seed: int | None, **sampling: Any) -> ConfigDict:
        config = self.config.copy_and_resolve_references()
        config.seed = config.seed if seed is None else seed
        config.sampling.update(
            {name: value for name, value in sampling.items() if value is not None}
        )
        return config

    def _pairs(self, images: Pixels, labels: Labels) -> tuple[Pixels, Int[np.ndarray, " N"]]:
        checked = self._checked(labels)
        wanted = (len(checked), *datasets.image_shape(self.config))
        if images.shape != wanted:
            raise ValueError(f"images are {images.shape}; wanted {wanted}, one for each label")
        return images, checked

    def _checked(self, labels: Labels) -> Int[np.ndarray, " N"]:
        found = np.asarray(labels)
        if found.ndim != 1 or not len(found) or not np.issubdtype(found.dtype, np.integer):
            raise ValueError(
                f"labels are {found.dtype} of shape {found.shape}; wanted integers [N], at least one"
            )
        if found.min() < 0 or found.max() >= len(self.class_names):
            raise ValueError(
                f"labels are from {found.min()} to {found.max()}; wanted 0 to {len(self.class_names) - 1}, "
                f"the classes {', '.join(self.class_names)}"
            )
        return found


def _sampler(config: ConfigDict, model: trained.Model) -> trained.Program:
    return trained.build_program(config, model.net, model.table)


def _walk(config: ConfigDict, model: trained.Model) -> reverse.Walk:
    levels = denoising.build_steps(config.sampling, model.table)
    return reverse.build_walk(config, model, levels)
