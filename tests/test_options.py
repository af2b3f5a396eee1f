"""A field that is set and that nothing reads is refused, with the choice that leaves it unread."""

import importlib
import pathlib

import pytest

from configs import classifier as classifier_config
from configs import default
from ddpm_jax.assembly import options
from ddpm_jax.view import leaves

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
PATHS = sorted(CONFIGS.rglob("*.py"))


@pytest.fixture
def config():
    return default.get_config()


def differing(config):
    """As the command line does: what the file has otherwise than configs/default.py."""
    known = dict(leaves(default.get_config()))
    return {name: "" for name, value in leaves(config) if known.get(name, ...) != value}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_sets_nothing_that_nothing_reads(path):
    name = ".".join(path.relative_to(CONFIGS.parent).with_suffix("").parts)
    config = importlib.import_module(name).get_config()
    options.check(config, differing(config))


def test_what_is_refused_names_both_and_what_would_read_it(config):
    config.net.name = "double_conv"
    with pytest.raises(ValueError) as error:
        options.check(config, {"sampling.churn": "", "net.unet.dropout": "--x"})
    assert str(error.value).splitlines() == [
        "config.net.unet.dropout is set, and net.name='double_conv' does not read it (--x takes it back)",
        "config.sampling.churn is set, and sampling.solver='ddim' does not read it; "
        "'edm_stochastic' does",
    ]


def test_a_name_that_is_not_known_is_left_to_its_builder(config):
    config.sampling.solver = "euler"
    options.check(config, {"sampling.churn": "", "sampling.solver": ""})


def test_the_arms_of_a_study_of_small_sets_count(config):
    settings = {"classifier.synthetic_share": "", "classifier.select": ""}
    config.classifier.arms = ("real",)
    with pytest.raises(ValueError, match=r"config\.classifier\.select is set"):
        options.check(config, settings)
    config.own.synthetic_arms = ("real+synthetic, selected",)
    options.check(config, settings, "own")
    options.check(config, settings | {"own.synthetic_arms": ""})


def test_mixup_counts_where_the_real_images_alone_are_augmented(config):
    config.classifier.augment.mixup = 0.2
    settings = {"classifier.augment.mixup": ""}
    with pytest.raises(ValueError, match=r"classifier\.augment\.mixup is set"):
        options.check(config, settings)
    config.classifier.arms += ("real+synthetic, real augmented",)
    options.check(config, settings)


def test_a_fold_without_folds_is_refused(config):
    with pytest.raises(
        ValueError, match=r"data\.fold is set, and data\.num_folds=0 does not read it"
    ):
        options.check(config, {"data.fold": ""})
    config.data.num_folds = 3
    options.check(config, {"data.fold": "", "data.num_folds": ""})


def test_a_sweep_counts_where_it_is_set_or_made(config):
    settings = {"sampling.churn": "", "sampling.guidance_interval": ""}
    config.sweep.samplers = ("ddim:5", "edm_stochastic:5:karras")
    with pytest.raises(ValueError, match=r"churn.*\n.*guidance_interval is set, and .*scale=1.0 "):
        options.check(config, settings)
    options.check(config, settings, "sweep")
    swept = {"sweep.samplers": "", "sweep.guidance_scales": ""}
    options.check(config, settings | swept)
    config.sweep.guidance_scales = (1.0,)
    with pytest.raises(ValueError, match="guidance_interval"):
        options.check(config, settings | swept)
    config.sampling.classifier_scale = 1.0
    options.check(config, settings | swept)


def test_the_variance_is_read_by_the_likelihood_whatever_the_solver(config):
    options.check(config, {"sampling.variance": ""})


def test_features_by_two_networks_are_refused_before_anything_runs(config):
    config.evaluation.features, config.evaluation.inception_weights = "a:b", "c.npz"
    with pytest.raises(ValueError, match=r"evaluation\.features is set, and .*weights='c.npz'"):
        options.check(config, {"evaluation.features": "", "evaluation.inception_weights": ""})


def test_a_classifiers_config_is_enough():
    config = classifier_config.get_config()
    with pytest.raises(ValueError, match=r"classifier\.width is set.*'conv4'.*; 'resnet' does"):
        options.check(config, {"classifier.width": "", "classifier.dropout": ""})
    config.classifier.net = "resnet"
    options.check(config, {"classifier.width": "", "classifier.dropout": ""})
