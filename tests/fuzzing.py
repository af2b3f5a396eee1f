"""What the tests that read files of strangers share: how many, in which order, and the memory they take."""

import os
import resource

import hypothesis


def wanted():
    """How many inputs of each kind the slow tests try."""
    return int(os.environ.get("DDPM_JAX_FUZZ", "5000"))


def settings(num):
    """The same `num` inputs each time, however long they take."""
    return hypothesis.settings(
        max_examples=num,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def peak_mib():
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
