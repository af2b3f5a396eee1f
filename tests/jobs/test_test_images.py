"""No test image reaches a training set: neither the generator's, nor any arm's of the classifier."""

import numpy as np
import pytest
from tiny_run import work

from ddpm_jax import main
from ddpm_jax.assembly import datasets, feature_networks, training
from ddpm_jax.data import npz, source
from ddpm_jax.jobs import classify, copies, evaluate, worth
from ddpm_jax.measuring import labelled
from ddpm_jax.models import in_training
from ddpm_jax.types import Trainer


@pytest.fixture
def marked(config, tmp_path):
    """Real images that can be told apart: the first two pixels of image i are its number."""
    num = 400
    images = np.random.default_rng(0).integers(0, 256, (num, 8, 8, 1)).astype(np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = divmod(np.arange(num), 256)
    labels = (np.arange(num) % 2).astype(np.int32)
    npz.save(tmp_path / "marked.npz", images, labels, ["even", "odd"], {})
    config.data.source = f"npz:{tmp_path / 'marked.npz'}"
    config.data.validation_fraction = 0.2
    config.classifier.augment.rotation = 0.0
    config.classifier.augment.shift = 0
    return config


def numbers(images):
    return set((images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 1, 0]).tolist())


def test_the_generator_sees_the_training_split_alone(marked):
    splits = datasets.build_splits(marked.data, marked.seed)
    held_out = numbers(source.decode(splits.test)) | numbers(source.decode(splits.validation))
    seen = set()
    batches = in_training.batches(marked, training.build_parts(marked), first=0)
    for _ in range(40):  # more than four epochs
        seen |= numbers(np.asarray(next(batches)["image"]))
    assert len(held_out) == 160 and len(seen) == 240
    assert not seen & held_out


def test_no_arm_of_the_classifier_is_trained_on_a_test_image(marked, monkeypatch, tmp_path):
    made = np.random.default_rng(1).integers(0, 256, (100, 8, 8, 1)).astype(np.uint8)
    made[:, 0, 0, 0] = 255  # no number of a real image
    npz.save(tmp_path / "made.npz", made, np.arange(100, dtype=np.int32) % 2, ["even", "odd"], {})
    trained_on = {}

    def watched(*arguments):
        def fit(images, labels, seeds, **options):
            trained_on[len(trained_on)] = numbers(images)
            return len(seeds)

        def predict(num_seeds, images):
            return np.full((num_seeds, len(images), 2), 0.5, np.float32)

        return Trainer(fit, predict, predict)

    monkeypatch.setattr(classify.classifiers, "build_trainer", watched)
    # Its ensemble is trained too, and judges real images.
    marked.classifier.arms += ("real+synthetic, selected, soft, augmented",)
    marked.classifier.select, marked.classifier.ensemble.num = 0.0, 2
    classify.run.on(marked, tmp_path / "run", tmp_path / "made.npz")
    test = numbers(source.decode(datasets.build_splits(marked.data, marked.seed).test))
    assert len(test) == 80 and len(trained_on) == 6 * marked.classifier.num_seeds + 2
    assert not any(seen & test for seen in trained_on.values())


def test_the_features_of_the_evaluation_are_learnt_from_the_training_split_alone(
    marked, monkeypatch
):
    splits, seen = datasets.build_splits(marked.data, marked.seed), []

    def fit(images, labels, seeds):
        seen.append(numbers(images))
        return {"w": np.zeros(1, np.float32)}

    trainer = Trainer(fit, None, None)
    monkeypatch.setattr(feature_networks.classifiers, "build_trainer", lambda *arguments: trainer)
    feature_networks.own_classifier(marked, splits.train)
    images = source.decode(splits.train)
    assert not numbers(images) & numbers(source.decode(splits.test))
    assert seen == [numbers(images)]


def test_synthetic_labels_are_matched_by_name(marked, tmp_path):
    images = np.zeros((3, 8, 8, 1), np.uint8)
    npz.save(tmp_path / "made.npz", images, np.array([0, 0, 1], np.int32), ["odd", "even"], {})
    made = labelled.read_synthetic(tmp_path / "made.npz", ("even", "odd"), (8, 8, 1))
    assert made.label.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("names", "shape", "message"),
    [
        (["even", "cat"], (8, 8, 1), "holds classes cat, which the real images do not have"),
        (
            ["even", "odd"],
            (8, 8, 3),
            "holds images of 8x8 pixels and 1 channel, wanted 8x8 pixels and 3 channels",
        ),
    ],
)
def test_a_synthetic_set_that_does_not_fit_is_refused(tmp_path, names, shape, message):
    images = np.zeros((2, 8, 8, 1), np.uint8)
    npz.save(tmp_path / "made.npz", images, np.array([0, 1], np.int32), names, {})
    with pytest.raises(ValueError, match=message):
        labelled.read_synthetic(tmp_path / "made.npz", ("even", "odd"), shape)


def test_an_unknown_arm_is_refused(marked):
    marked.classifier.arms = ("real", "fake")
    images = labelled.Labelled(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1], np.int32))
    with pytest.raises(ValueError, match="'fake' is no arm; known: real, syn"):
        classify.build_arms(marked, images, None, Trainer(None, None, None), 2)


def test_the_baseline_cannot_be_left_out(marked):
    """Before a chain trains its generator."""
    marked.classifier.arms = ("real+augmented",)
    with pytest.raises(ValueError, match="must hold 'real'"):
        classify.check(marked)
    marked.classifier.arms, marked.classifier.num_seeds = ("real",), 1
    with pytest.raises(
        ValueError, match=r"classifier\.num_seeds is 1; an interval needs at least 2"
    ):
        classify.check(marked)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("classifier.arms", ("real", "sythetic"), "'sythetic' is no arm"),
        ("classifier.net", "resnet18", r"classifier\.net is 'resnet18'; known: conv4"),
        ("classifier.synthetic_share", 1.0, r"classifier\.synthetic_share is 1\.0"),
        ("evaluation.reference", "tset", r"evaluation\.reference is 'tset'; known: test"),
        ("evaluation.inception_weights", "absent.pth", r"'absent\.pth', which does not exist"),
        ("evaluation.features", "absent:f", "there is no package absent"),
    ],
)
def test_a_chain_refuses_what_comes_after_its_training_before_it(config, field, value, message):
    main.check_what_follows(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main.check_what_follows(config)


def test_a_chain_asks_before_it_trains(program, tmp_path):
    ended = program(f"--workdir={tmp_path}", "--config.evaluation.reference=tset")
    assert ended.returncode == 2 and "evaluation.reference is 'tset'" in ended.stderr
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("job", [classify.run, worth.study, copies.run, evaluate.run])
def test_images_that_the_generator_may_have_seen_are_no_test_images(finished, config, job):
    config.seed = 1  # divides the digits in another way
    with pytest.raises(ValueError, match="it may have seen some of the test images"):
        work(job, config, finished)
