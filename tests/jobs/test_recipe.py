"""Generators of small sets: told of augmentation, guided by an earlier one, from real images."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from ddpm_jax import run_files, rundir
from ddpm_jax.assembly import datasets, denoising
from ddpm_jax.jobs import export, train
from ddpm_jax.models import starting_images, trained
from ddpm_jax.training import checkpoints, manifest


def images(workdir):
    with np.load(rundir.synthetic(workdir), allow_pickle=False) as made:
        return made["image"], made["label"]


@pytest.mark.usefixtures("compiled_quickly")
def test_a_network_that_is_told_is_trained_and_drawn_from(config, tmp_path):
    config.augment.shift, config.augment.rotation, config.augment.probability = 1, 10.0, 0.5
    config.net.augment_condition, config.training.keep_every = True, 3
    train.run(config, tmp_path)
    model = trained.load_model(config, rundir.checkpoints(tmp_path))
    kernel = model.weights.net["params"]["conditioning"]["changes"]["map"]["kernel"]
    assert kernel.shape[0] == 3 and np.any(np.asarray(kernel), axis=1).all()
    assert export.run(config, tmp_path)["num_images"] == 100
    config.net.augment_condition = False
    with pytest.raises(ValueError, match=r"net\.augment_condition: was True, is False"):
        export.run(config, tmp_path)


def autoguided(config, checkpoint, scale=2.0):
    config.sampling.autoguidance_scale = scale
    config.sampling.autoguidance_checkpoint = checkpoint
    return config


def test_an_earlier_checkpoint_guides_and_is_noted_as_a_file(config, model, capsys):
    """The tiny run has checkpoints of steps 3 and 6."""
    plain = export.run(config, model)["image_sha256"]
    made = export.run(autoguided(config, "3"), model)
    assert made["image_sha256"] != plain and made["checkpoint"] == 6
    assert made["reads"]["files"][run_files.BAD]
    weights = trained.load_model(config, rundir.checkpoints(model)).weights
    target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), weights.net)
    third = checkpoints.restore_params(rundir.checkpoints(model), target, step=3).params
    jax.tree.map(np.testing.assert_array_equal, weights.bad, third)
    export.run(config, model)
    assert "[export] up to date" in capsys.readouterr().out
    folder = rundir.checkpoints(model) / "3"
    facts = manifest.read(folder)
    manifest.write(folder, facts | {"extra": facts["extra"] | {"num_images": 1}})
    export.run(config, model)
    assert f"(the {run_files.BAD} is another one)" in capsys.readouterr().out
    assert export.run(autoguided(config, "", scale=1.0), model)["image_sha256"] == plain


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("5", FileNotFoundError, "no checkpoint of step 5 .*there are 3, 6; .*training.keep_every"),
        ("", ValueError, "is '', wanted the step of another checkpoint .*; there are 3, 6"),
        ("6", ValueError, "is '6', wanted the step of another checkpoint .*; there are 3, 6"),
    ],
)
def test_a_checkpoint_that_cannot_guide_is_refused(config, model, wanted, error, message):
    with pytest.raises(error, match=message):
        export.run(autoguided(config, wanted), model)


def test_images_start_from_real_ones_of_their_class(config, model):
    """From t = 2 of 20 the nearest training image is the one that an image started from."""
    config.export.start, config.sampling.num_steps = 0.1, 20
    found = {}
    for size in (64, 24):  # 100 images in batches of two sizes
        config.sampling.batch_size = size
        rundir.result_path(model, "export").unlink(missing_ok=True)
        export.run(config, model)
        found[size], labels = images(model)
    np.testing.assert_array_equal(found[64], found[24])
    train = datasets.build_splits(config.data, config.seed).train
    rows = starting_images.rows(labels, train.labels, config.seed)
    np.testing.assert_array_equal(train.labels[rows], labels)
    made, real = (x.reshape(len(x), -1).astype(float) for x in (found[64], train.images))
    nearest = np.square(made[:, None] - real[None]).sum(-1).argmin(1)
    assert (nearest == rows).mean() > 0.9
    config.export.num_images = 37
    export.run(config, model)
    np.testing.assert_array_equal(images(model)[0], found[64][:37])


def test_real_images_take_turns():
    real = np.array([0] * 3 + [1] * 5, np.int32)
    labels = (np.arange(26) % 2).astype(np.int32)
    rows = starting_images.rows(labels, real, 0)
    np.testing.assert_array_equal(real[rows], labels)
    uses = np.bincount(rows, minlength=8)
    assert sorted(uses[:3]) == [4, 4, 5] and sorted(uses[3:]) == [2, 2, 3, 3, 3]
    np.testing.assert_array_equal(starting_images.rows(labels[:11], real, 0), rows[:11])
    assert not np.array_equal(starting_images.rows(labels, real, 1), rows)
    with pytest.raises(ValueError, match="class 2 has no training image"):
        starting_images.rows(np.array([2], np.int32), real, 0)


class Net(nn.Module):
    num_classes: int


@pytest.mark.parametrize(
    ("start", "num_classes", "message"),
    [
        (0.0, 10, r"export\.start is 0; it must be above 0 and at most 1"),
        (1.5, 10, r"export\.start is 1\.5; it must be above 0 and at most 1"),
        (0.5, 0, r"the model is unconditional .* with 10 classes"),
        (0.5, 10, r"not those of the training: SHA-256 was abc, is "),
    ],
)
def test_what_cannot_start_from_real_images_is_refused(config, start, num_classes, message):
    facts = {"extra": {"data_sha256": "abc"}}
    table = denoising.build_levels(config.schedule)
    model = trained.Model(Net(num_classes), denoising.Weights({}), table, (*"0123456789",), facts)
    labels = np.arange(10, dtype=np.int32)
    config.export.start = start
    with pytest.raises(ValueError, match=message):
        starting_images.choose(config, model, labels)
    config.export.start = 1.0
    assert starting_images.choose(config, model, labels) is None
