"""The variants that an augment section may make of a training image, as a list of bounded length.

A copy of an augmented training image equals no image on disk, so copies are searched for among these
variants too.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax.assembly.augmentation import build_augmentation, build_copies
from ddpm_jax.data import augment
from ddpm_jax.data.augment import Sought, Variant
from ddpm_jax.types import Pixels

MOST = 200  # variants, mirrored ones included: the search time is proportional
DRAWS = 32  # of rotations and crops, which cannot all be listed
BATCH = 1000  # images changed at once, so that one program is compiled


def build_sought(config: ConfigDict, test: Pixels) -> Sought:
    """What copies to look for: training images as the augment section may have changed them.

    A generator that is told how images were augmented draws them as they are. So it is compared with test
    images as they are.
    """
    section, changed = config.augment, None
    told = "net" in config and config.net.augment_condition  # configs of classifiers have no `net`
    if (_resamples(section) or section.shift) and not told:
        changed = build_copies(section)(test, config.seed)
    return Sought(build_variants(section), in_words(section), section.flip, changed)


def build_variants(section: ConfigDict) -> list[Variant]:
    """The unchanged images first, then mirrored, shifted, rotated, cropped and zoomed as the section says.

    Shifts are all those by whole pixels if there are at most `MOST`, else an even grid of them. The
    others are `DRAWS` random ones, with the shift that the section adds, as if each were always made.
    """
    found = [Variant("as they are", np.asarray, whole=True)]
    if _resamples(section):
        still = ConfigDict(section.to_dict() | {"flip": False, "probability": 1.0})
        change = jax.jit(build_augmentation(still))
        for draw in range(DRAWS):
            found.append(Variant(f"draw {draw}", partial(_drawn, change, draw)))
    elif section.shift:
        for y, x in shifts(section.shift, MOST // (2 if section.flip else 1)):
            moved = partial(augment.window, y=y, x=x, padding=section.shift)
            found.append(Variant(f"shifted by {y}, {x}", moved))
    if section.flip:
        found += [
            Variant(f"{name}, mirrored", partial(_mirrored, change), whole)
            for name, change, whole in found
        ]
    return found


def shifts(padding: int, most: int) -> list[tuple[int, int]]:
    """Offsets up to `padding` except (0, 0): all, or every second, third, ..., so that few enough remain."""
    step = 1
    while (2 * (padding // step) + 1) ** 2 > most:
        step += 1
    there = range(-(padding // step) * step, padding + 1, step)
    return [(y, x) for y in there for x in there if (y, x) != (0, 0)]


def in_words(section: ConfigDict) -> str:
    """The variants in words, for the page."""
    parts = ["as they are"]
    if _resamples(section):
        zoom = ", zoom" * (section.zoom != 1.0)
        parts.append(f"as {DRAWS} random draws of their rotation, crop{zoom} and shift leave them")
    elif section.shift:
        offsets = {abs(y) for y, _ in shifts(section.shift, MOST // (2 if section.flip else 1))}
        largest, step = max(offsets), min(offsets - {0})
        steps = f" in steps of {step}" if step > 1 else ""
        parts.append(f"shifted by up to {largest} pixels{steps}")
    return " and ".join(parts) + (", each also mirrored" if section.flip else "")


def _resamples(section: ConfigDict) -> bool:
    return bool(section.rotation or section.crop_scale != 1.0 or section.zoom != 1.0)


def _mirrored(change: Callable[[Pixels], Pixels], images: Pixels) -> Pixels:
    return augment.mirrored(change(images))


def _drawn(change: Callable[..., Any], draw: int, images: Pixels) -> Pixels:
    """Changes every image with the same key, so that a draw is one rotation and one crop."""
    keys = jnp.repeat(jax.random.key(draw)[None], BATCH)
    done = []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        filling = np.repeat(part[-1:], BATCH - len(part), axis=0)
        done.append(
            np.asarray(change(keys, jnp.asarray(np.concatenate([part, filling]))))[: len(part)]
        )
    return np.concatenate(done)
