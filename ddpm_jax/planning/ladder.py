"""Networks for a budget of time: a short ladder of U-Nets for each size of images, and their work."""

from typing import NamedTuple


class Rung(NamedTuple):
    """A U-Net of two levels, the lower one twice as wide and with attention."""

    patch_size: int
    base_channels: int
    num_res_blocks: int


LADDERS = (
    (12, (Rung(1, 32, 1), Rung(1, 48, 1), Rung(1, 64, 2), Rung(1, 96, 2))),
    (24, (Rung(2, 48, 1), Rung(2, 64, 2), Rung(1, 48, 2), Rung(1, 64, 2), Rung(1, 96, 2))),
    (40, (Rung(4, 48, 1), Rung(2, 32, 1), Rung(2, 48, 1), Rung(2, 64, 2), Rung(2, 96, 2),
          Rung(2, 128, 2))),
    (64, (Rung(4, 48, 1), Rung(4, 64, 2), Rung(4, 96, 2), Rung(2, 64, 2), Rung(2, 96, 2),
          Rung(2, 128, 2))),
)  # fmt: skip
"""Largest side in pixels, and networks from small to large. A patch of 2x2 pixels makes 28x28 images as
cheap as 14x14 ones, at little cost in quality: configs/studies/fashion_mnist_hour.py is Rung(2, 48, 1)."""
MULTIPLIERS = (1, 2)
IMAGES_WANTED = 150_000
"""Training images that a network should see at least, repeats included: a larger one that sees fewer ends
worse than a smaller one. The study of an hour shows 480,000."""
EFFICIENCY = 0.6
"""GFLOP/s of a training step, counted as below, over those of one large convolution: the study of an hour
trains on 165 images/s, which are 102 GFLOP/s, where the convolution reaches 152."""
TRAINING_OVER_FORWARD = 3
"""Gradients take twice the work of the forward pass."""


def rungs(side: int) -> tuple[Rung, ...]:
    """Those whose levels divide the image. Raises ValueError if none does."""
    found = next((known for most, known in LADDERS if side <= most), LADDERS[-1][1])
    fitting = tuple(r for r in found if side % (r.patch_size * 2 ** (len(MULTIPLIERS) - 1)) == 0)
    if not fitting:
        raise ValueError(
            f"budget.minutes chooses networks for even sides, data.image_size is {side}"
        )
    return fitting


def fields(rung: Rung) -> dict[str, object]:
    """The rung as fields of a config."""
    return {
        "net.base_channels": rung.base_channels,
        "net.multipliers": MULTIPLIERS,
        "net.unet.patch_size": rung.patch_size,
        "net.unet.num_res_blocks": rung.num_res_blocks,
    }


def gflop_forward(rung: Rung, side: int, channels: int) -> float:
    """GFLOP of the convolutions for one image; attention and norms, a few per cent, are left out."""
    pixels = (side // rung.patch_size) ** 2
    widths = [rung.base_channels * m for m in MULTIPLIERS]

    def conv(level: int, inputs: int, outputs: int, kernel: int = 9) -> float:
        return 2e-9 * kernel * pixels / 4**level * inputs * outputs

    def block(level: int, inputs: int, outputs: int) -> float:
        shortcut = conv(level, inputs, outputs, 1) if inputs != outputs else 0.0
        return conv(level, inputs, outputs) + conv(level, outputs, outputs) + shortcut

    now, skips = widths[0], [widths[0]]
    total = 2 * conv(0, channels * rung.patch_size**2, now)  # the first and the last convolution
    for level, width in enumerate(widths):
        if level:
            total += conv(level, now, now) + conv(level - 1, width, width)  # down and up
            skips.append(now)
        for _ in range(rung.num_res_blocks):
            total += block(level, now, width)
            now = width
            skips.append(now)
    total += 2 * block(len(widths) - 1, now, now)
    for level in reversed(range(len(widths))):
        for _ in range(rung.num_res_blocks + 1):
            total += block(level, now + skips.pop(), widths[level])
            now = widths[level]
    return total


def choose(side: int, channels: int, seconds: float, gflop_per_second: float) -> Rung:
    """The largest network that sees enough images in so many seconds of training; else the smallest."""

    def images(rung: Rung) -> float:
        work = TRAINING_OVER_FORWARD * gflop_forward(rung, side, channels)
        return seconds * EFFICIENCY * gflop_per_second / work

    known = rungs(side)
    return next((r for r in reversed(known) if images(r) >= IMAGES_WANTED), known[0])
