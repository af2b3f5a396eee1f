"""--mode=export_weights and --mode=import on a run: what leaves comes back."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from tiny_run import ROOT, quick_environment, with_quick_modes

import ddpm_jax
from configs import default
from ddpm_jax import rundir
from ddpm_jax.assembly import denoising, networks
from ddpm_jax.jobs import (
    denoise,
    evaluate,
    export,
    export_weights,
    import_weights,
    inpaint,
    interpolate,
    reconstruct,
    report,
    sample,
    train,
)
from ddpm_jax.models import labels_drawn, starting_images, trained
from ddpm_jax.reporting import samples

pytestmark = pytest.mark.usefixtures("module_compiled_quickly")


@pytest.fixture
def exported(config, model):
    """The work directory of a tiny run on digits, with its weights in diffusers' format."""
    export_weights.run(config, model)
    return model


def test_a_run_that_is_exported_and_imported_draws_the_same_images(exported, tmp_path):
    folder = exported / "diffusers"
    assert json.loads((folder / "unet/config.json").read_text())["num_class_embeds"] == 11
    assert "Label 10 is the null class" in (folder / "README.md").read_text()
    import_weights.run(default.get_config(), tmp_path / "imported", folder)
    before, after = ddpm_jax.load(exported), ddpm_jax.load(tmp_path / "imported")
    assert after.class_names == before.class_names
    ours, back = (jax.tree.leaves(m._model.weights.net) for m in (before, after))
    assert max(np.abs(a - b).max() for a, b in zip(ours, back, strict=True)) < 1e-6
    after.config.sampling.update(before.config.sampling)
    one, other = (m.sample([3, 1], steps=3, guidance=2.0) for m in (before, after))
    assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_an_exported_folder_that_is_unchanged_is_not_made_again(config, exported, capsys):
    export_weights.run(config, exported)
    assert "[export_weights] up to date" in capsys.readouterr().out


def run(*flags):
    words = [sys.executable, "-m", "ddpm_jax.main", *flags]
    done = subprocess.run(words, env=quick_environment(), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_imported_weights_are_used_by_the_documented_commands(exported, tmp_path):
    workdir = tmp_path / "imported"
    run("--mode=import", f"--from={exported / 'diffusers'}", f"--workdir={workdir}")
    where = [f"--config={workdir / 'config.py'}", f"--workdir={workdir}"]
    few = ["--config.export.num_images=20", "--config.sampling.num_steps=2"]
    run("--mode=export", *where, *few)
    assert np.load(rundir.synthetic(workdir))["image"].shape == (20, 8, 8, 1)


@pytest.mark.slow
def test_imported_weights_are_sampled_measured_edited_and_tuned(exported, config, tmp_path):
    workdir = tmp_path / "imported"
    import_weights.run(default.get_config(), workdir, exported / "diffusers")
    ours = ddpm_jax.load(workdir).config
    few = ("export", "evaluation", "editing", "classifier")
    for name in few:
        ours[name].update(with_quick_modes(config)[name])
    ours.sampling.num_steps, ours.sampling.images_per_class, ours.sampling.batch_size = 2, 2, 20
    for job in (sample, export, evaluate, denoise, inpaint, interpolate, reconstruct):
        job.run(ours, workdir)
    assert {path.name for path in (workdir / "figures").iterdir()} >= {
        "denoise.png", "inpaint.png", "interpolate.png", "reconstruct.png",
    }  # fmt: skip
    assert np.isfinite(rundir.result(workdir, "evaluate")["frechet_conv4"]["value"])
    report.run(ours, workdir)
    assert "Drawn from the weights of diffusers in 2 steps" in (workdir / "report.html").read_text()

    ours.training.update(config.training)
    ours.training.start_from, ours.training.num_steps = str(workdir), 6
    ours.training.sample_every = 1000
    ours.optim.warmup_steps = 2
    tuned = train.run(ours, tmp_path / "tuned")
    imported = ddpm_jax.load(workdir)._model.weights.net
    after = ddpm_jax.load(tmp_path / "tuned")._model.weights.net
    gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), imported, after)
    assert 0 < max(jax.tree.leaves(gaps)) < 0.1  # it went on from there
    assert np.isfinite(tuned["validation_loss"])


@pytest.fixture
def unconditional(config):
    """An imported model without labels; nothing is known of the images that it was trained on."""
    facts = {"extra": {"class_names": ("all",), "imported_from": "theirs"}}
    net, table = networks.build_net(config, 0), denoising.build_levels(config.schedule)
    return trained.Model(net, denoising.Weights({}), table, ("all",), facts)


def test_how_many_images_an_imported_model_draws_has_to_be_said(config, unconditional):
    assert len(labels_drawn.choose(config, unconditional)) == 100
    config.export.num_images = 0
    with pytest.raises(ValueError, match=r"an imported run does not know .*set export\.num_images"):
        labels_drawn.choose(config, unconditional)


def test_images_of_an_imported_model_do_not_start_from_real_ones(config, unconditional):
    config.export.start = 0.5
    with pytest.raises(ValueError, match=r"start is 0\.5, and an imported run does not know which"):
        starting_images.choose(config, unconditional, np.zeros(3, np.int32))


def test_real_images_on_their_way_into_noise_have_their_own_names(
    config, unconditional, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(samples, "draw_forward", lambda *given: drawn.append(given))
    sample.save_forward(tmp_path / "forward.png", config, unconditional.table)
    ((_, _, _, names),) = drawn
    assert len(names) == 3 and set(names) <= set("0123456789")


def test_imported_weights_are_not_trained_in_their_own_folder(exported, tmp_path):
    import_weights.run(default.get_config(), tmp_path / "imported", exported / "diffusers")
    config = ddpm_jax.load(tmp_path / "imported").config
    with pytest.raises(rundir.Inapplicable, match=r"imported from diffusers; .*start_from="):
        train.run(config, tmp_path / "imported")
    with pytest.raises(ValueError, match="holds a run already; give another --workdir"):
        import_weights.run(default.get_config(), tmp_path / "imported", exported / "diffusers")
