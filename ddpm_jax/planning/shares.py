"""From seconds for each part of a run to the numbers of steps, images and classifiers. Measures nothing."""

from collections.abc import Mapping
from typing import Any, NamedTuple

SHARE_OF_CLASSIFIERS, SHARE_OF_DRAWING = 0.3, 0.15
"""At most so much of what is left after the fixed costs; the training takes the rest."""
NUM_SAVES, NUM_GRIDS, GRIDS_OF_SAMPLE = 5, 2, 1
# Fixed costs: estimates for two slow cores, with the import of TensorFlow and nothing compiled before.
START_SECONDS = 10.0
"""Until the decision begins: Python, JAX, Flax, the command line."""
SAMPLE_SECONDS, PAGE_SECONDS = 15.0, 10.0
"""Grid, strips and animations; the tables, plots and the page of the last two stages."""
EVALUATION_SECONDS = 20.0
"""Compiling the features' classifier; distances, copies and their tests on a few hundred images."""
CLASSIFY_SECONDS = 8.0
COMPILED_AGAIN = 3.0
"""The training step with its own schedule, and three samplers, each of about two thirds of its seconds."""
FEWEST_CLASSIFIER_STEPS, ENOUGH_CLASSIFIER_STEPS, MOST_CLASSIFIER_STEPS = 100, 1000, 3000
MOST_SEEDS, FEWEST_SEEDS = 5, 3
"""Classifiers an arm: the most if each then has enough steps. The 95 % interval of two is three times as wide
as that of three."""
SOLVER_STEPS = (25, 18, 12)
MOST_IMAGES_EACH = 10
"""Synthetic images per real one: the largest of `worth.multiples`."""


class Measured(NamedTuple):
    """What was timed, and the sizes that the seconds depend on."""

    step: float
    """Seconds of a training step."""
    call: float
    """Seconds of one network call for one image."""
    compiling: float
    save: float
    """Seconds of a checkpoint."""
    classifier_begin: float
    classifier_step: float
    feature: float
    """Seconds of the features of one image."""
    num_train: int
    num_validation: int
    num_test: int
    num_classes: int


class Facts(NamedTuple):
    """What the config says that the seconds depend on."""

    num_fits: int
    """Classifiers for each seed; all seeds of an arm count once if they are trained together."""
    own_features: bool
    """The evaluation trains a classifier for its features."""
    grid: int
    calls: int
    """Network calls in a step of the solver."""
    most_solver_steps: int
    warmups: tuple[int, int]
    """Warm-up steps of the optimizer and of the classifier, at most."""
    together: bool
    num_ensemble: int = 0
    """Classifiers that judge images, once for all seeds."""


Fields = dict[str, Any]


def decide(
    seconds: float, spent: float, measured: Measured, facts: Facts, named: Mapping[str, Any]
) -> tuple[Fields, dict[str, float]]:
    """Fields of the config, and the seconds of each part of the budget.

    spent: seconds from the start of the program to now. named: fields that the user has set, with their
    values; they are not in the result.
    """
    rest = spent + SAMPLE_SECONDS + PAGE_SECONDS + COMPILED_AGAIN * measured.compiling
    evaluation = EVALUATION_SECONDS + 2 * measured.feature * (
        measured.num_train + 2 * measured.num_test
    )
    left = max(0.0, seconds - rest - evaluation - CLASSIFY_SECONDS)
    fields, classifiers, own = _classifiers(SHARE_OF_CLASSIFIERS * left, measured, facts, named)
    drawn, grid, export = _drawing(SHARE_OF_DRAWING * left, measured, facts, named)
    fields |= drawn
    left -= classifiers + own + (NUM_GRIDS + GRIDS_OF_SAMPLE) * grid + export
    trained, training = _training(left, measured, facts, named)
    split = {
        "training": training + NUM_GRIDS * grid,
        "export": export,
        "evaluation": evaluation + own,
        "classifiers": classifiers + CLASSIFY_SECONDS,
        "rest": rest + GRIDS_OF_SAMPLE * grid,
    }
    return fields | trained, split


def _classifiers(
    seconds: float, measured: Measured, facts: Facts, named: Mapping[str, Any]
) -> tuple[Fields, float, float]:
    """Fields, the seconds of all classifiers, and those of the one for the evaluation's features."""
    own = int(facts.own_features)

    def steps(seeds: int) -> int:
        fits = own + facts.num_ensemble + facts.num_fits * seeds
        each = seconds / fits - measured.classifier_begin
        return int(each / measured.classifier_step) if measured.classifier_step else 0

    known = 1 if facts.together else named.get("classifier.num_seeds")
    enough = steps(MOST_SEEDS) >= ENOUGH_CLASSIFIER_STEPS
    seeds = known or (MOST_SEEDS if enough else FEWEST_SEEDS)
    num = min(MOST_CLASSIFIER_STEPS, max(FEWEST_CLASSIFIER_STEPS, steps(seeds) // 10 * 10))
    num = named.get("classifier.num_steps", num)
    fields = {
        "classifier.num_seeds": seeds,
        "classifier.num_steps": num,
        "classifier.warmup_steps": min(facts.warmups[1], num // 8),
    }
    if facts.together:
        del fields["classifier.num_seeds"]  # the seconds measured are those of the config's
    one = measured.classifier_begin + measured.classifier_step * num
    fits = facts.num_ensemble + facts.num_fits * seeds
    return _without(fields, named), one * fits, one * own


def _drawing(
    seconds: float, measured: Measured, facts: Facts, named: Mapping[str, Any]
) -> tuple[Fields, float, float]:
    """Fields, the seconds of a grid and those of the export.

    Fewer solver steps leave time for more images. The most steps are taken that leave time for twice as many
    images as there are for training.
    """
    call = measured.call * facts.calls
    grids = (NUM_GRIDS + GRIDS_OF_SAMPLE) * facts.grid

    def images(steps: int) -> int:
        return int(seconds / (call * steps)) - grids

    known = named.get("sampling.num_steps")
    choices = [known] if known else [n for n in SOLVER_STEPS if n <= facts.most_solver_steps]
    choices = choices or [facts.most_solver_steps]
    steps = next((n for n in choices if images(n) >= 2 * measured.num_train), choices[-1])
    most = MOST_IMAGES_EACH * measured.num_train
    fewest = min(measured.num_train, 10 * measured.num_classes)
    num = named.get("export.num_images", min(most, max(fewest, images(steps))))
    fields = _without({"sampling.num_steps": steps, "export.num_images": num}, named)
    return fields, call * steps * facts.grid, call * steps * (num or measured.num_train)


def _training(
    seconds: float, measured: Measured, facts: Facts, named: Mapping[str, Any]
) -> tuple[Fields, float]:
    beside = NUM_SAVES * (measured.save + measured.call * measured.num_validation)
    num = max(2 * NUM_SAVES, int((seconds - beside) / measured.step) // NUM_SAVES * NUM_SAVES)
    num = named.get("training.num_steps", num)
    fields = {
        "training.num_steps": num,
        "training.eval_every": max(1, num // NUM_SAVES),
        "training.save_every": max(1, num // NUM_SAVES),
        "training.sample_every": max(1, num // NUM_GRIDS),
        "optim.warmup_steps": min(facts.warmups[0], num // 20),
        # The average is over about a tenth of the training.
        "optim.ema_decay": round(min(0.9999, max(0.9, 1 - 10 / num)), 5),
    }
    return _without(fields, named), beside + measured.step * num


def _without(fields: Fields, named: Mapping[str, Any]) -> Fields:
    return {name: value for name, value in fields.items() if name not in named}
