"""A trained model from its checkpoint, and images drawn from it in batches of any size."""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Int, Int32, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly import denoising, guides, networks
from ddpm_jax.assembly.choice import key_for
from ddpm_jax.assembly.datasets import image_shape
from ddpm_jax.data import source
from ddpm_jax.diffusion import schedules
from ddpm_jax.models import checkpoint_choice
from ddpm_jax.training import checkpoints, compilation, devices, retention
from ddpm_jax.types import Params, Pixels

# Most images drawn at once if the config leaves it open, and most bytes of the finest features, in
# float32, on each device of a CPU: docs/performance.md.
AT_ONCE = 250
CACHED_BYTES = 2 * 2**20

Program = Callable[[tuple[denoising.Weights, Key[Array, ""]], Mapping[str, Array]], Array]


class Model(NamedTuple):
    """A trained model, for the jobs that use one."""

    net: nn.Module
    weights: denoising.Weights
    """Averaged over the training."""
    table: schedules.Level
    class_names: tuple[str, ...]
    facts: Mapping[str, Any]
    """Facts about the checkpoint: see `checkpoints.Restored`."""

    @property
    def knows_labels(self) -> bool:
        """Whether an image drawn for a class belongs to that class."""
        return knows_labels(self.net, len(self.class_names))


def knows_labels(net: nn.Module, num_classes: int) -> bool:
    """Whether an image drawn by the network belongs to the class that was asked for."""
    return bool(net.num_classes) or num_classes == 1


def load_model(config: ConfigDict, directory: pathlib.Path, *, guided: bool = True) -> Model:
    """The weights that `sampling.average` and `sampling.checkpoint` name, on all devices.

    Also loads what guides the model, unless `guided` is false: the classifier that
    `sampling.classifier_scale` asks for, the earlier checkpoint that `sampling.autoguidance_scale` asks for.
    If the newest checkpoint is damaged, an older one takes its place; a named one is not replaced. Raises
    FileNotFoundError if there is no checkpoint of the model yet, or none of what guides it.
    """
    step = checkpoint_choice.step(config, directory)
    facts = retention.sound(directory)[step]
    class_names = tuple(facts["extra"].get("class_names", ()))
    if not class_names:
        raise ValueError(
            f"the checkpoints in {directory} name no classes; --mode=train makes some that do"
        )
    net = networks.build_net(config, len(class_names))
    shapes = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    target = devices.abstract(devices.place(), shapes)
    named = None if config.sampling.checkpoint == "newest" else step
    item = checkpoint_choice.average(config, facts)
    restored = checkpoints.restore_params(directory, target, item=item, step=named)
    assert restored is not None  # there was one a moment ago, and the newest is never removed
    guide, bad = None, None
    if guided and denoising.autoguided(config):
        earlier = checkpoint_choice.bad_step(config, directory)
        worse = checkpoints.restore_params(directory, target, step=earlier)
        assert worse is not None  # with a step given, it returns or raises
        bad = worse.params
    if guided and config.sampling.classifier_scale:
        guide = load_guide(config, guide_directory(directory), len(class_names))
    weights = denoising.Weights(restored.params, guide, bad)
    table = denoising.build_levels(config.schedule)
    return Model(net, weights, table, class_names, restored.facts)


def guide_directory(directory: pathlib.Path) -> pathlib.Path:
    """The folder of the guiding classifier's checkpoint, beside that of the model it guides."""
    return directory.with_name("guide")


def guide_facts(config: ConfigDict, directory: pathlib.Path) -> dict[str, Any]:
    """The guide's manifest; raises FileNotFoundError if it is not trained to its last step."""
    sound = retention.sound(directory)
    if config.guide.num_steps not in sound:
        found = ", ".join(map(str, sound)) or "none"
        raise FileNotFoundError(
            f"{directory} holds no classifier of {config.guide.num_steps} steps (found: {found}); run "
            "--mode=train_guide first"
        )
    return sound[config.guide.num_steps]


def load_guide(config: ConfigDict, directory: pathlib.Path, num_classes: int) -> Params:
    """The guiding classifier's parameters, on all devices."""
    facts = guide_facts(config, directory)
    net = guides.build_net(config.guide, num_classes)
    shapes = jax.eval_shape(
        lambda: guides.init_net(net, config.guide, jax.random.key(0), image_shape(config))
    )
    target = devices.abstract(devices.place(), shapes)
    restored = checkpoints.restore_params(directory, target, step=facts["step"])
    assert restored is not None  # with a step given, it returns or raises
    return restored.params


class Starts(NamedTuple):
    """Images that sampling starts from: those of `real` at `rows`, noised to `share` of T."""

    share: float
    real: source.Source
    rows: Int[np.ndarray, " N"]

    def at(self, indices: Int[np.ndarray, " M"]) -> Pixels:
        """The images that the images to draw at `indices` start from."""
        return source.decode(source.take(self.real, np.take(self.rows, indices, mode="clip")))


def build_program(
    config: ConfigDict, net: nn.Module, table: schedules.Level, start: float = 1.0
) -> Program:
    """`program((weights, stream), {"index": [B], "label": [B]}) -> uint8 images`, spread over the devices.

    With `start` below 1 the rows also have an `image` to start from. The stream of random numbers is an
    argument, so all purposes and seeds share one compiled program.
    """
    sampler = denoising.build_sampler(config, net, table, start)

    def sample(given: tuple[denoising.Weights, Key[Array, ""]], rows: Mapping[str, Array]) -> Array:
        weights, stream = given
        keys = keys_of_images(stream, rows["index"])
        begin = [pixels.to_float(rows["image"])] if start < 1.0 else []
        return pixels.to_uint8(sampler(weights, rows["label"], keys, *begin))

    return compilation.spread(devices.place(), sample)


def keys_of_images(stream: Key[Array, ""], index: Int[Array, " N"]) -> Key[Array, " N"]:
    """Image i has key i, whatever is drawn beside it."""
    return jax.vmap(lambda i: jax.random.fold_in(stream, i))(index)


def rows_at_once(config: ConfigDict, num: int) -> int:
    """The batch size if `num` images are wanted; a multiple of the number of devices."""
    placement, most = devices.place(), config.sampling.batch_size
    if most < 0:
        raise ValueError(f"sampling.batch_size is {most}; it must be at least 0")
    if not most:
        most = AT_ONCE
        if placement.platform == "cpu":
            cached = CACHED_BYTES // (4 * networks.finest_features(config))
            most = min(most, max(1, cached) * placement.num_devices)
    return placement.rounded_up(min(most, num))


def own_labels(model: Model, real: source.Source) -> Int32[np.ndarray, " N"]:
    """The labels of real images as the model numbers its classes, by name.

    A model whose classes are called "0", "1", ..., as an import without names calls them, has the real ones'
    numbers. Raises ValueError if it does not know a class of the real images.
    """
    names, wanted = list(model.class_names), real.class_names
    if set(wanted) <= set(names):
        return np.array([names.index(name) for name in wanted], np.int32)[real.labels]
    if names == [str(number) for number in range(len(wanted))]:
        return real.labels
    raise ValueError(
        f"the model's classes are {', '.join(names)}, and those of {real.name} are {', '.join(wanted)}; "
        "wanted real images of the model's classes (data.classes)"
    )


def build_draw(
    config: ConfigDict,
    net: nn.Module,
    table: schedules.Level,
    purpose: str,
    starts: Starts | None = None,
    program: Program | None = None,
) -> Callable[..., Iterator[Pixels]]:
    """`draw(weights, labels, first=0, size=None)` yields the images `first`, `first + 1`, ... in batches.

    Image i is a function of (seed, purpose, i), its label and the image that it starts from, if any; not
    of the batch or of the devices, which share each batch. All batches have one shape, so there is one
    compiled program, which is `program` if the caller has kept that of `build_program`. `size` is that of
    a batch, from `rows_at_once`; None: as for these labels.
    """
    placement = devices.place()
    compiled = program or build_program(config, net, table, starts.share if starts else 1.0)
    stream = key_for(config.seed, purpose)

    def draw(
        weights: denoising.Weights, labels: np.ndarray, first: int = 0, size: int | None = None
    ) -> Iterator[Pixels]:
        size = size or rows_at_once(config, len(labels))
        mine = devices.local_rows(placement, size)

        def begin(start: int) -> Array:
            rows = np.arange(start, start + size)[mine]
            batch = {
                "index": (first + rows).astype(np.int32),
                "label": np.take(labels, rows, mode="clip").astype(np.int32),
            }
            if starts:
                batch["image"] = starts.at(first + rows)
            return compiled((weights, stream), devices.put_batch(placement, batch))

        # One batch ahead: the device works while the caller handles the previous batch.
        ahead: Array | None = begin(0)
        for start in range(0, len(labels), size):
            batch = ahead
            ahead = begin(start + size) if start + size < len(labels) else None
            yield devices.gather(batch)[: len(labels) - start]

    return draw
