"""What `budget.minutes` decides: from given seconds, kept, taken up again; no clock is waited for."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import TINY, tiny

from configs import default, own
from ddpm_jax import rundir, view
from ddpm_jax.assembly import datasets, networks, options
from ddpm_jax.jobs import train
from ddpm_jax.planning import budget, ladder, shares, timings
from ddpm_jax.types import Trainer

MEASURED = shares.Measured(
    step=0.3, call=0.002, compiling=10.0, save=0.6, classifier_begin=0.5, classifier_step=0.02, feature=0.001,
    num_train=700, num_validation=80, num_test=200, num_classes=4,
)  # fmt: skip
FACTS = shares.Facts(
    num_fits=5, own_features=True, grid=40, calls=1, most_solver_steps=1000,
    warmups=(200, 50), together=False,
)  # fmt: skip
QUICK = MEASURED._replace(step=1e-3, call=1e-5, compiling=0.0, classifier_step=1e-3, num_classes=10)


def decide(minutes, measured=MEASURED, facts=FACTS, named=None):
    return shares.decide(60 * minutes, 20.0, measured, facts, named or {})


@pytest.mark.parametrize("minutes", [5, 20, 60, 600])
@pytest.mark.parametrize("step", [0.03, 0.3, 1.0])
def test_the_parts_fill_the_budget_and_do_not_exceed_it(minutes, step):
    fields, split = decide(minutes, MEASURED._replace(step=step, call=step / 150))
    assert 0.93 * 60 * minutes < sum(split.values()) <= 60 * minutes + 1
    assert split["training"] > split["export"] and min(split.values()) > 0
    assert fields["optim.warmup_steps"] < fields["training.num_steps"]
    assert fields["classifier.warmup_steps"] < fields["classifier.num_steps"]
    # A checkpoint is "best" only if its step was evaluated.
    assert fields["training.eval_every"] == fields["training.save_every"]
    assert fields["training.num_steps"] % fields["training.save_every"] == 0


def test_an_hour_by_hand():
    """3,600 s. Rest: 20 + 15 + 10 + 3 * 10 = 75; evaluation 20 + 2 * 0.001 * 1,100 = 22.2; 8 for the
    start of the classifiers. Left: 3,494.8, of which 1,048.44 are for 26 classifiers: 40.32 s each, 1,991
    steps. 524.22 s are 262,110 calls of the network for an image: 10,484 images in 25 steps, which is
    more than ten for each real one."""
    fields, split = decide(60)
    assert (fields["classifier.num_seeds"], fields["classifier.num_steps"]) == (5, 1990)
    assert (fields["sampling.num_steps"], fields["export.num_images"]) == (25, 7000)
    export, grid, fit = 7000 * 25 * 0.002, 40 * 25 * 0.002, 0.5 + 1990 * 0.02
    beside = 5 * (0.6 + 0.002 * 80)
    left = 3494.8 - 26 * fit - export - 3 * grid - beside
    steps = int(left / 0.3) // 5 * 5
    assert fields["training.num_steps"] == steps
    assert fields["training.sample_every"] == steps // 2
    assert fields["optim.ema_decay"] == pytest.approx(1 - 10 / steps, abs=1e-5)
    assert split["export"] == pytest.approx(export)
    assert split["classifiers"] == pytest.approx(25 * fit + 8)
    assert split["evaluation"] == pytest.approx(22.2 + fit)


@pytest.mark.parametrize("minutes", [1, 5, 20, 60])
def test_an_arm_has_three_classifiers_at_least(minutes):
    """The interval of two is 12.7 standard errors, that of three 4.3."""
    fields, _ = decide(minutes, MEASURED._replace(classifier_step=0.2))
    assert fields["classifier.num_seeds"] >= 3


def test_what_a_network_call_takes_decides_how_many_images_are_drawn():
    few, many = (
        decide(60, MEASURED._replace(call=call))[0]["export.num_images"] for call in (0.008, 0.004)
    )
    assert 700 < few < many < 7000


def test_what_is_too_small_for_anything_still_gives_a_run():
    fields, split = decide(1)
    assert fields["training.num_steps"] == 10 and fields["sampling.num_steps"] == 12
    assert fields["export.num_images"] == 40 and fields["classifier.num_seeds"] == 3
    assert sum(split.values()) > 60


def test_fields_that_are_set_are_paid_for_and_left_alone():
    named = {"sampling.num_steps": 10, "classifier.num_steps": 100, "classifier.num_seeds": 1,
             "export.num_images": 100}  # fmt: skip
    fields, split = decide(60, named=named)
    assert not set(named) & set(fields)
    assert split["export"] == pytest.approx(100 * 10 * 0.002)
    assert split["classifiers"] == pytest.approx(5 * (0.5 + 100 * 0.02) + 8)
    assert fields["training.num_steps"] > decide(60)[0]["training.num_steps"]
    _, split = decide(60, named={"training.num_steps": 100})
    assert split["training"] < 100


def test_seeds_that_are_trained_together_are_not_decided_for():
    """An arm costs one training, whose seconds were measured with the config's number of seeds."""
    measured = MEASURED._replace(classifier_step=2.0)
    fields, split = decide(60, measured, FACTS._replace(together=True))
    assert "classifier.num_seeds" not in fields
    each = 0.5 + 2.0 * fields["classifier.num_steps"]
    assert split["classifiers"] == pytest.approx(5 * each + 8)


def test_the_work_of_a_network_by_hand():
    """2x2 pixels, widths 1 and 2: stem and head 144, first block 144, down 18, up 288, second block 112,
    middle 288, four blocks of the decoder 232, 192, 312 and 232."""
    assert ladder.gflop_forward(ladder.Rung(1, 1, 1), 2, 1) == pytest.approx(1962e-9)


SIDES = (8, 12, 16, 28, 32, 48, 64)


@pytest.mark.parametrize("side", SIDES)
def test_every_rung_is_a_network_for_its_images_and_larger_than_the_one_before(side):
    works = [ladder.gflop_forward(rung, side, 3) for rung in ladder.rungs(side)]
    assert works == sorted(works) and len(works) > 2
    for rung in ladder.rungs(side):
        config = own.get_config()
        config.data.image_size = side
        config = budget.with_fields(config, budget.network(config, rung, set()), ())
        assert config.net.unet.attention_resolutions == (side // rung.patch_size // 2,)
        net = networks.build_net(config, 3)
        x = jnp.zeros((1, side, side, 3))
        t, label = jnp.ones(1), jnp.zeros(1, jnp.int32)
        shape = jax.eval_shape(net.init_with_output, jax.random.key(0), x, t, label)[0].shape
        assert shape == x.shape


def test_more_time_or_a_faster_machine_chooses_a_larger_network():
    known = ladder.rungs(32)
    chosen = [known.index(ladder.choose(32, 3, s, 150.0)) for s in (1, 900, 1800, 10_000, 1e6)]
    assert chosen == sorted(chosen) and chosen[0] == 0 and chosen[-1] == len(known) - 1
    assert ladder.choose(32, 3, 900.0, 300.0) == ladder.choose(32, 3, 1800.0, 150.0)


def test_images_of_an_odd_side_are_refused():
    with pytest.raises(ValueError, match=r"wants? even|even sides, data\.image_size is 9"):
        ladder.rungs(9)


def test_the_speed_of_the_machine_is_that_of_the_fastest_call():
    calls = ([t, t + d] for t, d in ((1.0, 0.5), (2.0, 0.25), (3.0, 1.0)))
    ticks = itertools.chain([0.0], *calls, [5.0])
    speed = budget.gflop_per_second(0.0, clock=lambda: next(ticks), fewest=3)
    assert speed == pytest.approx(2e-9 * 16 * 32 * 32 * 9 * 64 * 64 / 0.25)


@pytest.fixture
def measured(monkeypatch):
    """Counts the measurements, which are given."""
    calls = []

    def given(config, workdir, seconds):
        calls.append(config)
        return QUICK

    monkeypatch.setattr(budget, "time_parts", given)
    monkeypatch.setattr(budget, "gflop_per_second", lambda seconds: 100.0)
    return calls


def budgeted(minutes=1.0):
    config = tiny()
    config.budget.minutes = minutes
    return config


NAMED = sorted(set(TINY) - {"training.num_steps", "sampling.num_steps", "classifier.num_steps"})


def apply(config, workdir, named=NAMED, measures=True):
    return budget.apply(config, workdir, named, measures=measures)


def test_without_a_budget_nothing_is_decided(tmp_path, measured):
    config = tiny()
    assert apply(config, tmp_path) is config
    assert not measured and not list(tmp_path.iterdir())


def test_a_decision_is_printed_and_kept_with_what_it_was_made_from(
    on_all_devices, tmp_path, measured, capsys
):
    config = apply(budgeted(), tmp_path, named=())
    kept = json.loads((tmp_path / "results/budget.json").read_text())
    for name, value in kept["fields"].items():
        assert json.loads(json.dumps(view.field(config, name))) == value
    assert kept["made_from"] == {"gflop_per_second": 100.0, **QUICK._asdict()}
    assert sum(kept["seconds"].values()) == pytest.approx(kept["promised_seconds"])
    lines = capsys.readouterr().out.splitlines()
    assert 5 <= len(lines) <= 6 and all(line.startswith("[budget] ") for line in lines)
    assert "1 minutes; this machine does 100 GFLOP/s, 1e+03 training steps/s" in lines[0]
    assert "training " in lines[3] and "classifiers " in lines[3]


@pytest.mark.parametrize(
    ("machine", "said"),
    [(("cpu", 1, 4), 1), (("cpu", 2, 4), 0), (("cpu", 1, 1), 0), (("gpu", 1, 4), 0)],
)
def test_cores_that_would_stay_idle_are_named(machine, said):
    found = budget.hints(*machine)
    assert len(found) == said and all("4 processor cores" in line for line in found)


def test_attention_and_groups_fit_to_a_network_that_is_partly_named():
    config = tiny()
    config.net.base_channels, config.net.multipliers = 24, (1, 1, 2)
    found = budget.network(config, ladder.Rung(1, 32, 1), {"net.base_channels", "net.multipliers"})
    assert found["net.unet.num_groups"] == 8
    assert found["net.unet.attention_resolutions"] == (2,)


def test_only_fields_that_the_command_line_names_stay(tmp_path, measured):
    asked = budgeted()
    asked.net.base_channels = 24
    config = apply(asked, tmp_path, named={"net.base_channels"})
    assert config.net.base_channels == 24 and "net.base_channels" not in kept_fields(tmp_path)
    assert config.training.num_steps != tiny().training.num_steps
    assert measured[0].net.base_channels == 24  # and what is timed is that network
    assert asked.training.num_steps == tiny().training.num_steps  # another config's


def kept_fields(workdir):
    return json.loads((workdir / "results/budget.json").read_text())["fields"]


def test_a_kept_decision_is_used_until_the_config_changes(tmp_path, measured):
    first = apply(budgeted(), tmp_path)
    again = apply(budgeted(), tmp_path)
    assert again.to_dict() == first.to_dict() and len(measured) == 1
    assert apply(budgeted(), tmp_path, measures=False).to_dict() == first.to_dict()
    apply(budgeted(2.0), tmp_path)
    apply(budgeted(2.0), tmp_path, named=[*NAMED, "training.num_steps"])
    assert len(measured) == 3


def test_without_a_decision_and_without_leave_to_measure_the_config_stays(tmp_path, measured):
    config = budgeted()
    assert apply(config, tmp_path, measures=False) is config and not measured


@pytest.mark.usefixtures("compiled_quickly")
def test_a_run_has_the_decided_config_and_resumes_with_it(tmp_path, measured, monkeypatch):
    slow = QUICK._replace(step=1e6)  # the fewest steps
    monkeypatch.setattr(budget, "time_parts", lambda *arguments: slow)
    config = apply(budgeted(), tmp_path)
    train.run(config, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())["config"]
    assert written == json.loads(json.dumps(config.to_dict(), default=rundir.as_json))
    assert written["training"]["num_steps"] == kept_fields(tmp_path)["training.num_steps"] == 10

    def forbidden(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(budget, "time_parts", forbidden)
    changed = budgeted()
    changed.classifier.num_seeds = 1  # the model does not depend on it
    again = apply(changed, tmp_path, named=[*NAMED, "classifier.num_seeds"])
    assert again.training.num_steps == 10 and again.classifier.num_seeds == 1
    before = (tmp_path / "results/train.json").read_bytes()
    train.run(again, tmp_path)
    assert (tmp_path / "results/train.json").read_bytes() == before
    with pytest.raises(ValueError, match=r"budget\.minutes: was 1\.0, is 2\.0"):
        apply(budgeted(2.0), tmp_path)


def test_a_model_that_was_trained_without_a_budget_gets_none(model, measured):
    with pytest.raises(ValueError, match=r"budget\.minutes: was 0\.0, is 1\.0"):
        apply(budgeted(), model)
    assert not measured


@pytest.mark.parametrize("minutes", [-1.0, float("nan")])
def test_a_budget_is_a_positive_number(tmp_path, measured, minutes):
    with pytest.raises(ValueError, match="wanted a positive number"):
        apply(budgeted(minutes), tmp_path)


def test_several_processes_do_not_measure(tmp_path, measured, monkeypatch):
    monkeypatch.setattr(budget.devices, "num_processes", lambda: 2)
    with pytest.raises(ValueError, match="one process, not in 2; run --mode=plan"):
        apply(budgeted(), tmp_path)


def test_a_run_that_does_not_fit_says_so(tmp_path, measured, capsys):
    config = budgeted(0.1)
    apply(config, tmp_path)
    assert "that is more than the budget" in capsys.readouterr().out


def test_what_is_timed_is_the_run_itself(tmp_path):
    """Of the tiny config, in as little time as it goes."""
    config = tiny()
    found = budget.time_parts(config, tmp_path, 0.01)
    assert (found.num_train, found.num_validation, found.num_test) == (1258, 180, 359)
    assert not list(tmp_path.iterdir())
    assert found.num_classes == 10 and found.compiling > 0
    assert (
        min(found.step, found.call, found.save, found.feature) > 0 and found.classifier_begin >= 0
    )
    facts = budget.facts(config)
    assert facts.grid == 20 and facts.calls == 1 and facts.num_fits == 5 and facts.own_features
    config.sampling.solver, config.sampling.guidance_scale = "heun", 2.0
    assert budget.facts(config).calls == 4
    config.sampling.guidance_scale, config.sampling.autoguidance_scale = 1.0, 2.0
    assert budget.facts(config).calls == 4 and budget.facts(config).num_ensemble == 0
    config.classifier.arms, config.classifier.ensemble.num = ("real", "synthetic, soft"), 7
    assert budget.facts(config).num_ensemble == 7


def test_images_that_are_counted_by_class_are_paid_for_and_left_alone(tmp_path, measured, capsys):
    config = budgeted()
    config.export.class_counts = (1000,) + (0,) * 9
    config = apply(config, tmp_path, named=())
    counted = json.loads((tmp_path / "results/budget.json").read_text())
    assert "export.num_images" not in counted["fields"]
    assert "export: 1,000 images in" in capsys.readouterr().out
    other = budgeted()
    other.export.num_images = 1000
    other.sampling.num_steps = config.sampling.num_steps
    apply(other, tmp_path / "other", named=("export.num_images", "sampling.num_steps"))
    paid = json.loads((tmp_path / "other/results/budget.json").read_text())["seconds"]["export"]
    assert counted["seconds"]["export"] == pytest.approx(paid, rel=1e-3)


def test_the_ensemble_takes_its_share_of_the_classifiers_time():
    def classifiers(num):
        fields, split = decide(60, facts=FACTS._replace(num_ensemble=num))
        return fields["classifier.num_steps"], split["classifiers"]

    (steps, seconds), (fewer, likewise) = classifiers(0), classifiers(10)
    assert fewer < steps and likewise == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize(
    ("arm", "augmented"),
    [("synthetic", False), ("real, augmented", True), ("real+synthetic, real augmented", True)],
)
def test_classifiers_are_timed_with_augmentation_if_an_arm_has_it(monkeypatch, arm, augmented):
    asked, config = [], tiny()

    def fit(images, labels, seeds, num_steps, *, augmented):
        asked.append(augmented)
        return {}

    def features(params, images):
        return np.zeros((1, len(images), 3))

    trainer = Trainer(fit, features, features)
    monkeypatch.setattr(timings.classifiers, "build_trainer", lambda *arguments: trainer)
    config.classifier.arms = ("real", arm)
    train = datasets.build_splits(config.data, config.seed).train
    assert timings.classifier_seconds(config, train, 0.0).num_features == 3
    assert set(asked) == {augmented}


def test_the_fields_that_are_decided_exist_and_are_read():
    decided = budget.network(own.get_config(), ladder.rungs(32)[0], set()) | decide(60)[0]
    known = dict(view.leaves(default.get_config()))
    assert set(decided) <= set(known)
    config = budget.with_fields(own.get_config(), decided, ())
    options.check(config, dict.fromkeys(decided, ""))
