"""Simulated devices stand in for real ones; two real processes are in test_two_processes.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import regression

from ddpm_jax.training import compilation, devices
from ddpm_jax.training import step as steps


def over(num_devices, parallel="jit"):
    return devices.place(parallel, jax.devices()[:num_devices])


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_does_not_depend_on_the_number_of_devices(accumulate):
    on_one, _ = regression.train(over(1), 20, accumulate=accumulate)
    on_four, _ = regression.train(over(4), 20, accumulate=accumulate)
    assert regression.gap(on_one.params, on_four.params) < 1e-5
    assert regression.gap(on_one.ema_params, on_four.ema_params) < 1e-5


def test_pmap_agrees_with_jit_where_the_loss_draws_no_noise():
    on_jit, jit_lines = regression.train(over(1), 20, loss_fn=regression.quiet_loss)
    on_pmap, pmap_lines = regression.train(over(4, "pmap"), 20, loss_fn=regression.quiet_loss)
    assert regression.gap(on_jit.params, on_pmap.params) < 1e-5
    for (_, jit_line), (_, pmap_line) in zip(jit_lines, pmap_lines, strict=True):
        assert pmap_line == pytest.approx(jit_line, rel=1e-4)


def test_under_pmap_each_device_draws_noise_of_its_own():
    def loss_fn(params, batch, key):
        draw = jax.random.normal(key)
        return draw, {"square": draw**2}

    placement = over(2, "pmap")
    evaluate = compilation.compile_eval(
        placement, steps.make_eval_step(loss_fn, axis_name="devices")
    )
    key = jax.random.key(0)
    metrics = evaluate({}, devices.put_batch(placement, {"x": np.zeros(2)}), key)
    draws = np.array([jax.random.normal(jax.random.fold_in(key, i)) for i in range(2)])
    assert float(metrics["loss"]) == pytest.approx(draws.mean())
    assert float(metrics["square"]) == pytest.approx((draws**2).mean())


def test_all_devices_are_taken_unless_some_are_named():
    assert devices.place().num_devices == jax.device_count() == 4
    assert devices.place().platform == "cpu"
    assert over(2).num_devices == 2 and len(over(2).local_devices) == 2


def test_a_batch_is_rounded_up_to_one_that_divides():
    assert [over(3).rounded_up(size) for size in (1, 3, 4, 250)] == [3, 3, 6, 252]


def test_another_way_of_parallel_work_is_refused():
    with pytest.raises(
        ValueError, match="parallel 'xmap' is not known; there are 'jit' and 'pmap'"
    ):
        devices.place("xmap")


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_a_batch_that_does_not_divide_is_refused(parallel):
    placement = over(4, parallel)
    with pytest.raises(ValueError, match="batch_size 30 does not divide over 4 devices"):
        devices.put_batch(placement, {"x": np.zeros((30, 2))})
    with pytest.raises(ValueError, match="batch_size 30 does not divide over 4 devices"):
        devices.local_rows(placement, 30)


def test_a_batch_lies_on_the_devices_in_the_order_of_its_rows():
    batch = devices.put_batch(over(4), {"x": np.arange(8)})
    assert devices.local_rows(over(4), 8) == slice(0, 8)
    want = ([0, 1], [2, 3], [4, 5], [6, 7])
    for shard, wanted in zip(batch["x"].addressable_shards, want, strict=True):
        np.testing.assert_array_equal(shard.data, wanted)
    split = devices.put_batch(over(4, "pmap"), {"x": np.arange(8)})
    np.testing.assert_array_equal(split["x"], np.arange(8).reshape(4, 2))


def test_the_callers_arrays_survive_the_donation_of_the_state():
    mine = regression.fresh()
    regression.train(over(1), 2, state=devices.replicate(over(1), mine))
    assert all(not leaf.is_deleted() for leaf in jax.tree.leaves(mine))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_the_state_that_goes_in_is_donated(parallel):
    placement = over(2, parallel)
    state = devices.replicate(placement, regression.fresh())
    regression.train(placement, 1, state=state)
    assert state.params["first"]["kernel"].is_deleted()


def test_spread_gives_each_device_its_rows_and_gather_brings_them_together():
    placement = over(4)
    double = compilation.spread(placement, lambda params, rows: params * rows)
    rows = double(jnp.float32(2.0), np.arange(8, dtype=np.float32))
    assert [shard.data.shape for shard in rows.addressable_shards] == [(2,)] * 4
    gathered = devices.gather(rows)
    assert isinstance(gathered, np.ndarray)
    np.testing.assert_array_equal(gathered, 2.0 * np.arange(8))


def test_abstract_describes_what_replicate_makes():
    placement = over(2)
    state = devices.replicate(placement, regression.fresh())
    for leaf, shape in zip(
        jax.tree.leaves(state),
        jax.tree.leaves(devices.abstract(placement, regression.fresh())),
        strict=True,
    ):
        assert (leaf.shape, leaf.dtype, leaf.sharding) == (shape.shape, shape.dtype, shape.sharding)


def forget_launchers(monkeypatch):
    ours = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    for name in (*ours, *devices.TASKS_OF_LAUNCHERS):
        monkeypatch.delenv(name, raising=False)


def test_a_lone_process_is_the_writer_and_waits_for_nobody(monkeypatch):
    forget_launchers(monkeypatch)
    devices.initialize_distributed()
    devices.barrier("alone")
    assert devices.is_writer() and devices.num_processes() == 1
    asked = []
    stop = devices.agreed(devices.place(), lambda: asked.append(1) or len(asked) > 1)
    assert [stop(), stop()] == [False, True]


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_STEP_NUM_TASKS": "2"}, (None, None, None)),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "8"}, (None, None, None)),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, (None, None, None)),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "node:1",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "1",
            },
            ("node:1", 2, 1),
        ),
    ],
)
def test_the_environment_says_which_processes_belong_together(monkeypatch, environment, wanted):
    forget_launchers(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    calls = []
    monkeypatch.setattr(jax.config, "update", lambda *args: None)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **options: calls.append(args))
    devices.initialize_distributed()
    assert calls == ([] if wanted is None else [wanted])


@pytest.mark.parametrize(
    ("given", "missing"), [({}, "num_processes"), ({"num_processes": 2}, "process_id")]
)
def test_a_coordinator_alone_is_refused(monkeypatch, given, missing):
    forget_launchers(monkeypatch)
    with pytest.raises(ValueError, match=f"wanted --{missing} or JAX_{missing.upper()} as well"):
        devices.initialize_distributed("node:1", **given)


def test_devices_that_are_not_neighbors_cannot_load_one_slice():
    class Mesh:
        devices = np.array(["mine", "other", "mine too"])
        local_devices = ("mine", "mine too")
        size = 3

    with pytest.raises(ValueError, match="not neighbors"):
        devices.local_rows(devices.Placement(Mesh(), "jit"), 6)
