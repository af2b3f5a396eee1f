"""The wheel alone: configs by name, the console scripts, a run from an empty folder."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds what the wheel holds, to be imported before the checkout."""
    made = tmp_path_factory.mktemp("made")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = made.glob("*.whl")
    assert wheel.stat().st_size < 1 << 20
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


@pytest.fixture
def run(installed, tmp_path):
    def start(*arguments, script="ddpm-jax"):
        (wheel,) = importlib.metadata.distributions(path=[str(installed)])
        (found,) = wheel.entry_points.select(group="console_scripts", name=script)
        program = f"import {found.module} as m; m.{found.attr}()"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env=os.environ
            | {"PYTHONPATH": str(installed), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
            | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
            capture_output=True,
            text=True,
        )

    return start


def test_it_holds_the_package_and_no_docs(installed):
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"ddpm_jax"}
    assert not list(installed.rglob("docs")) and not list(installed.rglob("conf.py"))


def test_it_is_the_wheels_package_that_runs(installed, tmp_path):
    program = "from ddpm_jax import config_files; print(config_files.FOLDER)"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == str(installed / "ddpm_jax" / "configs"), found.stderr


@pytest.mark.parametrize("name", ["digits", "studies/fashion_mnist_hour"])
def test_configs_are_found_by_name_from_an_empty_folder(run, tmp_path, name):
    found = run(f"--config={name}", "--explain")
    assert found.returncode == 0, found.stderr
    assert "[train] not made yet" in found.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_config_of_ones_own_builds_on_those_of_the_wheel(run, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/base.py").write_text(
        "from configs import digits\ndef get_config():\n    return digits.get_config()\n"
    )
    (tmp_path / "mine.py").write_text(
        "from configs import base\ndef get_config():\n    return base.get_config()\n"
    )
    found = run("--config=mine.py", "--mode=train", "--explain")
    assert found.stdout == "[train] not made yet\n", found.stderr


def test_a_name_that_is_no_config_lists_those_there_are(run):
    found = run("--config=diggits", "--explain")
    assert found.returncode == 2
    assert (
        "there is no file diggits; the program has cifar10, classifier, default, digits"
        in found.stderr
    )


@pytest.mark.slow
def test_both_programs_run_from_an_empty_folder(run, tmp_path):
    few = [f"--config.classifier.{name}=2" for name in ("num_steps", "num_seeds")]
    few += ["--config.classifier.warmup_steps=1", "--config.classifier.arms=('real','synthetic')"]
    small = [f"--config.training.{name}_every=2" for name in ("eval", "save", "sample")]
    small += ["--config.training.num_steps=2", "--config.optim.warmup_steps=1"]
    small += ["--config.net.base_channels=8", "--config.net.unet.num_groups=4"]
    small += ["--config.net.multipliers=(1,)", "--config.net.unet.num_res_blocks=1"]
    made = ["--config.export.num_images=20", "--config.sampling.num_steps=2"]
    for mode in ("train", "export"):
        found = run("--config=digits", f"--mode={mode}", *few, *small, *made)
        assert found.returncode == 0, found.stderr
    synthetic = tmp_path / "runs/digits/synthetic.npz"
    found = run(f"--synthetic={synthetic}", "--real=digits", *few, script="ddpm-jax-classify")
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "runs/classifier/results/classify.json").exists()


def test_an_editable_install_copies_nothing(tmp_path):
    program = (
        "import sys\nfrom hatchling.builders.wheel import WheelBuilder\n"
        "[*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=['editable'])]"
    )
    subprocess.run([sys.executable, "-c", program, str(ROOT), str(tmp_path)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if ".dist-info/" not in name]
        assert len(names) == 1 and names[0].endswith(".pth")
        assert file.read(names[0]).decode().split() == [str(ROOT)]
