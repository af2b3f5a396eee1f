"""Real images that stand for others are drawn at random, by class: the order of the files changes nothing."""

import json

import numpy as np
import pytest
from tiny_run import work

from ddpm_jax.assembly import datasets, feature_networks, training
from ddpm_jax.data import npz, source
from ddpm_jax.evaluation import features, frechet
from ddpm_jax.jobs import classify, compare, evaluate, export, report, sweep, train_guide
from ddpm_jax.measuring import distances, likelihoods, metrics
from ddpm_jax.models import guide, in_training, likelihood, trained

pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.fixture
def ordered(config, tmp_path):
    """The config on the digits in the files' order of `of`: "sorted" by class, or "shuffled"."""
    whole = datasets.build_splits(config.data, config.seed)
    images = np.concatenate([source.decode(part) for part in whole])
    labels = np.concatenate([part.labels for part in whole])

    def of(how):
        rows = np.random.default_rng(1).permutation(len(labels))
        if how == "sorted":
            rows = np.argsort(labels, kind="stable")
        path = tmp_path / f"{how}.npz"
        npz.save(path, images[rows], labels[rows], whole.train.class_names, {})
        config.data.source = f"npz:{path}"
        return config

    return of


def pixels_of(splits):
    parts = splits._asdict().items()
    return {name: source.decode(part).reshape(len(part.labels), -1) / 255.0 for name, part in parts}


def floor_of(config, num):
    """The Fréchet distance of the floor's images to the test images, in pixels, and their classes."""
    splits = datasets.build_splits(config.data, config.seed)
    comparison = distances.comparison_with(config.evaluation.reference, splits, num, config.seed)
    seen = distances.sets_of(pixels_of(splits) | {"synthetic": np.empty((num, 64))}, comparison)
    counts = source.class_counts(source.take(splits.train, comparison.floor_rows))
    found = frechet.distance(frechet.moments(seen.floor), frechet.moments(seen.reference))
    return found, counts, splits


def test_the_floor_of_sorted_and_of_shuffled_images_is_the_same_within_chance(ordered):
    by_order = {}
    for how in ("sorted", "shuffled"):
        config, found = ordered(how), []
        for config.seed in range(5):
            value, counts, splits = floor_of(config, 359)
            share = source.class_counts(splits.train) * 359 / len(splits.train.labels)
            assert (np.abs(counts - share) < 1).all()
            found.append(value)
        by_order[how] = np.array(found)
    # The first images in the files' order gave 1.4 to 1.6 where the files are sorted, else 0.14 to 0.18.
    spread = np.std(by_order["shuffled"], ddof=1)
    assert abs(by_order["sorted"].mean() - by_order["shuffled"].mean()) < 4 * spread
    assert by_order["sorted"].max() < 2 * by_order["shuffled"].max()


def classes_seen(monkeypatch, module, name):
    """How many images of each class the sources hold that `module.name` is called with."""
    seen, called = [], getattr(module, name)

    def watched(given, *arguments, **options):
        seen.append(source.class_counts(given))
        return called(given, *arguments, **options)

    monkeypatch.setattr(module, name, watched)
    return seen


def test_the_validation_loss_is_of_every_class_also_where_files_are_sorted(ordered, monkeypatch):
    config = ordered("sorted")
    config.training.eval_images = 64
    parts = training.build_parts(config)
    seen = classes_seen(monkeypatch, in_training.order, "sequential")
    in_training.validation_loss(config, parts, parts.state.ema_params)
    assert seen[0].sum() == 64 and seen[0].min() >= 5 and seen[0].max() <= 8


def test_bits_per_dim_and_the_guide_are_of_every_class_also_where_files_are_sorted(
    ordered, model, monkeypatch
):
    config = ordered("sorted")
    held = {}

    def measured(config, model, images, labels):
        held.update(labels=labels)
        return likelihoods.BitsPerDim(*np.ones((5, len(labels))))

    monkeypatch.setattr(likelihood, "bits_per_dim", measured)
    config.evaluation.likelihood_images = 20
    splits = datasets.build_splits(config.data, config.seed)
    found = trained.load_model(config, model / "checkpoints")
    assert likelihood.fields(config, found, splits.test)["n"] == 20
    assert np.bincount(held["labels"], minlength=10).tolist() == [2] * 10
    monkeypatch.setattr(guide, "MOST_TESTED", 40)
    seen = classes_seen(monkeypatch, guide.source, "decode")
    config.guide.noised = False
    net = train_guide.guides.build_net(config.guide, 10)
    params = train_guide.guides.init_net(net, config.guide, guide.jax.random.key(0), (8, 8, 1))
    guide.accuracy_by_level(config, net, params, found.table, splits.validation)
    assert seen[0].sum() == 40 and seen[0].min() >= 3


def test_a_reference_that_is_named_is_in_the_distances_name(finished, config):
    config.evaluation.reference = "train+validation"
    config.evaluation.num_images = 50
    found = work(evaluate.run, config, finished)
    assert found["distance"] == "frechet_conv4_to_train_validation"
    assert "kernel_conv4_to_train_validation" in found and "frechet_conv4" not in found
    assert (found["n_reference"], found["n"], found["n_floor"]) == (1258 + 180, 50, 50)
    assert found["floor_of"] == "test"
    assert found["reference"] == "train and validation split of digits"
    (finished / "results/evaluate.json").write_text(
        json.dumps(found, default=lambda value: value.tolist())
    )
    report.run(config, finished)
    assert "frechet_conv4_to_train_validation" in (finished / "report.html").read_text()


def test_by_default_as_many_synthetic_images_as_the_reference_has(finished, config, capsys):
    config.evaluation.reference = "validation"
    work(evaluate.run, config, finished)
    assert "180 synthetic images wanted, there are 100" in capsys.readouterr().out
    config.evaluation.reference = "all"
    with pytest.raises(
        ValueError, match=r"evaluation\.reference is 'all'; known: test, validation"
    ):
        work(evaluate.run, config, finished)


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [("test", 90), ("validation", 10), ("train", 90), ("train+validation", 100)],
)
def test_a_small_training_set_bounds_the_images_that_are_compared(reference, wanted):
    """The floor has no more real images, and the same number has the same bias."""
    sizes = {"train": 90, "validation": 10, "test": 359}
    assert distances.num_synthetic(reference, sizes) == wanted


def test_the_name_of_an_official_distance_says_its_reference():
    network = features.Network("inception2015", "", "", np.asarray, None, 64, True)
    by_name = {metric.name: metric for metric in metrics.METRICS}

    def names(*reference):
        return [
            metrics.field_name(by_name[name], network, *reference)
            for name in ("frechet", "kernel", "inception_score", "recall")
        ]

    assert names() == ["fid", "kid", "inception_score", "manifold"]
    assert names("train+validation")[0] == "fid_to_train_validation"
    assert names("train")[1:] == ["kid_to_train", "inception_score", "manifold"]


def test_the_bits_per_dim_of_a_guided_model_are_those_of_its_network(finished, config, monkeypatch):
    """A guide's weights once reached the network's `apply`, after all features had been made."""
    config.sampling.classifier_scale = 2.0
    config.guide.num_steps = 2
    config.evaluation.likelihood_images, config.evaluation.likelihood_steps = 4, 2
    train_guide.run(config, finished)
    guided = work(evaluate.run, config, finished)["likelihood"]
    config.sampling.classifier_scale = 0.0
    assert work(evaluate.run, config, finished)["likelihood"]["bound"] == guided["bound"]


def test_a_function_of_the_users_never_gets_more_than_a_batch(config, tmp_path, monkeypatch):
    sizes = []
    module = type(json)("their_features")
    module.mean = lambda images: sizes.append(len(images)) or images.mean(axis=(1, 2))
    monkeypatch.setitem(__import__("sys").modules, "their_features", module)
    network = feature_networks.named_function("their_features:mean", (8, 8, 1))
    images = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 1)).astype(np.uint8)
    np.testing.assert_allclose(network.features(images), images.mean(axis=(1, 2)), rtol=1e-6)
    assert max(sizes) == 256 and sum(sizes[1:]) == 1000


def test_an_unconditional_models_set_has_no_labels_and_no_classifier(finished, config, monkeypatch):
    """Trained with labels, but asked as an unconditional one: what matters is what is written."""
    monkeypatch.setattr(trained, "knows_labels", lambda net, num_classes: False)
    (finished / "results/classify.json").unlink()
    config.export.num_images = 60
    made = export.run(config, finished)
    assert made["class_counts"] is None and not npz.has_labels(finished / "synthetic.npz")
    with np.load(finished / "synthetic.npz") as file:
        assert set(file.files) == {"image", "meta"} and file["image"].shape == (60, 8, 8, 1)
    found = work(evaluate.run, config, finished)
    assert found["n"] == 60 and found["frechet_conv4"]["value"] > 0
    for job in (classify, compare):
        with pytest.raises(ValueError, match=r"synthetic\.npz has no labels"):
            job.run(config, finished)
    config.export.class_counts = (6,) * 10
    with pytest.raises(ValueError, match=r"the model is unconditional .* set export\.num_images"):
        export.run(config, finished)
    config.sweep.num_images, config.sweep.num_seeds = 10, 2
    with pytest.raises(ValueError, match=r"sweep\.num_seeds is 2, and the model is unconditional"):
        sweep.run(config, finished)
    report.run(config, finished)
    page = (finished / "report.html").read_text()
    assert "no labels to train a classifier on" in page and "--mode=classify" not in page
