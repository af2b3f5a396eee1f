"""What the check of options believes that a part reads, against what is read when it is built."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reads import Reads

from configs import default
from ddpm_jax.assembly import (
    augmentation,
    classifiers,
    datasets,
    denoising,
    networks,
    objective,
    optimizers,
    options,
)
from ddpm_jax.data import digits, folder, hf, npz, tfds
from ddpm_jax.jobs import classify
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.models import labels_drawn, trained
from ddpm_jax.types import Trainer
from ddpm_jax.view import leaves

NUM_CLASSES = 3


@pytest.fixture
def config():
    config = default.get_config()
    config.net.base_channels, config.net.unet.num_groups = 4, 2
    config.net.multipliers, config.net.unet.num_res_blocks = (1, 1), 1
    config.net.patch.patch_sizes = (2,)
    config.schedule.num_steps, config.sampling.num_steps = 8, 4
    return config


class Silent(nn.Module):
    """Zeros, of as many channels as the variance needs."""

    out_channels: int = 1
    num_classes: int = 0

    def __call__(self, x, t, label=None, *, train=False):
        return jnp.concatenate([0.0 * x] * self.out_channels, axis=-1)


def silent(config):
    return Silent(2 if networks.learns_variance(config) else 1, NUM_CLASSES)


def levels(config):
    return denoising.build_levels(config.schedule)


def traced_loss(config, net):
    """The text of the training loss's program."""
    loss_fn = objective.build_loss(config, net, levels(config))
    batch = {"image": jnp.zeros((4, 8, 8, 1), jnp.uint8), "label": jnp.zeros(4, jnp.int32)}
    params = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    return str(jax.make_jaxpr(loss_fn)(params, batch, jax.random.key(0)))


def traced_sampler(config, guide=None):
    sampler = denoising.build_sampler(config, silent(config), levels(config))
    keys, label = jax.random.split(jax.random.key(0), 2), jnp.zeros(2, jnp.int32)
    return str(jax.make_jaxpr(sampler)(denoising.Weights({}, guide), label, keys))


def traced_net(config):
    net = networks.build_net(config, NUM_CLASSES)
    params = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    x, t, label = jnp.zeros((1, 8, 8, 1)), jnp.ones(1), jnp.zeros(1, jnp.int32)
    return str(jax.make_jaxpr(net.apply)(params, x, t, label))


PARTS = {
    "classifier.net": lambda config: classifiers.build_net(config.classifier, NUM_CLASSES),
    "data.source": lambda config: datasets.build_splits(config.data, 0),
    "loss.draw": lambda config: traced_loss(config, silent(config)),
    "loss.kind": lambda config: traced_loss(config, silent(config)),
    "loss.weight": lambda config: traced_loss(config, silent(config)),
    "optim.name": lambda config: optimizers.build_optimizer(config.optim, 100),
    "optim.schedule": lambda config: optimizers.build_optimizer(config.optim, 100),
    "sampling.solver": traced_sampler,
    "schedule.name": levels,
}
"""What a field chooses among, as it is built and, where fields are read later, traced."""
GO_WITH = {
    "log_normal": {"loss.prediction": "edm"},
    "heun": {"sampling.spacing": "karras"},
    "edm_stochastic": {"sampling.spacing": "karras"},
}


@pytest.fixture
def sources(monkeypatch):
    """Every source has the digits, and none asks a disk or a network."""
    splits = digits.load()
    for module in (tfds, hf):
        monkeypatch.setattr(module, "load", lambda name, **fields: splits)
    for module in (npz, folder):
        monkeypatch.setattr(module, "load", lambda where: splits.train)


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("chooser", options.CHOICES)
def test_an_option_reads_what_its_entry_names(config, monkeypatch, chooser):
    reads, known, configs, found = Reads(monkeypatch), options.CHOICES[chooser], {}, {}
    section = chooser.partition(".")[0] + "."
    for name in known:
        configs[name] = config.copy_and_resolve_references()
        configs[name].update_from_flattened_dict({chooser: name, **GO_WITH.get(name, {})})
        # None of them counts as chosen: what is to be seen is the option alone.
        configs[name].sweep.samplers = ()
        with reads.on():
            PARTS[chooser](configs[name])
        found[name] = {read for read in reads.names if read.startswith(section)}
    differs = set.union(*found.values()) - set.intersection(*found.values())
    assert differs == {section + field for entry in known.values() for field in entry.reads}
    for name in known:
        believed = {read for read in differs if options.unread(configs[name], read) is None}
        assert believed - options.READ_BESIDES == found[name] & differs - options.READ_BESIDES


@pytest.mark.parametrize("name", networks.NETS)
def test_a_network_reads_its_own_section_and_no_other(config, monkeypatch, name):
    config.net.name, reads = name, Reads(monkeypatch)
    config.net.unet.attention_resolutions, config.augment.flip = (8,), True
    with reads.on():
        networks.build_net(config, NUM_CLASSES)
    fields = {field for field, _ in leaves(config.net, "net.")}
    assert {*networks.NETS} == {field.split(".")[1] for field in fields if field.count(".") == 2}
    believed = {field for field in fields if options.unread(config, field) is None}
    assert believed == reads.names & fields


def test_no_field_belongs_to_two_choices():
    owned = [
        f"{chooser.rpartition('.')[0]}.{field}"
        for chooser, known in options.CHOICES.items()
        for field in {field for entry in known.values() for field in entry.reads}
    ]
    assert len(owned) == len(set(owned)) > 10


def augmented(section):
    change = augmentation.build_augmentation(section)
    return str(
        jax.make_jaxpr(change)(jax.random.split(jax.random.key(0), 2), jnp.zeros((2, 8, 8, 1)))
    )


def arms(config):
    """Numbers of images, and of classifiers that an ensemble in which all find all alike consists of."""
    real, made = (
        Labelled(np.zeros((num, 8, 8, 1), np.uint8), (np.arange(num) % 2).astype(np.int32))
        for num in (8, 20)
    )
    trained = []

    def predict(params, images):
        return np.tile(np.float32([0.4, 0.6]), (1, len(images), 1))

    trainer = Trainer(lambda *images, **how: trained.append(how) or {}, predict, predict)
    found = classify.build_arms(config, real, made, trainer, 2)
    return len(trained), {arm: len(of.images.label) for arm, of in found.items()}


def augmented_training(config):
    """What the arms' trainings are: without augmentation, mixup has no part in any."""
    section = config.classifier
    net = classifiers.build_net(section, 2)
    losses = [classifiers.build_loss(net)]
    if classifiers.any_arm(section, ", augmented"):
        losses.append(classifiers.build_augmented_loss(net, section.augment, 2))
    shapes = {
        "image": ((4, 1, 8, 8, 1), "uint8"),
        "label": ((4, 1), "int32"),
        "seed": ((4, 1), "int32"),
    }
    batch = {name: jnp.zeros(*shape) for name, shape in shapes.items()}
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1))))
    params = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape)), params)
    return [str(jax.make_jaxpr(loss)(params, batch, jax.random.key(0))) for loss in losses]


def colored(config):
    change = augmentation.build_augmentation(config.classifier.augment)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, config.data.channels))
    images = jnp.asarray(images, jnp.float32)
    return change(jax.random.split(jax.random.key(0), 2), images).tolist()


def exported(config):
    facts = {"extra": {"num_images": 6}}
    weights = denoising.Weights({})
    model = trained.Model(Silent(1, 2), weights, levels(config), ("a", "b"), facts)
    return labels_drawn.choose(config, model).tolist()


def divided(config):
    splits = datasets.build_splits(config.data, 0)
    return [split.labels.tolist() for split in splits]


def labelled_loss(config):
    return traced_loss(config, networks.build_net(config, NUM_CLASSES))


BARE = {"net.attention": ("none",), "net.unet.middle_attention": "none"}
ATTENDS = {"net.unet.attention_resolutions": (8,)}
STILL = {"classifier.augment.rotation": 0.0, "classifier.augment.shift": 0}
GUIDED = {"sampling.guidance_scale": 2.0}
# Field -> another value, fields that switch it off, fields that switch it on, and what is made.
SWITCHED = [
    ("augment.crop_ratio", 1.5, {}, {"augment.crop_scale": 0.5}, lambda c: augmented(c.augment)),
    ("augment.probability", 0.5, {}, {"augment.zoom": 1.5}, lambda c: augmented(c.augment)),
    ("classifier.augment.probability", 0.5, STILL, {}, lambda c: augmented(c.classifier.augment)),
    ("net.augment_condition", True, {}, {"augment.flip": True}, labelled_loss),
    ("classifier.augment.crop_ratio", 1.5, {}, {"classifier.augment.crop_scale": 0.5},
     lambda c: augmented(c.classifier.augment)),
    ("classifier.augment.mixup", 0.5, {}, {"classifier.arms": ("real", "real, augmented")},
     augmented_training),
    ("classifier.augment.saturation", 0.5, {"data.channels": 1}, {"data.channels": 3}, colored),
    ("classifier.copies", 2, {"classifier.arms": ("real",)}, {}, arms),
    ("classifier.ensemble.num", 3, {}, {"classifier.arms": ("real", "real, soft")}, arms),
    ("classifier.select", 0.0, {}, {"classifier.arms": ("real", "synthetic, selected")}, arms),
    ("classifier.synthetic_share", 0.5, {"classifier.arms": ("real", "synthetic")}, {}, arms),
    ("data.fold", 1, {}, {"data.num_folds": 2}, divided),
    ("export.num_images", 4, {"export.class_counts": (1, 2)}, {}, exported),
    ("loss.label_dropout", 0.5, {"net.class_conditional": False}, {}, labelled_loss),
    ("net.attention", ("linear_elu",), {}, ATTENDS, traced_net),
    ("net.num_heads", 2, {**BARE, "net.name": "double_conv"}, {"net.name": "double_conv"}, traced_net),
    ("net.num_heads", 2, {**BARE, "net.name": "patch"}, {"net.name": "patch"}, traced_net),
    ("net.num_heads", 2, BARE, {}, traced_net),
    ("net.num_heads", 2, {**BARE, **ATTENDS}, ATTENDS, traced_net),
    ("net.unet.head_channels", 2, BARE, {}, traced_net),
    ("net.unet.downsample_padding", 1, {"net.unet.resampling": "pool"}, {}, traced_net),
    ("net.unet.max_period", 9.0, {"net.unet.time_embedding": "mlp"}, {}, traced_net),
    ("net.unet.num_groups", 4, {"net.unet.norm": "rms"}, {}, traced_net),
    ("sampling.guidance_from", "next_class", {}, GUIDED, traced_sampler),
    ("sampling.guidance_interval", (0.1, 0.5), {}, GUIDED, traced_sampler),
]  # fmt: skip
# Read in the middle of a stage, or refused there: --mode=sweep measures nothing without images,
# --mode=evaluate no likelihood without images, and no features by two networks. The checkpoint of
# autoguidance is read where checkpoints are.
IN_STAGES = {
    "evaluation.features", "evaluation.likelihood_steps", "sampling.autoguidance_checkpoint",
    "sweep.num_noises", "sweep.num_seeds", "sweep.split"
}  # fmt: skip


def test_every_switch_is_looked_at():
    fields = {field for switch in options.SWITCHES for field in switch.fields}
    assert fields == {row[0] for row in SWITCHED} | IN_STAGES


@pytest.mark.parametrize(
    ("field", "value", "off", "on", "made"), SWITCHED, ids=[row[0] for row in SWITCHED]
)
def test_a_field_that_is_switched_off_changes_nothing(config, field, value, off, on, made):
    config.sweep.guidance_scales = ()
    for fields, reads in ((off, False), (on, True)):
        plain, other = (config.copy_and_resolve_references() for _ in range(2))
        plain.update_from_flattened_dict(fields)
        other.update_from_flattened_dict({**fields, field: value})
        assert (made(plain) != made(other)) == reads
        assert (options.unread(other, field) is None) == reads
