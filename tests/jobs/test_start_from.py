"""`training.start_from`: a consistency tuning of the tiny run, which begins with its averaged weights."""

import json
import shutil

import pytest

from ddpm_jax.jobs import train
from ddpm_jax.training import fingerprint

pytestmark = pytest.mark.usefixtures("on_one_device")


@pytest.fixture
def tuning(config, model):
    config.training.start_from = str(model)
    config.loss.kind = "consistency"
    config.training.sample_every = 1000
    return config


def test_a_tuning_starts_from_the_averaged_weights_and_resumes_without_them(
    tuning, model, tmp_path, monkeypatch
):
    began, take_steps = [], train.take_steps

    def watched(config, parts, files, paint, begin, *rest):
        began.append([fingerprint.sha256(tree) for tree in (begin.params, begin.ema_params)])
        return take_steps(config, parts, files, paint, begin, *rest)

    monkeypatch.setattr(train, "take_steps", watched)
    workdir = tmp_path / "tuned"
    whole = train.run(tuning, workdir)
    averaged = json.loads((model / "results/train.json").read_text())["ema_sha256"]
    assert began[0] == [averaged, averaged]
    assert whole["resumed_at"] == 0 and whole["params_sha256"] != averaged
    shutil.rmtree(workdir / "checkpoints/6")
    (workdir / "results/train.json").unlink()
    model.rename(tmp_path / "elsewhere")
    again = train.run(tuning, workdir)
    assert again["resumed_at"] == 3
    for name in ("params_sha256", "ema_sha256", "validation_loss"):
        assert again[name] == whole[name]


def test_a_start_without_a_checkpoint_or_of_another_network_is_refused(tuning, tmp_path):
    base = tuning.training.start_from
    tuning.training.start_from = str(tmp_path / "nothing")
    with pytest.raises(
        FileNotFoundError, match="nothing/checkpoints holds no checkpoint; training"
    ):
        train.run(tuning, tmp_path / "a")
    tuning.training.start_from, tuning.net.base_channels = base, 4
    with pytest.raises(ValueError, match="checkpoint 6"):
        train.run(tuning, tmp_path / "b")
