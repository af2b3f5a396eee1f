"""What --mode=plan says, against counts by hand and against what the chain then leaves behind."""

import functools
import json
import re
import types

import jax
import numpy as np
import pytest
from tiny_run import tiny

from ddpm_jax import units
from ddpm_jax.assembly import denoising, training
from ddpm_jax.jobs import plan
from ddpm_jax.models import trained
from ddpm_jax.planning import durations, fits, requirements, timings
from ddpm_jax.reporting import plans
from ddpm_jax.training import compilation, devices, footprint


def block(inputs, outputs):
    """Two norms, two 3x3 convolutions, the embedding of 32 numbers, a 1x1 shortcut where it is needed."""
    shortcut = inputs * outputs + outputs if inputs != outputs else 0
    convolutions = 9 * inputs * outputs + 9 * outputs * outputs + 2 * outputs
    return 2 * inputs + 2 * outputs + convolutions + 32 * outputs + outputs + shortcut


def parameters_by_hand():
    """Those of the tiny U-Net: 8 channels, one level, one block, ten classes and the null class."""
    conditioning = 11 * 32 + (8 * 32 + 32) + (32 * 32 + 32)
    attention = 2 * 8 + (8 * 24 + 24) + (8 * 8 + 8)
    ends = (9 * 8 + 8) + 2 * 8 + (9 * 8 + 1)  # stem, last norm, head
    return conditioning + 3 * block(8, 8) + 2 * block(16, 8) + attention + ends


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """What is returned, and the work directory."""
    workdir = tmp_path_factory.mktemp("planned")
    config = tiny()
    config.sampling.batch_size = (
        20  # a grid's ten classes in two columns: one program less to compile
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STEPS", "DRAWING", "CLASSIFIER"):
            patch.setattr(durations, f"SECONDS_OF_{name}", 0.05)
        return plan.run(config, workdir), workdir


def test_parameters_optimizer_and_disk_are_those_counted_by_hand(planned):
    fields, _ = planned
    num = parameters_by_hand()
    assert fields["num_parameters"] == num == 10_945
    memory, kept = fields["memory"], fields["disk"]
    assert memory["parameters"] == memory["average"] == 4 * num
    # Adam's two moments, and two counters of steps: its own and the learning rate's.
    assert memory["optimizer"] == 2 * 4 * num + 2 * 4
    assert 4 * 4 * num < kept["checkpoint"] < 4 * 4 * num + 100
    assert kept["checkpoints"] == 2 * kept["checkpoint"]  # of steps 3 and 6, though 4 might be kept
    assert kept["synthetic.npz"] == 100 * (8 * 8 + 4) + requirements.NAMES_AND_META
    assert kept["features"] == 4 * 128 * (1258 + 359 + 100)


@pytest.mark.parametrize(("every", "most"), [(0, 4), (20, 9), (10, 10)])
def test_the_checkpoints_that_are_kept_for_good_are_planned(config, every, most):
    """Ten saves: two newest, the best, one being written, and the multiples of `every`."""
    config.training.num_steps, config.training.save_every = 100, 10
    config.training.keep, config.training.keep_every = 2, every
    assert requirements.checkpoints_kept(config) == most


def test_its_lines_name_what_the_fields_hold(planned):
    fields = planned[0] | {"images_per_second": 1234.0}
    text = "\n".join(plans.describe(fields, 4, "ddim"))
    assert text.startswith("10,945 parameters; GFLOP an image: 0.00")
    assert "parameters 42.8 KiB, average 42.8 KiB, optimizer 85.5 KiB" in text
    assert "1,234 images/s trained" in text and "in 4 steps of ddim" in text
    assert re.search(
        r"^train +[\d.]+ s +[\d.]+ s   6 steps .* s, 2 evaluations .* s", text, re.MULTILINE
    )
    assert re.search(
        r"^export +[\d.]+ s +[\d.]+ s   1 checkpoint read .* s, 1 warm-up .* s, 5 batches .* s$",
        text,
        re.MULTILINE,
    )


def test_what_the_first_batch_takes_more_is_told_apart_from_the_others(monkeypatch):
    config = tiny()
    parts = training.build_parts(config)
    instants = iter([0.0, 5.0, 10.0, 12.0])
    monkeypatch.setattr(timings, "time", types.SimpleNamespace(perf_counter=lambda: next(instants)))
    at_once = requirements.Compiled(lambda given, rows: (), footprint.Footprint(0.0, 0, 0), 0.0)
    found = timings.drawing_seconds(config, parts, at_once, 20, 1.0, 1.0)
    assert found == timings.Drawing(each=2.0, warm_up=3.0)


def test_a_stage_that_draws_compiles_the_very_program_that_was_planned(monkeypatch):
    """Or the cache of compiled programs would not have it: another purpose, another seed."""
    spread, texts = compilation.spread, []

    def recorded(placement, function):
        program = spread(placement, function)

        def lower(*arguments):
            texts.append((lowered := program.lower(*arguments)).as_text())
            return lowered

        def call(*arguments):
            return lower(*arguments).compile()(*arguments)

        call.lower = lower
        return call

    def noise(params, label, keys):
        return jax.vmap(lambda key: jax.random.normal(key, (8, 8, 1)))(keys)

    monkeypatch.setattr(trained.compilation, "spread", recorded)
    monkeypatch.setattr(trained.denoising, "build_sampler", lambda *arguments: noise)
    config = tiny()
    config.sampling.batch_size = 8
    programs = training.build_programs(config, devices.place(), 10)
    requirements.compile_sampling(config, programs, 8)
    drawn = []
    for seed, purpose in ((0, "export"), (0, "progress"), (1, "export")):
        config.seed = seed
        draw = trained.build_draw(config, programs.net, programs.table, purpose)
        drawn.append(next(draw(denoising.Weights({}), np.zeros(8, np.int32))).tobytes())
    assert len(texts) == 4 and len(set(texts)) == 1
    assert len(set(drawn)) == 3


@pytest.mark.slow
def test_the_chain_leaves_no_more_than_the_disk_that_was_planned(planned, finished):
    kept = planned[0]["disk"]
    assert (finished / "synthetic.npz").stat().st_size <= kept["synthetic.npz"]
    shards = (finished / "features").rglob("*.npy")
    assert sum(path.stat().st_size for path in shards) <= kept["features"] + 4 * 128  # headers


def test_it_names_each_stage_and_the_programs_memory(planned):
    fields, workdir = planned
    assert json.loads((workdir / "results/plan.json").read_text()) == json.loads(json.dumps(fields))
    assert list(fields["stages"]) == ["train", "sample", "export", "evaluate", "classify"]
    number = {name: part["number"] for name, part in fields["stages"]["train"]["of"].items()}
    assert number == {"steps": 6, "evaluations": 2, "saves": 2, "grids": 1}
    assert fields["stages"]["export"]["of"]["batches"]["number"] == 5  # 20 at once
    assert fields["stages"]["classify"]["of"]["classifiers"]["number"] == 5 * 2
    ends = [stage["ends_after"] for stage in fields["stages"].values()]
    assert ends == pytest.approx(np.cumsum([s["seconds"] for s in fields["stages"].values()]))
    memory = fields["memory"]
    assert memory["training"] > memory["parameters"] + memory["average"] + memory["optimizer"]
    assert memory["grid"] > 4 * memory["parameters"] and memory["export"] > memory["average"]
    assert fields["shortage"] is None and memory["limit"] > memory["training"]
    assert not list(workdir.glob(".plan-*"))


def test_what_does_not_fit_is_said_in_one_line_with_what_does(monkeypatch, on_all_devices):
    """The compiler is replaced by a line: 1,000 bytes, and 100 for each image that is in work."""
    placement, config = devices.place(), tiny()
    programs = training.build_programs(config, placement, 10)

    def compile_training(placement, made):
        in_work = 100 * made.batch_size // made.accumulate
        return requirements.Compiled(None, footprint.Footprint(1.0, 1000, in_work), 0.0)

    monkeypatch.setattr(training, "build_programs", lambda config, *_: config.training)
    monkeypatch.setattr(fits, "compile_training", compile_training)

    def line(limit):
        return fits.training_shortage(config, placement, programs, limit)

    start = "will not fit: batch 32 needs 4.1 KiB of "
    # 20 images are 3,000 bytes; of four devices each has 8 images, in 2 parts 16 are in work at once.
    assert line(3000) == f"{start}2.93 KiB; largest that fits is 20, or accumulate 2"
    assert line(2000) == f"{start}1.95 KiB; largest that fits is 8, or accumulate 4"
    assert line(1500) == f"{start}1.46 KiB; largest that fits is 4, or accumulate 8"
    assert line(500) == f"{start}500 B; nothing smaller was found that fits"
    config.training.accumulate = 2
    assert line(2000) == (
        "will not fit: batch 32 needs 2.54 KiB of 1.95 KiB; largest that fits is 16, or accumulate 4"
    )


@pytest.mark.parametrize("limit", [0, 59, 100, 101, 777, 973])
def test_the_largest_that_fits_is_found_though_the_bytes_are_not_quite_a_line(limit):
    """The expected value is the first that fits, counted down one by one."""

    def takes(num):
        return 60 + 9 * num + num // 7

    found = fits.largest_that_fits(takes, 100, 4, limit, known := {})
    below = (num for num in range(96, 0, -4) if takes(num) <= limit)
    assert found == next(below, None)
    assert len(known) <= fits.MOST_COMPILED


def test_parts_that_the_line_promises_are_compiled_before_they_are_named():
    asked = []

    def takes(parts):
        asked.append(parts)
        return 1000 if parts < 8 else 10

    assert fits.accumulation_that_fits(takes, 24, 1, 100, (0, 10)) == 8
    assert asked == [3, 4, 6, 8]  # 2 parts of 12 rows are 120 bytes, which is past the line


@pytest.mark.parametrize("first", [0, 3, 7, 9, 20, 21])
def test_actions_are_counted_as_the_loop_takes_them(first):
    """By walking every step, as `loop.run` and the last save of `jobs/train.py` do."""
    config = tiny()
    config.training.update(num_steps=20, eval_every=3, save_every=5, sample_every=7)
    walked = {"steps": [], "evaluations": set(), "saves": set(), "grids": set()}
    for done in range(first + 1, 21):
        walked["steps"].append(done)
        for name, every in (("evaluations", 3), ("saves", 5), ("grids", 7)):
            if done % every == 0 or (done == 20 and name != "grids"):
                walked[name].add(done)
    assert requirements.actions(config, first) == {name: len(at) for name, at in walked.items()}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.123, "0.12 s"), (9.96, "10 s"), (61, "1 min 01 s"), (3600 * 5 + 120, "5 h 02 min"),
     (86400 * 12, "12 days")],
)  # fmt: skip
def test_durations_are_said_in_words(seconds, text):
    assert units.duration(seconds) == text


def test_a_plan_refuses_what_a_training_refuses(tmp_path):
    config = tiny()
    config.sampling.variance = "learned"
    with pytest.raises(
        ValueError, match=r"sampling\.variance is 'learned' and loss\.kind is 'mse'"
    ):
        plan.run(config, tmp_path)


def test_several_processes_are_told_to_plan_in_one(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "num_processes", lambda: 2)
    with pytest.raises(ValueError, match="--mode=plan times programs of one process, not of 2"):
        plan.run(tiny(), tmp_path)


@pytest.mark.long
@pytest.mark.usefixtures("compiled_quickly")
def test_what_is_named_fits_when_it_is_compiled_and_nothing_is_timed(tmp_path, monkeypatch):
    # Nothing is run, so all four devices may be planned for.
    all_of_them = functools.partial(devices.place, devices=jax.devices())
    monkeypatch.setattr(devices, "place", all_of_them)

    def planned(**changed):
        config = tiny()
        config.net.name = "double_conv"  # a dozen programs of two thirds of the operations
        config.training.update(changed)
        return config

    def takes(**changed):
        programs = training.build_programs(planned(**changed), devices.place(), 10)
        return requirements.compile_training(devices.place(), programs).takes.total

    limit = takes(batch_size=20)
    with pytest.raises(ValueError, match="will not fit: batch 32 needs") as raised:
        plan.run(planned(), tmp_path, limit)
    fields = json.loads((tmp_path / "results/plan.json").read_text())
    assert fields["shortage"] == str(raised.value) and "stages" not in fields
    largest = re.search(r"largest that fits is (\d+)", str(raised.value))
    assert largest and takes(batch_size=int(largest[1])) <= limit
    if parts := re.search(r"accumulate (\d+)", str(raised.value)):
        assert takes(accumulate=int(parts[1])) <= limit
