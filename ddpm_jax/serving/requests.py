"""What the page may ask of a model: checked, answered one after another. Knows no web framework."""

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image

from ddpm_jax.data import source
from ddpm_jax.model import Model
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures

Asked = Any
"""A number as a page or a program sends it."""
EVERY_CLASS = "all, in turn"
MOST_SEED = 2**31 - 1
MOST_GUIDANCE = 10.0
MOST_RESAMPLES = 20
ANIMATED = 16
"""Images on their way from noise in one animation, and its frames."""
FRAMES = 50
PARTS = {
    "left half": lambda y, x: x < 0.5,
    "right half": lambda y, x: x >= 0.5,
    "top half": lambda y, x: y < 0.5,
    "bottom half": lambda y, x: y >= 0.5,
    "center": lambda y, x: (abs(y - 0.5) < 0.25) & (abs(x - 0.5) < 0.25),
}
"""Parts of an image to paint anew, by the middles of its pixels, from 0 to 1."""


class Offer(NamedTuple):
    """What may be asked, and what is asked if a person changes nothing."""

    class_names: tuple[str, ...]
    """Empty: there is nothing to choose."""
    solvers: tuple[str, ...]
    guided: bool
    """Whether a guidance scale may be chosen."""
    most_images: int
    most_steps: int
    steps: int
    guidance: float
    solver: str


class Requests(NamedTuple):
    """One function for each thing to ask; each raises ValueError in words if it is refused."""

    sample: Callable[..., pictures.Picture]
    animate: Callable[..., list[pictures.Picture]]
    denoise: Callable[..., pictures.Picture]
    inpaint: Callable[..., pictures.Picture]


def build(model: Model, offer: Offer) -> Requests:
    """Only one request is at the devices at a time: the others wait."""
    one_at_a_time = threading.Lock()

    def sample(
        name: str, number: Asked, seed: Asked, steps: Asked, guidance: Asked, solver: str
    ) -> pictures.Picture:
        asked = drawing(offer, seed, steps, guidance, solver)
        labels = labels_of(offer, name, whole("number of images", number, 1, offer.most_images))
        with one_at_a_time:
            images = model.sample(labels, **asked)
        return pictures.grid(images, captions=captions(offer, name, labels))

    def animate(
        name: str, number: Asked, seed: Asked, steps: Asked, guidance: Asked, solver: str
    ) -> list[pictures.Picture]:
        asked = drawing(offer, seed, steps, guidance, solver)
        labels = labels_of(offer, name, whole("number of images", number, 1, offer.most_images))
        labels = labels[:ANIMATED]
        with one_at_a_time:
            x, _ = model.trajectory(labels, **asked)
        below = captions(offer, name, labels)
        shown = np.unique(np.linspace(0, len(x) - 1, FRAMES).astype(int))
        return [pictures.grid(x[i], captions=below) for i in shown]

    def denoise(
        image: np.ndarray | None, name: str, start: Asked, seed: Asked, steps: Asked
    ) -> pictures.Picture:
        given, label = real(model, offer, image, name)
        share = between("share of the noise", start, 0.05, 1.0)
        asked = seed_and_steps(offer, seed, steps)
        with one_at_a_time:
            made = model.denoise(given, label, share, **asked)
        columns = {"real": given, f"noised, t = {made.t:g}": made.noised, "denoised": made.images}
        return pictures.side_by_side(columns)

    def inpaint(
        image: np.ndarray | None,
        new: Bool[np.ndarray, "h w"],
        name: str,
        resamples: Asked,
        seed: Asked,
        steps: Asked,
    ) -> pictures.Picture:
        given, label = real(model, offer, image, name)
        known = ~hole(new, given.shape[1])
        asked = seed_and_steps(offer, seed, steps)
        times = whole("times that a step is taken", resamples, 1, MOST_RESAMPLES)
        with one_at_a_time:
            made = model.inpaint(given, label, known, resamples=times, **asked)
        gray = np.where(known[None, :, :, None], given, np.uint8(128))
        return pictures.side_by_side({"real": given, "known": gray, "painted anew": made})

    return Requests(sample, animate, denoise, inpaint)


def drawing(
    offer: Offer, seed: Asked, steps: Asked, guidance: Asked, solver: str
) -> dict[str, Any]:
    """The keyword arguments of `Model.sample`."""
    if solver not in offer.solvers:
        raise ValueError(f"the solver is {solver!r}; wanted one of {', '.join(offer.solvers)}")
    scale = between("guidance scale", guidance, 0.0, MOST_GUIDANCE)
    if not offer.guided and scale != offer.guidance:
        raise ValueError(
            f"the guidance scale is {scale:g}; this model was not trained to be guided: "
            f"wanted {offer.guidance:g}"
        )
    return seed_and_steps(offer, seed, steps) | {"guidance": scale, "solver": solver}


def seed_and_steps(offer: Offer, seed: Asked, steps: Asked) -> dict[str, int]:
    return {
        "seed": whole("seed", seed, 0, MOST_SEED),
        "steps": whole("number of steps", steps, 1, offer.most_steps),
    }


def labels_of(offer: Offer, name: str, number: int) -> list[int]:
    if not offer.class_names:
        return [0] * number
    if name == EVERY_CLASS:
        return [i % len(offer.class_names) for i in range(number)]
    if name not in offer.class_names:
        known = ", ".join((EVERY_CLASS, *offer.class_names))
        raise ValueError(f"the class is {name!r}; wanted one of {known}")
    return [offer.class_names.index(name)] * number


def captions(offer: Offer, name: str, labels: list[int]) -> list[str] | None:
    """The class of each image, where they are of several."""
    several = offer.class_names and name == EVERY_CLASS
    return [offer.class_names[label] for label in labels] if several else None


def real(
    model: Model, offer: Offer, image: np.ndarray | None, name: str
) -> tuple[Pixels, list[int]]:
    """The image as the model sees images, and its label."""
    if image is None:
        raise ValueError("there is no image; upload one, or click one of the examples")
    if name == EVERY_CLASS and offer.class_names:
        raise ValueError(f"the class is {name!r}; wanted that of the image")
    data = model.config.data
    image = as_it_was(image, data.image_size)
    one = source.from_arrays(image[None], np.zeros(1, np.int32), ("",), "the image")
    given = source.decode(source.resize(one, data.image_size, data.channels))
    return given, labels_of(offer, name, 1)


def as_it_was(image: np.ndarray, size: int) -> np.ndarray:
    """The image of `size` pixels a side whose pixels are this one's squares; else this one."""
    factor = len(image) // size
    if factor < 2 or image.shape[:2] != (factor * size, factor * size):
        return image
    small = image[::factor, ::factor]
    same = np.array_equal(small.repeat(factor, axis=0).repeat(factor, axis=1), image)
    return small if same else image


def part(name: str, size: int) -> Bool[np.ndarray, "size size"]:
    """Where an image is painted anew."""
    if name not in PARTS:
        raise ValueError(f"the part is {name!r}; wanted one of {', '.join(PARTS)}")
    middles = (np.arange(size) + 0.5) / size
    return PARTS[name](middles[:, None], middles[None, :]) | np.zeros((size, size), bool)


def hole(drawn: Bool[np.ndarray, "h w"], size: int) -> Bool[np.ndarray, "size size"]:
    """The model's pixels of which at least half is drawn on, in the largest square in the middle."""
    side = min(drawn.shape)
    top, left = ((length - side) // 2 for length in drawn.shape)
    square = Image.fromarray(drawn[top : top + side, left : left + side].astype(np.uint8) * 255)
    found = np.asarray(square.resize((size, size), Image.Resampling.BOX)) >= 128
    if not found.any():
        raise ValueError("nothing is drawn on the image; draw over what is to be painted anew")
    return found


def whole(what: str, value: Asked, least: int, most: int) -> int:
    found = between(what, value, least, most)
    if found != int(found):
        raise ValueError(f"the {what} is {found:g}; wanted a whole number")
    return int(found)


def between(what: str, value: Asked, least: float, most: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:
        raise ValueError(f"the {what} is {value!r}; wanted a number from {least:g} to {most:.10g}")
    return float(value)
