"""What is measured on samples: under which name, against what, and that copies are found."""

import json
import sys

import numpy as np
import pytest
from tiny_run import work

from ddpm_jax.assembly import classifiers, datasets, feature_networks, variants
from ddpm_jax.data import npz, source
from ddpm_jax.evaluation import frechet, inception, inception_weights
from ddpm_jax.jobs import evaluate
from ddpm_jax.measuring import copies, distances, metrics
from ddpm_jax.models import likelihood, trained

pytestmark = pytest.mark.usefixtures("compiled_quickly")

HALVES = """
calls = []
def halves(images):
    calls.append(len(images))
    return images.reshape(len(images), 2, -1).mean(axis=2) / 255.0
def flat(images):
    return images.mean()
"""


@pytest.fixture
def function(config, tmp_path, monkeypatch):
    """Features that need no training, by a module of the user's; yields that module."""
    (tmp_path / "of_the_user.py").write_text(HALVES)
    monkeypatch.syspath_prepend(tmp_path)
    config.evaluation.features = "of_the_user:halves"
    config.evaluation.likelihood_images = 0
    yield __import__("of_the_user")
    del sys.modules["of_the_user"]


def real(config):
    splits = datasets.build_splits(config.data, config.seed)
    return source.decode(splits.train), source.decode(splits.test), splits


def test_every_number_says_what_it_was_measured_on(finished):
    found = json.loads((finished / "results/evaluate.json").read_text())
    assert (found["n"], found["n_floor"], found["n_train"], found["n_reference"]) == (
        100, 100, 1258, 359,
    )  # fmt: skip
    assert found["features"] == "conv4" and "train split of digits" in found["features_about"]
    for name in ("features_sha256", "reference_sha256", "image_sha256"):
        assert len(found[name]) == 64
    assert "fid" not in found and "kid" not in found and "inception_score" not in found
    assert {"frechet_conv4", "kernel_conv4", "inception_score_conv4"} < set(found)
    assert found["frechet_conv4"]["at_infinity"] is None  # 100 images for 128 features
    assert found["likelihood"] is None
    for name in ("closest", "closest-features", "nearest", "nearest-features"):
        assert (finished / f"figures/{name}.png").exists()


def test_a_function_of_the_users_gives_the_features(finished, config, function):
    _, test, _ = real(config)
    found = work(evaluate.run, config, finished)
    samples = npz.load(finished / "synthetic.npz").images
    wanted = frechet.distance(
        *(frechet.moments(function.halves(images)) for images in (samples, test))
    )
    assert found["frechet_halves"]["value"] == pytest.approx(wanted, rel=1e-6)
    # The bias of 100 images and 2 features is small, but the line is drawn.
    assert found["frechet_halves"]["at_infinity"] == pytest.approx(wanted, rel=0.2)
    assert found["frechet_halves"]["sizes"].tolist() == [100, 50, 25]
    assert found["likelihood"] is None
    assert not any(name.startswith("inception_score") for name in found)


def test_kept_features_are_not_made_again(finished, config, function):
    config.evaluation.cache_dir = str(finished / "elsewhere")
    work(evaluate.run, config, finished)
    made = len(function.calls)
    work(evaluate.run, config, finished)
    assert len(function.calls) == made + 1  # the probe that the function is known by


def test_copies_of_training_images_are_found_and_said(finished, config, function, capsys):
    train, _, splits = real(config)
    labels = np.arange(100, dtype=np.int32) % 10
    npz.save(finished / "synthetic.npz", train[:100], labels, splits.train.class_names, {})
    memory = work(evaluate.run, config, finished)["memorization"]
    assert (
        memory["copies"] and memory["pixels"]["share"] == 1.0 and memory["pixels"]["exact"] == 100
    )
    assert memory["pixels"]["duplicates"] == 0
    assert "COPIES" in capsys.readouterr().out


def test_real_test_images_raise_no_alarm_and_one_image_over_and_over_is_seen(
    finished, config, function
):
    _, test, splits = real(config)
    half = np.concatenate([test[:60], np.repeat(test[60:61], 40, axis=0)])
    labels = np.arange(100, dtype=np.int32) % 10
    npz.save(finished / "synthetic.npz", half, labels, splits.train.class_names, {})
    memory = work(evaluate.run, config, finished)["memorization"]
    assert not memory["copies"] and memory["pixels"]["exact"] == 0
    assert memory["pixels"]["duplicates"] == 40
    assert memory["pixels"]["near_duplicates_share"] >= 0.4


def test_copies_are_found_where_test_images_are_duplicates_too(
    finished, config, function, tmp_path
):
    """The 1 % quantile of the test images' distances is 0, and nothing is nearer than that."""
    train, test, _ = real(config)
    made = train[-300:]
    network = feature_networks.named_function("of_the_user:halves", (8, 8, 1))
    real_test = np.concatenate([test[:340], train[:19]])
    sets = distances.Sets(made, train, real_test, train[:300], real_test)
    seen = distances.Sets(*(function.halves(part) for part in sets))
    sought = variants.build_sought(config, real_test)
    memory, _ = copies.look_for(sets, seen, network, tmp_path, sought)
    assert memory["copies"] and memory["pixels"]["exact"] == 300
    assert memory["pixels"]["exact_of_test"] == 19
    likewise = sets._replace(synthetic=np.concatenate([test[340:], train[20:21]]))
    seen = seen._replace(synthetic=function.halves(likewise.synthetic))
    memory, _ = copies.look_for(likewise, seen, network, tmp_path, sought)
    assert not memory["copies"] and memory["pixels"]["exact"] == 1


def test_mirrored_copies_are_found_where_training_images_were_mirrored(finished, config, function):
    train, _, splits = real(config)
    labels = np.arange(100, dtype=np.int32) % 10
    mirrored = np.ascontiguousarray(train[:100, :, ::-1])
    npz.save(finished / "synthetic.npz", mirrored, labels, splits.train.class_names, {})
    assert not work(evaluate.run, config, finished)["memorization"]["pixels"]["exact"]
    config.augment.flip = True
    memory = work(evaluate.run, config, finished)["memorization"]
    assert memory["copies"] and memory["pixels"]["exact"] == 100
    assert (memory["looked_for"], memory["num_variants"]) == ("as they are, each also mirrored", 2)
    config.augment.flip = False


@pytest.mark.parametrize(("short", "why"), [("floor", "7 floor"), ("reference", "7 reference")])
def test_sets_too_small_to_extrapolate_say_so(short, why):
    draw = np.random.default_rng(0)
    seen = {name: draw.normal(size=(40, 2)) for name in ("synthetic", "floor", "reference")}
    seen[short] = draw.normal(size=(7, 2))
    inputs = metrics.Inputs(**seen, moments=frechet.moments(seen["reference"]))
    found = metrics.frechet_fields(inputs)
    assert found["floor_at_infinity"] is None and why in found["floor_why"]
    assert "needs 8 images of each set" in found["floor_why"]
    assert (found["at_infinity"] is None) == (short == "reference")
    assert found["floor"] > 0


def test_few_test_images_say_why_copies_are_not_judged(finished, config, function):
    config.data.test_fraction = 0.05
    made = npz.load(
        finished / "synthetic.npz"
    )  # written again, without a word of what was held out
    npz.save(finished / "synthetic.npz", made.images, made.labels, made.class_names, {})
    memory = work(evaluate.run, config, finished)["memorization"]
    assert memory["copies"] is None and "99 needed" in memory["why"]


def test_fewer_images_than_wanted_is_said(finished, config, function, capsys):
    config.evaluation.num_images = 5000
    assert work(evaluate.run, config, finished)["n"] == 100
    assert "5000 synthetic images wanted, there are 100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("of_the_user", "wanted 'package.module:function'"),
        ("of_the_user:absent", "of_the_user has no absent"),
        ("of_the_user:flat", r"gave \(\) for \(8, 8, 8, 1\), wanted \(8, D\)"),
    ],
)
def test_a_function_that_cannot_give_features_is_refused(
    finished, config, function, named, message
):
    config.evaluation.features = named
    with pytest.raises(ValueError, match=message):
        work(evaluate.run, config, finished)


def test_two_kinds_of_features_are_refused(finished, config, function):
    config.evaluation.inception_weights = "weights.pth"
    with pytest.raises(ValueError, match="name one of them"):
        work(evaluate.run, config, finished)


def test_a_variance_that_was_not_learned_is_refused_before_any_feature(finished, config, function):
    config.evaluation.likelihood_images = 4
    config.sampling.variance = "learned"
    with pytest.raises(ValueError, match=r"wanted loss\.kind 'hybrid' or 'variational'"):
        work(evaluate.run, config, finished)
    assert not function.calls


@pytest.mark.parametrize(
    ("sha256", "name", "key"),
    [("6726825d" + 56 * "0", "inception2015", "fid"),
     ("0" * 64, "inception_unofficial", "frechet_inception_unofficial")],
)  # fmt: skip
def test_only_the_official_weights_give_an_fid(sha256, name, key, monkeypatch):
    weights = inception_weights.Weights({}, np.zeros((1008, 2048)), sha256)
    monkeypatch.setattr(inception_weights, "load", lambda path: weights)
    monkeypatch.setattr(inception.Inception, "apply", lambda self, variables, x: x[:, 0, :4, 0])
    network = feature_networks.inception_2015("weights.npz")
    assert network.name == name and metrics.field_name(metrics.FRECHET, network) == key
    # A white image stays white: (255 - 128) / 128.
    white = network.features(np.full((3, 8, 8, 1), 255, np.uint8))
    np.testing.assert_allclose(white, np.full((3, 4), 127 / 128))
    scores = network.probabilities(None, np.ones((3, 2048)))
    np.testing.assert_allclose(scores, np.full((3, 1008), 1 / 1008))


def test_a_network_asks_for_its_file_through_the_stage(config, monkeypatch):
    """So that every stage that builds one notes the weights' content."""
    loaded = []
    weights = inception_weights.Weights({}, np.zeros((1008, 2048)), "0" * 64)
    monkeypatch.setattr(inception_weights, "load", lambda path: (loaded.append(path), weights)[1])
    config.evaluation.inception_weights = "weights.npz"
    train = datasets.build_splits(config.data, config.seed).train
    feature_networks.build_network(config, train, (8, 8, 1), read=lambda path: f"noted/{path}")
    assert loaded == ["noted/weights.npz"]


def test_official_features_give_the_names_of_the_papers(finished, config, function):
    train, test, _ = real(config)
    network = feature_networks.named_function("of_the_user:halves", (8, 8, 1))
    network = network._replace(
        official=True, probabilities=lambda images, found: np.full((len(images), 4), 0.25)
    )
    parts = {"synthetic": train[100:200], "train": train, "test": test}
    comparison = distances.Comparison("test", "train", np.arange(100))
    images = distances.sets_of(parts, comparison)
    seen = distances.sets_of(
        evaluate.extract_all(network, parts, finished / "features"), comparison
    )
    found = distances.measure(network, images, seen, finished / "features")
    assert {"fid", "kid", "inception_score"} < set(found)
    assert not any(name.endswith(network.name) for name in found)
    assert found["inception_score"]["mean"] == pytest.approx(1.0)


@pytest.mark.slow
def test_the_bits_per_dim_of_test_images_are_given_with_their_errors(finished, config):
    config.evaluation.likelihood_images, config.evaluation.likelihood_steps = 4, 2
    _, _, splits = real(config)
    model = trained.load_model(config, finished / "checkpoints")
    found = likelihood.fields(config, model, splits.test)
    assert (found["n"], found["num_steps"], found["checkpoint"]) == (4, 2, 6)
    parts = [found[part]["mean"] for part in ("prior", "diffusion", "decoder")]
    assert found["bound"]["mean"] == pytest.approx(sum(parts), rel=1e-5)
    assert found["bound"]["standard_error"] > 0 and np.isfinite(found["flow"]["mean"])


@pytest.mark.slow
def test_the_likelihood_of_an_image_does_not_depend_on_the_others(finished, config):
    config.evaluation.likelihood_steps = 2
    _, test, splits = real(config)
    model = trained.load_model(config, finished / "checkpoints")
    labels = splits.test.labels
    few = likelihood.bits_per_dim(config, model, test[:4], labels[:4])
    more = likelihood.bits_per_dim(config, model, test[:9], labels[:9])
    for one, other in zip(few, more, strict=True):
        np.testing.assert_allclose(one, other[:4], rtol=1e-4)


def test_the_features_of_a_set_of_one_class_are_called_random(config, monkeypatch, capsys):
    """The trainer is a stand-in: names and the warning are what is tested."""
    steps = []

    def fit(images, labels, seeds, num_steps=None):
        steps.append(num_steps)
        return {"kernel": np.ones(2, np.float32)}

    trainer = classifiers.Trainer(fit, None, lambda params, images: np.zeros((1, len(images), 2)))
    monkeypatch.setattr(classifiers, "build_trainer", lambda *arguments: trainer)
    train = datasets.build_splits(config.data, config.seed).train
    one = feature_networks.build_network(config, source.keep_classes(train, ("3",)), (8, 8, 1))
    assert (
        metrics.field_name(metrics.FRECHET, one) == "frechet_random_conv4"
        and one.probabilities is None
    )
    assert "conv4 with random weights, because digits has one class" in one.about
    assert one.features(np.zeros((5, 8, 8, 1), np.uint8)).shape == (5, 2)
    assert "warning: distances are on the features of conv4 with random" in capsys.readouterr().err
    two = feature_networks.build_network(config, source.keep_classes(train, ("0", "1")), (8, 8, 1))
    assert (
        metrics.field_name(metrics.FRECHET, two) == "frechet_conv4"
        and "trained on the train split" in two.about
    )
    assert capsys.readouterr().err == "" and steps == [1, None]


def test_missing_weights_are_named(finished, config):
    config.evaluation.inception_weights = "absent.pth"
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        evaluate.run(config, finished)
