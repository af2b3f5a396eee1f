"""What holds for every test: four simulated devices, no silent broadcasting, warnings are errors."""

import faulthandler
import fcntl
import os
import pathlib
import shutil

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Most of the tests' time goes into compiling, and many compile the same programs, in processes of
# their own too.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "compiled"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
# Programs otherwise start twice, to keep their memory: no gain for those that tests run.
os.environ.setdefault("GLIBC_TUNABLES", "")
# Without unrolled loops, programs compile in 0.6 to 0.8 of the time (docs/notes/training_step.md).
os.environ.setdefault("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_loop_unrolling")

import jax
import pytest
import quick

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def on_one_device(monkeypatch):
    """A run has one device, unless it names others."""
    quick.place_on_one(monkeypatch)


@pytest.fixture
def on_all_devices(monkeypatch):
    """A run has all devices, whatever the module's fixtures say."""
    quick.place_on_all(monkeypatch)


@pytest.fixture
def compiled_quickly():
    """The test is run `quickly`."""
    with quick.quickly():
        yield


@pytest.fixture(scope="module")
def module_compiled_quickly():
    """All tests of a module are run `quickly`, and what they share is made so."""
    with quick.quickly():
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """`made_once(name, make)` is a folder that `make` has filled, once for all of pytest's processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def once(name, make):
        folder = shared / name
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = shared / f"{name}.unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)  # of a `make` that has failed
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def fashion_mnist(made_once):
    """Real Fashion-MNIST: a TFDS data_dir where it is prepared, or the four original archives."""
    if data_dir := os.environ.get("DDPM_JAX_TFDS_DIR"):
        return data_dir
    archives = os.environ.get("DDPM_JAX_FASHION_MNIST")
    if not archives:
        pytest.skip("neither DDPM_JAX_TFDS_DIR nor DDPM_JAX_FASHION_MNIST (archives) is set")
    from configs import fashion_mnist
    from ddpm_jax.assembly import datasets

    def prepare(folder):
        """As a run does it; of the images, those of one class are read."""
        data = fashion_mnist.get_config().data
        data.update(data_dir=str(folder), manual_dir=archives, classes=("Trouser",))
        datasets.build_splits(data, seed=0)

    return str(made_once("fashion_mnist", prepare))


LONGEST_FIRST = (
    "tests/test_studies.py",
    "tests/jobs/test_devices_of_a_run.py",
    "tests/jobs/test_modes.py",
    "tests/jobs/test_plan.py",
    "tests/jobs/test_resuming.py",
    "tests/jobs/test_what_stages_read.py",
    "tests/benchmarks/test_benchmarks_run.py",
    "tests/jobs/test_small_set.py",
    "tests/jobs/test_guide.py",
    "tests/data/test_tfds.py",
    "tests/jobs/test_reference_images.py",
    "tests/training/test_two_processes.py",
    "tests/jobs/test_exports.py",
    "tests/jobs/test_slurm.py",
    "tests/jobs/test_own.py",
    "tests/jobs/test_copies.py",
    "tests/test_what_options_read.py",
    "tests/test_wheel.py",
    "tests/evaluation/test_kernel.py",
    "tests/evaluation/test_strangers_weights.py",
    "tests/interop/test_diffusers.py",
    "tests/training/test_interruptions.py",
)


SLOW_SECONDS = 1800
"""What a slow or long test may take, with the numbers of kills and of malformed files that CI asks for."""
GRACE_SECONDS = 60
"""What a test that was interrupted may take until its process is ended."""


def pytest_collection_modifyitems(config, items):
    """Files go to the processes whole and in this order (launch/test.sh).

    A long one that comes last would keep one process at work while the others have nothing left.
    """
    order = {config.rootpath / path: place for place, path in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    asked = (
        int(os.environ.get("DDPM_JAX_KILLS", 0)) / 20,
        int(os.environ.get("DDPM_JAX_FUZZ", 0)) / 500,
    )
    for item in items:
        minutes = item.get_closest_marker("slow") or item.get_closest_marker("long")
        if minutes and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS * max(1, *asked)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """End the process where its test cannot be interrupted: a signal's handler waits for XLA to return."""
    marker, asked = item.get_closest_marker("timeout"), item.config.getoption("timeout")
    limit = (
        marker.args[0]
        if marker
        else float(item.config.getini("timeout") if asked is None else asked)
    )
    if not limit or item.config.getoption("usepdb"):
        return (yield)
    with item.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        stderr = os.dup(2)
    faulthandler.dump_traceback_later(limit + GRACE_SECONDS, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.close(stderr)


def pytest_terminal_summary(terminalreporter):
    """What tests have counted (`record_property("counted", text)`), in whichever process they ran."""
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, text in report.user_properties:
                    if name == "counted":
                        terminalreporter.write_line(text)
