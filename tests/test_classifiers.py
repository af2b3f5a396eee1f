"""Classifiers trained side by side against the same ones trained one by one with optax alone.

And what augmentation and soft labels do to a training.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from ddpm_jax import pixels
from ddpm_jax.assembly import augmentation, classifiers, datasets
from ddpm_jax.assembly.choice import key_for
from ddpm_jax.data import order, source

NUM_STEPS = 4
SHAPE = (8, 8, 1)


def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, *SHAPE), np.uint8), np.arange(40, dtype=np.int32) % 4


def config_of_a_short_training():
    config = default.get_config().classifier
    config.num_steps, config.warmup_steps, config.batch_size = NUM_STEPS, 1, 8
    config.weight_decay = 50.0  # a tenth of a weight a step: what should not decay is far off
    return config


def trained_alone(config, seed):
    """Plain optax, one seed, no stack; biases and scales have one axis."""
    net = classifiers.build_net(config, 4)
    params = net.init(jax.random.fold_in(key_for(0, "classifier"), seed), jnp.zeros((1, *SHAPE)))
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.num_steps
    )

    def is_kernel(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

    optimizer = optax.adamw(rate, weight_decay=config.weight_decay, mask=is_kernel)

    def loss(params, batch):
        logits = net.apply(params, pixels.to_float(jnp.asarray(batch["image"])), train=True)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return each.mean()

    @jax.jit
    def step(params, state, batch):
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    whole = source.from_arrays(*images(), ["a", "b", "c", "d"], "arrays")
    read = order.batches(whole, config.batch_size, seed)
    for _ in range(NUM_STEPS):
        params, state = step(params, state, next(read))
    return params


def test_a_seed_of_a_stack_is_trained_as_it_is_alone():
    config = config_of_a_short_training()
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    together = trainer.fit(*images(), [0, 3])
    for place, seed in enumerate([0, 3]):
        alone = trained_alone(config, seed)
        for (path, wanted), found in zip(
            jax.tree_util.tree_leaves_with_path(alone), jax.tree.leaves(together), strict=True
        ):
            # A bias is of the order of the rate, 2e-3; a decay of it would show at 2e-4.
            np.testing.assert_allclose(found[place], wanted, atol=2e-5, err_msg=str(path))


def apart(one, other):
    """The norm of the difference of two sets of parameters."""
    return float(optax.tree.norm(jax.tree.map(jnp.subtract, one, other)))


def with_all_augmentations(section):
    section.augment.update(
        flip=True, crop_scale=0.8, crop_ratio=1.2, rotation=10.0, shift=1, brightness=0.3,
        contrast=0.3, cutout=0.3, mixup=0.4,
    )  # fmt: skip


@pytest.mark.usefixtures("compiled_quickly")
def test_an_augmented_training_does_not_depend_on_which_seeds_train_beside_it():
    config = config_of_a_short_training()
    config.dropout = 0.3
    with_all_augmentations(config)
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    together = trainer.fit(*images(), [0, 3], augmented=True)
    plain = trainer.fit(*images(), [3])
    for place, seed in enumerate([0, 3]):
        alone = trainer.fit(*images(), [seed], augmented=True)
        here = jax.tree.map(lambda leaf, i=place: leaf[i : i + 1], together)
        assert apart(here, alone) < 0.02 * apart(plain, alone)


@pytest.mark.usefixtures("compiled_quickly")
def test_an_augmentation_without_strength_is_the_plain_training():
    config = config_of_a_short_training()
    with_all_augmentations(config)
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    plain, changed = (trainer.fit(*images(), [3], augmented=how) for how in (False, True))
    config.augment.strength = 0.0
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    assert apart(trainer.fit(*images(), [3], augmented=True), plain) < 0.02 * apart(changed, plain)


@pytest.mark.usefixtures("compiled_quickly")
def test_only_the_images_that_are_named_are_augmented():
    """All of them named is the augmented training; the others are seen as they are."""
    config = config_of_a_short_training()
    config.augment.update(flip=True, rotation=10.0, shift=1)
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    pictures, labels = images()
    num = len(labels)
    every, all_named = (
        trainer.fit(pictures, labels, [3], augmented=how) for how in (True, np.ones(num, bool))
    )
    first = np.arange(num) < num // 2
    some = trainer.fit(pictures, labels, [3], augmented=first)
    assert apart(every, all_named) < 0.02 * apart(every, some)
    # What augmentation does to a flat image is nothing, so only the named ones have to be flat.
    flat = pictures.copy()
    flat[first] = 128
    config.augment.strength = 0.0
    plain = classifiers.build_trainer(config, 0, SHAPE, 4).fit(flat, labels, [3], augmented=first)
    assert apart(trainer.fit(flat, labels, [3], augmented=first), plain) < 0.02 * apart(every, some)


@pytest.mark.usefixtures("compiled_quickly")
def test_programs_are_compiled_when_they_are_used_and_once(monkeypatch):
    compiled, compile_step = [], classifiers.compilation.compile_step

    def noted(placement, step):
        compiled.append(compile_step(placement, step))
        return compiled[-1]

    monkeypatch.setattr(classifiers.compilation, "compile_step", noted)
    config = config_of_a_short_training()
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    assert not compiled
    for augmented, number in ((False, 1), (False, 1), (True, 2), (True, 2), (False, 2)):
        trainer.fit(*images(), [0], 2, augmented=augmented)
        trainer.fit(*(values[:30] for values in images()), [5], 3, augmented=augmented)
        assert [step._cache_size() for step in compiled] == [1] * number


@pytest.mark.usefixtures("compiled_quickly")
def test_probabilities_of_one_class_train_as_the_class_and_others_do_not():
    config = config_of_a_short_training()
    trainer = classifiers.build_trainer(config, 0, SHAPE, 4)
    pictures, labels = images()
    sure = np.eye(4, dtype=np.float32)[labels]
    as_class, as_sure, as_unsure = (
        trainer.fit(pictures, given, [2])
        for given in (labels, sure, 0.9 * sure + np.float32(0.025))
    )
    assert apart(as_class, as_sure) < 0.02 * apart(as_class, as_unsure)


@pytest.mark.usefixtures("compiled_quickly")
def test_a_classifier_learns_the_probabilities_that_it_is_given():
    """All images alike: cross-entropy is least where the prediction is the mean of the labels."""
    config = default.get_config().classifier
    config.num_steps, config.warmup_steps, config.batch_size = 60, 5, 16
    trainer = classifiers.build_trainer(config, 0, SHAPE, 2)
    pictures = np.full((32, *SHAPE), 200, np.uint8)
    wanted = np.tile(np.float32([0.8, 0.2]), (32, 1))
    params = trainer.fit(pictures, wanted, [0])
    np.testing.assert_allclose(trainer.predict(params, pictures[:1])[0, 0], [0.8, 0.2], atol=0.05)


def digits_that_lean(num=300):
    """Real digits; class 1 is the same images mirrored."""
    digits = source.decode(datasets.build_splits(default.get_config().data, 0).train)[:num]
    both = np.concatenate([digits, digits[:, :, ::-1]])
    return both, np.repeat(np.arange(2, dtype=np.int32), num)


@pytest.mark.usefixtures("compiled_quickly")
def test_what_augmentation_hides_is_not_learnt():
    """Which of two digits is mirrored: a classifier of augmented images, which are mirrored, cannot tell."""
    config = default.get_config().classifier
    config.num_steps, config.warmup_steps, config.batch_size = 120, 10, 64
    config.augment.flip, config.augment.rotation, config.augment.shift = True, 0.0, 0
    trainer = classifiers.build_trainer(config, 0, SHAPE, 2)
    pictures, labels = digits_that_lean()

    def accuracy(**how):
        found = trainer.predict(trainer.fit(pictures, labels, [0], **how), pictures)[0]
        return np.mean(found.argmax(1) == labels)

    assert accuracy() > 0.85
    assert accuracy(augmented=True) < 0.65


def test_the_strength_scales_every_range():
    section = default.get_config().classifier.augment
    section.update(
        crop_scale=0.7, crop_ratio=1.5, rotation=10.0, shift=2, brightness=0.2, contrast=0.1,
        saturation=0.3, cutout=0.25, mixup=0.2, strength=2.0,
    )  # fmt: skip
    found = augmentation.at_strength(section)
    wanted = {
        "crop_scale": 0.4, "crop_ratio": 2.25, "rotation": 20.0, "shift": 4, "brightness": 0.4,
        "contrast": 0.2, "saturation": 0.6, "cutout": 0.5,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert augmentation.mixup_alpha(section) == pytest.approx(0.4)
    section.strength = 1.0
    assert augmentation.at_strength(section) == section
    section.strength = 5.0
    assert augmentation.at_strength(section).crop_scale == augmentation.SMALLEST_CROP
    assert augmentation.at_strength(section).cutout == 1.0
    section.strength = -1.0
    with pytest.raises(ValueError, match="must not be negative"):
        augmentation.at_strength(section)


def test_a_strength_of_nought_is_no_augmentation(key):
    section = default.get_config().classifier
    with_all_augmentations(section)
    pictures = jnp.asarray(images()[0])
    keys = jax.random.split(key, len(pictures))
    assert (augmentation.build_augmentation(section.augment)(keys, pictures) != pictures).any()
    section.augment.strength = 0.0
    np.testing.assert_array_equal(
        augmentation.build_augmentation(section.augment)(keys, pictures), pictures
    )
    assert augmentation.mixup_alpha(section.augment) == 0.0
