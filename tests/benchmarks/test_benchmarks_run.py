"""The benchmark's dry run: everything once, tiny, with peers that are not installed, or are fakes."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from benchmarks import cases, edm, launch, plan_against_run, recipe, run, turns
from configs import digits
from ddpm_jax.assembly import networks

ROOT = pathlib.Path(__file__).parents[2]


class Fake:
    """A contender whose calls all take `seconds`."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def ask(self, **request):
        return {"gflop": 3.0, "seconds": self.seconds}


def checkout(folder: pathlib.Path, networks: str = "") -> pathlib.Path:
    (folder / "training").mkdir(parents=True)
    (folder / "training" / "networks.py").write_text(networks)
    return folder


@pytest.mark.parametrize("what", ["train", "forward", "sampler", "data", "matmul"])
def test_edm_takes_its_turns_at_training_and_forward_only(what):
    fakes = {"ddpm_jax": Fake(1.0), "diffusers": Fake(2.0), "edm": Fake(4.0)}
    arguments = argparse.Namespace(rounds=3, turn_seconds=1.0, steps_per_call=[1])
    row = run.compare(fakes, {"what": what, "network": "tiny", "batch": 4}, arguments)
    # By hand: 2 / 1, and 2 / 4.
    ratio = {"ddpm_jax": 2.0} | ({"edm": 0.5} if what in ("train", "forward") else {})
    assert row["ratio"] == ratio
    if "edm" in ratio:
        assert list(row["median"].items()) == [("ddpm_jax", 1.0), ("diffusers", 2.0), ("edm", 4.0)]
        line = run.line(row, peak_rate=3.0)
        # One of 3 GFLOP in a second is the peak.
        shares = [f"({share}% of peak)" for share in (100, 50, 25)]
        assert all(share in line for share in shares) and line.endswith("| 2.00x | 0.50x")


def test_edm_is_started_from_its_checkout_and_no_other_folder(tmp_path, monkeypatch, capsys):
    command = ["run", "--out=unused", "--peer-python=python", f"--edm={tmp_path}"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        run.parse()
    wanted = f"got '{tmp_path}', wanted a checkout of NVlabs/edm, with training/networks.py"
    assert wanted in capsys.readouterr().err
    checkout(tmp_path)
    monkeypatch.setattr(turns, "Contender", lambda *arguments: arguments)
    assert run.start(run.parse())["edm"] == ("python", "benchmarks.edm", str(tmp_path))
    monkeypatch.setattr(sys, "argv", command[:-1])
    assert list(run.start(run.parse())) == ["ddpm_jax", "diffusers"]


def commit(folder: pathlib.Path) -> str:
    """Makes a repository there, and returns its commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=name", "-c", "user.email=email"]
    for command in (["init"], ["commit", "--allow-empty", "--message=all"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    asked = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return asked.stdout.strip()


def test_edms_process_imports_the_checkout_and_names_what_it_lacks(tmp_path, monkeypatch):
    fakes = {
        "diffusers.py": "",
        "torch/__init__.py": "class cuda: is_available = staticmethod(lambda: False)",
        "torch/optim/__init__.py": "",
        "torch/utils/__init__.py": "",
        "torch/utils/flop_counter.py": "",
        "torch/optim/swa_utils.py": "AveragedModel = get_ema_multi_avg_fn = None",
    }
    for name, text in fakes.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n__version__, get_num_threads = 'fake', lambda: 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(ROOT)
    whole = "SongUNet = None"
    known = {"torch": "fake", "diffusers": "fake", "platform": "cpu", "num_threads": 1}
    for content, versions in [("import absent", {"missing": "absent"}), (whole, known)]:
        place = checkout(tmp_path / str(len(content)), content)
        if "missing" not in versions:
            versions = versions | {"commit": commit(place)}
        contender = turns.Contender(sys.executable, "benchmarks.edm", str(place))
        assert contender.ask(do="versions") == versions
        contender.close()


def test_edms_network_is_that_of_the_config(monkeypatch):
    class Network:
        def __init__(self, **arguments):
            self.arguments, self.skip_scale = arguments, 1

        def modules(self):
            return [self]

    monkeypatch.setattr(edm, "network", lambda: Network)
    monkeypatch.setattr(recipe, "place", lambda model: model)
    arguments = argparse.Namespace(data_dir="", dtype="float32", sampling_steps=2)
    found = edm.build(cases.config_of("cifar10", arguments)).arguments
    # The arguments of the paper's network for CIFAR-10 (Ho et al. 2020, appendix B), without labels.
    network = {"img_resolution": 32, "in_channels": 3, "out_channels": 3, "label_dim": 0}
    network |= {"model_channels": 128, "channel_mult": [1, 2, 2, 2], "num_blocks": 2}
    network |= {"attn_resolutions": [16], "dropout": 0.1}
    assert {name: found[name] for name in network} == network
    labelled = edm.build(cases.config_of("digits", arguments)).arguments
    assert labelled["label_dim"] == 10


def test_the_script_that_a_launch_is_held_against_has_the_network_of_digits():
    pytest.importorskip("diffusers")
    from benchmarks import peer_launch

    command = [sys.executable, "-m", "benchmarks.peer_launch"]
    asked = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    config = digits.get_config()
    net = networks.build_net(config, 10)
    params = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    assert int(asked.stdout.split()[-1]) == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert peer_launch.BATCH == config.training.batch_size


@pytest.mark.parametrize("installed", [True, False])
def test_launches_are_held_against_the_script_where_it_can_run(monkeypatch, installed):
    monkeypatch.setattr(launch.subprocess, "run", lambda *arguments, **options: None)
    monkeypatch.setattr(
        launch, "first_step", lambda folder, name: {"cold": 6.0, "cached": 3.0}[name]
    )
    clock = iter([0.0, 2.0, 10.0, 12.0, 20.0, 22.0])
    monkeypatch.setattr(launch.time, "perf_counter", lambda: next(clock))
    row = launch.measure(3, "python" if installed else None)
    assert row["cached_over_cold"] == 0.5
    assert row.get("over_diffusers") == ({"cold": 3.0, "cached": 1.5} if installed else None)


def test_compiling_counts_once_and_from_the_start_of_the_stage():
    parts = [(4.0, 6.0), (4.5, 5.0), (5.5, 7.0), (9.0, 10.0), (0.0, 1.0), (1.5, 3.0)]
    assert plan_against_run.covered(parts, 2.0) == 1.0 + 3.0 + 1.0


def test_a_plan_is_held_against_the_run_of_its_own_round():
    rounds = [(10.0, 10.0), (12.0, 10.0), (14.0, 20.0)]
    found = plan_against_run.against(*zip(*rounds, strict=True))
    # By hand: the ratios are 1, 1.2 and 0.7; the medians' would be 1.2.
    assert (found["predicted"], found["measured"], found["ratio"]) == (12.0, 10.0, 1.0)
    assert found["rounds"] == [list(pair) for pair in rounds]


@pytest.mark.long
def test_the_benchmark_measures_everything_and_says_what_is_not_there(tmp_path):
    # Found before an installed one; `benchmarks.recipe` imports it first.
    absent = "raise ImportError('none here', name='diffusers')"
    (tmp_path / "diffusers.py").write_text(absent)
    out = tmp_path / "benchmark.json"
    command = [sys.executable, "-m", "benchmarks.run", f"--out={out}", "--networks", "tiny"]
    command += ["--what", "train", "forward", "sampler", "classifier", "data", "loop"]
    command += ["--batches", "4", "--classifiers", "classifier_8"]
    command += ["--steps-per-call", "1", "2", "--samples", "4", "--sampling-steps", "2"]
    command += ["--rounds", "2", "--turn-seconds", "0", "--matmul", "16", "--loop-steps", "2"]
    command += ["--resident-mib", "1", f"--edm={checkout(tmp_path / 'checkout')}"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # it compiles longer than it runs
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| diffusers not installed") == 5
    assert done.stdout.count("edm: diffusers not installed") == 1
    assert done.stdout.count("on a GPU | not measured") == 3
    text = out.read_text()
    assert str(ROOT) not in text and str(tmp_path) not in text
    report = json.loads(text)
    assert report["versions"]["diffusers"] == {"missing": "diffusers"}
    assert report["versions"]["edm"] == {"missing": "diffusers"}
    rows = {row["what"]: row for row in report["rows"]}
    assert list(rows) == ["train", "forward", "sampler", "classifier", "data", "loop"]
    assert rows["classifier"]["facts"]["ddpm_jax"]["parameters"] == 99_178
    names = {what: list(row["seconds"]) for what, row in rows.items()}
    assert names["train"] == ["ddpm_jax", "ddpm_jax x2"]
    ways = ["ddpm_jax", "ddpm_jax x2", "ddpm_jax resident", "ddpm_jax x2 resident"]
    assert names["loop"] == ["one batch", *ways]
    assert all(len(times) == 2 for row in rows.values() for times in row["seconds"].values())
    # Forward, gradient by the input, gradient by the weights: about three times the work.
    gflop = [rows[what]["facts"]["ddpm_jax"]["gflop"] for what in ("train", "forward")]
    assert 2.5 < gflop[0] / gflop[1] < 4.0
