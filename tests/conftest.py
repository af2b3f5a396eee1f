"""What holds for every test: four simulated devices, no silent broadcasting, warnings are errors."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Most of the tests' time goes into compiling, and many compile the same programs, in processes of
# their own too.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "compiled"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(0)


LONGEST_FIRST = (
    "tests/test_studies.py",
    "tests/jobs/test_devices_of_a_run.py",
    "tests/jobs/test_fashion_mnist.py",
    "tests/jobs/test_resuming.py",
    "tests/jobs/test_reliability_kills.py",
    "tests/jobs/test_modes.py",
    "tests/jobs/test_plan.py",
    "tests/benchmarks/test_benchmarks_run.py",
    "tests/data/test_tfds.py",
    "tests/jobs/test_slurm.py",
    "tests/jobs/test_pair_of_a_run.py",
)


def pytest_collection_modifyitems(config, items):
    """Files go to the processes whole and in this order (launch/test.sh).

    A long one that comes last would keep one process at work while the others have nothing left.
    """
    order = {config.rootpath / path: place for place, path in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_terminal_summary(terminalreporter):
    """What tests have counted (`record_property("counted", text)`), in whichever process they ran."""
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, text in report.user_properties:
                    if name == "counted":
                        terminalreporter.write_line(text)
