"""What a program takes, against arrays counted by hand; and what there is, from files made here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.training import devices, footprint


def test_a_product_of_matrices_has_its_two_arguments_and_its_result():
    a, b = jnp.ones((64, 32)), jnp.ones((32, 16))
    found = footprint.of(jax.jit(jnp.dot).lower(a, b).compile())
    assert found.arguments == 4 * (64 * 32 + 32 * 16)
    assert found.added >= 4 * 64 * 16
    assert found.total == found.arguments + found.added
    assert found.gflop * 1e9 == 2 * 64 * 32 * 16


def test_a_result_that_is_written_over_a_donated_argument_takes_nothing():
    x = jnp.ones(1000)
    kept = footprint.of(jax.jit(lambda x: x + 1).lower(x).compile())
    donated = footprint.of(jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile())
    assert (kept.added, donated.added) == (4000, 0)


def test_bytes_are_those_of_arrays_and_of_their_shapes():
    tree = {"a": jnp.ones((3, 5)), "b": [jnp.ones(7, jnp.int8)]}
    assert footprint.num_bytes(tree) == 67
    assert footprint.num_bytes(jax.eval_shape(lambda: tree)) == 67


def test_devices_share_the_machine_and_an_accelerator_says_what_it_has(monkeypatch):
    monkeypatch.setattr(footprint, "machine_room", lambda: 1000)
    assert footprint.capacity(devices.place(), held=7) == 1000 // 4 + 7

    class Accelerator:
        def __init__(self, limit):
            self.limit = limit

        def memory_stats(self):
            return {"bytes_limit": self.limit}

    two = property(lambda placement: [Accelerator(300), Accelerator(200)])
    monkeypatch.setattr(devices.Placement, "local_devices", two)
    assert footprint.capacity(devices.place(), held=7) == 200


MEMINFO = "MemTotal: 8000 kB\nMemAvailable:    5000 kB\n"


def machine(root, files):
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return footprint.machine_room(root)


def test_a_machine_without_control_groups_has_what_it_says(tmp_path):
    assert machine(tmp_path, {}) == 5000 << 10


@pytest.mark.parametrize(
    ("limit", "room"), [("max", 5000 << 10), ("3000000", 3_000_000 - 1_000_000 + 50_000)]
)
def test_a_control_group_of_version_2_limits_what_is_in_it(tmp_path, limit, room):
    group = "sys/fs/cgroup/job"
    files = {
        "proc/self/cgroup": "0::/job/step\n",  # the step's own folder is not to be seen in here
        f"{group}/memory.max": limit + "\n",
        f"{group}/memory.current": "1000000\n",
        f"{group}/memory.stat": "anon 7\ninactive_file 50000\n",
    }
    assert machine(tmp_path, files) == room


def test_a_control_group_of_version_1_limits_what_is_in_it(tmp_path):
    group = "sys/fs/cgroup/memory/job"
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/job\n",
        f"{group}/memory.limit_in_bytes": "2000000\n",
        f"{group}/memory.usage_in_bytes": "1500000\n",
        f"{group}/memory.stat": "total_inactive_file 100000\n",
    }
    assert machine(tmp_path, files) == 600_000


def test_a_full_control_group_has_no_room(tmp_path):
    group = "sys/fs/cgroup"
    files = {
        "proc/self/cgroup": "0::/\n",
        f"{group}/memory.max": "10\n",
        f"{group}/memory.current": "11\n",
        f"{group}/memory.stat": "",
    }
    assert machine(tmp_path, files) == 0


def test_abstract_batches_have_the_shapes_of_those_that_are_put():
    shapes = {"image": jax.ShapeDtypeStruct((8, 2, 2, 1), jnp.uint8)}
    for parallel in ("jit", "pmap"):
        placement = devices.place(parallel)
        put = devices.put_batch(placement, {"image": np.zeros((8, 2, 2, 1), np.uint8)})
        abstract = devices.abstract_batch(placement, shapes)
        assert abstract["image"].shape == put["image"].shape
        assert abstract["image"].dtype == put["image"].dtype
    with pytest.raises(ValueError, match="batch_size 6 does not divide over 4 devices"):
        devices.abstract_batch(placement, {"image": jax.ShapeDtypeStruct((6, 2), jnp.uint8)})
