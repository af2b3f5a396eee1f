"""--mode=serve: what is asked is checked and answered."""

import re
import subprocess
import threading
import time

import numpy as np
import pytest
from tiny_run import ROOT, command, environment

import ddpm_jax
from ddpm_jax.jobs import serve
from ddpm_jax.serving import requests
from ddpm_jax.viz import pictures

SECONDS = 240
"""What one wait may take on a busy machine."""
ASKED = {"number": 3, "seed": 5, "steps": 2, "guidance": 1.0, "solver": "ddim"}


@pytest.fixture(scope="module")
def loaded(trained_once, module_compiled_quickly):
    return ddpm_jax.load(trained_once)


@pytest.fixture
def offer(loaded):
    return serve.what_is_offered(loaded.config, loaded._model)


@pytest.fixture
def ask(loaded, offer):
    return requests.build(loaded, offer)


def test_the_grid_is_that_of_the_models_samples(loaded, ask):
    """Drawn by another `Model`, of the same work directory."""
    wanted = loaded.sample([4, 4, 4], seed=5, steps=2, guidance=2.0, solver="ancestral")
    found = ask.sample("4", 3.0, 5, 2, 2.0, "ancestral")
    np.testing.assert_array_equal(found, pictures.grid(wanted))
    every = loaded.sample([*range(10), 0, 1], seed=5, steps=2)
    captions = [*"012345678901"]
    found = ask.sample(requests.EVERY_CLASS, 12, 5, 2, 1.0, "ddim")
    np.testing.assert_array_equal(found, pictures.grid(every, captions=captions))


def test_another_seed_and_class_compile_nothing(model, compiled):
    fresh = ddpm_jax.load(model)
    ask = requests.build(fresh, serve.what_is_offered(fresh.config, fresh._model))
    real = np.zeros((8, 8, 3), np.uint8)
    new = requests.part("left half", 8)
    for seed, name in enumerate("012"):
        compiled.clear()
        ask.sample(name, 2, seed, 2, 1.0, "ddim")
        ask.animate(name, 2, seed, 2, 1.0, "ddim")
        ask.denoise(real, name, 0.5, seed, 2)
        ask.inpaint(real, new, name, 1, seed, 2)
        assert bool(compiled) == (seed == 0)


def test_the_animation_goes_from_noise_to_the_grid(ask):
    given = (requests.EVERY_CLASS, 2, 1, 4, 1.0, "ddim")
    frames = ask.animate(*given)
    assert len(frames) == 5
    difference = np.abs(frames[-1].astype(int) - ask.sample(*given))
    assert difference.max() <= 1
    assert (frames[0] != frames[-1]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": 65}, "the number of images is 65; wanted a number from 1 to 64"),
        ({"number": 0}, "the number of images is 0; wanted"),
        ({"number": 2.5}, "the number of images is 2.5; wanted a whole number"),
        ({"number": None}, "the number of images is None; wanted a number"),
        ({"number": "many"}, "the number of images is 'many'; wanted a number"),
        ({"number": True}, "the number of images is True"),
        ({"seed": -1}, "the seed is -1; wanted a number from 0 to 2147483647"),
        ({"seed": float("nan")}, "the seed is nan"),
        ({"steps": 21}, "the number of steps is 21; wanted a number from 1 to 20"),
        ({"guidance": 11.0}, "the guidance scale is 11.0; wanted a number from 0 to 10"),
        ({"solver": "euler"}, "the solver is 'euler'; wanted one of ancestral, ddim"),
        ({"name": "ten"}, "the class is 'ten'; wanted one of all, in turn, 0, 1"),
    ],
)
def test_bad_input_is_refused_in_words(ask, change, message):
    given = {"name": "3"} | ASKED | change
    for what in (ask.sample, ask.animate):
        with pytest.raises(ValueError, match=re.escape(message)):
            what(*given.values())


def test_a_real_image_comes_in_any_size_and_its_known_part_stays(ask, loaded):
    """The colors of a picture are the model's pixels, each a square of 8 x 8."""
    real = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
    big = np.broadcast_to(real, (8, 8, 3)).repeat(40, axis=0).repeat(40, axis=1)
    drawn = np.zeros((320, 320), bool)
    drawn[:, 160:] = True
    small = ask.inpaint(real, requests.part("right half", 8), "3", 1, 0, 2)
    np.testing.assert_array_equal(ask.inpaint(real, drawn, "3", 1, 0, 2), small)
    known = loaded.inpaint(real[None], [3], ~requests.part("right half", 8), resamples=1, steps=2)
    np.testing.assert_array_equal(known[:, :, :4], real[None, :, :4])
    np.testing.assert_array_equal(
        ask.denoise(big, "3", 0.5, 0, 2), ask.denoise(real, "3", 0.5, 0, 2)
    )
    wide = ask.denoise(big[:, 20:300], "3", 0.5, 0, 2)
    assert wide.shape == ask.denoise(real, "3", 0.5, 0, 2).shape


@pytest.mark.parametrize(
    ("image", "new", "name", "message"),
    [
        (None, np.ones((8, 8), bool), "3", "there is no image; upload one"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool), "3", "nothing is drawn"),
        (np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), "ten", "the class is 'ten'"),
    ],
)
def test_an_image_that_cannot_be_changed_is_refused(ask, image, new, name, message):
    with pytest.raises(ValueError, match=message):
        ask.inpaint(image, new, name, 1, 0, 2)
    with pytest.raises(ValueError, match="the share of the noise is 2; wanted"):
        ask.denoise(np.zeros((8, 8, 3), np.uint8), "3", 2, 0, 2)
    with pytest.raises(ValueError, match="the part is 'hat'; wanted one of left half"):
        requests.part("hat", 8)


def test_parts_are_where_their_names_say():
    assert requests.part("left half", 4)[0].tolist() == [True, True, False, False]
    assert requests.part("bottom half", 4)[:, 0].tolist() == [False, False, True, True]
    assert requests.part("center", 4).sum() == 4 and requests.part("center", 4)[1, 1]


def test_what_the_network_was_not_trained_for_is_not_offered(config, loaded):
    model = loaded._model
    assert serve.what_is_offered(config, model).guided
    config.loss.label_dropout = 0.0
    offer = serve.what_is_offered(config, model)
    assert not offer.guided and "consistency" not in offer.solvers
    with pytest.raises(ValueError, match="not trained to be guided: wanted 1"):
        requests.build(loaded, offer).sample("3", 1, 0, 2, 2.0, "ddim")
    config.loss.kind = "consistency"
    assert "consistency" in serve.what_is_offered(config, model).solvers
    unlabelled = model._replace(net=model.net.clone(num_classes=0))
    assert serve.what_is_offered(config, unlabelled).class_names == ()
    config.serve.max_steps = 3
    assert serve.what_is_offered(config, model).steps == 3


def test_one_request_at_a_time_is_at_the_model(loaded, offer, monkeypatch):
    inside, most = [], []

    def sample(labels, **asked):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return np.zeros((len(labels), 8, 8, 1), np.uint8)

    monkeypatch.setattr(loaded, "sample", sample)
    ask = requests.build(loaded, offer)
    threads = [threading.Thread(target=ask.sample, args=("3", *ASKED.values())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert most == [1, 1, 1, 1]


def test_a_page_of_nothing_is_refused(config, tmp_path):
    config.serve.max_images = 0
    with pytest.raises(ValueError, match=r"serve\.max_images is 0; wanted at least 1"):
        serve.run(config, tmp_path)


def test_without_gradio_one_line_names_the_extra(model):
    """A module that stands in its place cannot be imported."""
    (model / "gradio.py").write_text("raise ImportError('not installed')\n")
    run = subprocess.run(
        command("--mode=serve", f"--workdir={model}"),
        env=environment(1) | {"PYTHONPATH": str(model)},
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert run.returncode == 2
    assert 'pip install "ddpm_jax[serve]"' in run.stderr and "Traceback" not in run.stderr
