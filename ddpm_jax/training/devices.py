"""The only place that knows how many devices and processes there are; `compilation` compiles for them.

Under "jit" the program is written for the global batch and XLA divides it: the state is replicated,
the batch is spread by rows over a one-dimensional mesh of all devices of all processes, and random
numbers are drawn for the global batch, so that a run does not depend on the number of devices.

Under "pmap" each device runs the step on its own rows and gradients are averaged. A loss without
random numbers gives the same run. A loss with random numbers draws other noise than under "jit", and
other noise on another number of devices, because each device folds its index into the key.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"


class Placement(NamedTuple):
    """The devices of a run and how they are used."""

    mesh: Mesh
    parallel: str

    @property
    def axis_name(self) -> str | None:
        """`axis_name` for `make_train_step` and `make_eval_step`."""
        return AXIS if self.parallel == "pmap" else None

    @property
    def replicated(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def by_rows(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def by_rows_of_each(self) -> NamedSharding:
        """`by_rows` for several batches, stacked."""
        return NamedSharding(self.mesh, PartitionSpec(None, AXIS))

    @property
    def num_devices(self) -> int:
        return self.mesh.size

    @property
    def local_devices(self) -> list[Any]:
        return list(self.mesh.local_devices)

    @property
    def platform(self) -> str:
        """`cpu`, `gpu` or `tpu`."""
        return self.mesh.devices.flat[0].platform

    def rounded_up(self, batch_size: int) -> int:
        """The smallest batch of at least `batch_size` rows that divides over the devices."""
        return -(-batch_size // self.num_devices) * self.num_devices


def place(parallel: str = "jit", devices: Sequence[Any] | None = None) -> Placement:
    """Use all devices of all processes, unless `devices` names some."""
    if parallel not in ("jit", "pmap"):
        raise ValueError(f"parallel {parallel!r} is not known; there are 'jit' and 'pmap'")
    return Placement(Mesh(np.array(devices or jax.devices()), (AXIS,)), parallel)


TASKS_OF_LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "KUBERNETES_SERVICE_HOST")
"""Variables that are there, and not 1, if a launcher that JAX knows has started several processes."""


def initialize_distributed(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 100,
) -> None:
    """Join the processes of this run; call it before anything touches a device.

    Arguments not given come from `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`,
    or else from the launcher, as far as JAX knows it: SLURM, Open MPI, Kubernetes. A single process has
    nothing to join. If a process is not heard from for `heartbeat_seconds`, all others end. Raises ValueError
    if there is a coordinator and not the other two.
    """
    environ = os.environ
    coordinator = coordinator or environ.get("JAX_COORDINATOR_ADDRESS")
    if coordinator is not None:
        num_processes = _given("num_processes", num_processes, coordinator)
        process_id = _given("process_id", process_id, coordinator)
    elif all(environ.get(name, "1") == "1" for name in TASKS_OF_LAUNCHERS):
        return
    # That service would catch SIGTERM; `signals` and `agreed` handle it here.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        coordinator, num_processes, process_id, heartbeat_timeout_seconds=heartbeat_seconds
    )


def _given(name: str, value: int | None, coordinator: str) -> int:
    variable = f"JAX_{name.upper()}"
    if value is None and variable not in os.environ:
        raise ValueError(f"the coordinator is {coordinator}; wanted --{name} or {variable} as well")
    return int(os.environ[variable]) if value is None else value


def is_writer() -> bool:
    """Whether this process writes the files that all processes share."""
    return jax.process_index() == 0


def num_processes() -> int:
    return jax.process_count()


def barrier(name: str) -> None:
    """Wait until all processes have reached this call."""
    multihost_utils.sync_global_devices(name)


def in_any(fact: bool) -> bool:
    """Whether `fact` holds in any process; all processes must call this."""
    if num_processes() == 1:
        return fact
    return bool(multihost_utils.process_allgather(np.array(fact)).any())


def local_rows(placement: Placement, batch_size: int) -> slice:
    """The rows of a global batch that this process loads."""
    per_device = _rows_per_device(placement, batch_size)
    local = set(placement.local_devices)
    places = [i for i, device in enumerate(placement.mesh.devices.flat) if device in local]
    if places != list(range(places[0], places[0] + len(places))):
        raise ValueError("the devices of this process are not neighbors in the mesh")
    return slice(places[0] * per_device, (places[-1] + 1) * per_device)


def put_batch(placement: Placement, rows: Mapping[str, Any]) -> dict[str, Any]:
    """This process's rows, as NumPy arrays -> the global batch, spread over the devices."""
    local = len(placement.local_devices)
    processes = placement.num_devices // local

    def put(array: np.ndarray) -> Any:
        per_device = _rows_per_device(placement, len(array) * processes)
        if placement.parallel == "pmap":
            split = array.reshape(local, per_device, *array.shape[1:])
            mesh = Mesh(np.array(placement.local_devices), (AXIS,))
            return jax.device_put(split, NamedSharding(mesh, PartitionSpec(AXIS)))
        shape = (len(array) * processes, *array.shape[1:])
        return jax.make_array_from_process_local_data(placement.by_rows, array, shape)

    return {name: put(np.asarray(array)) for name, array in rows.items()}


def put_batches(placement: Placement, batches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`put_batch`; several batches are stacked on a leading axis, which "pmap" does not support."""
    if len(batches) == 1:
        return put_batch(placement, batches[0])
    processes = placement.num_devices // len(placement.local_devices)

    def put(arrays: Sequence[np.ndarray]) -> Any:
        _rows_per_device(placement, len(arrays[0]) * processes)
        stacked = np.stack(arrays)
        shape = (stacked.shape[0], stacked.shape[1] * processes, *stacked.shape[2:])
        return jax.make_array_from_process_local_data(placement.by_rows_of_each, stacked, shape)

    return {name: put([batch[name] for batch in batches]) for name in batches[0]}


def abstract_batch(placement: Placement, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Shapes, dtypes and shardings of `put_batch`'s result, from the shapes of the global batch."""

    def spread(leaf: Any) -> Any:
        per_device = _rows_per_device(placement, leaf.shape[0])
        if placement.parallel == "pmap":
            split = (len(placement.local_devices), per_device, *leaf.shape[1:])
            return jax.ShapeDtypeStruct(split, leaf.dtype)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement.by_rows)

    return {name: spread(leaf) for name, leaf in shapes.items()}


def abstract_batches(placement: Placement, shapes: Mapping[str, Any], num: int) -> dict[str, Any]:
    """`abstract_batch` for `put_batches`, from the shapes of one of `num` batches."""
    if num == 1:
        return abstract_batch(placement, shapes)

    def stacked(leaf: Any) -> Any:
        _rows_per_device(placement, leaf.shape[0])
        return jax.ShapeDtypeStruct(
            (num, *leaf.shape), leaf.dtype, sharding=placement.by_rows_of_each
        )

    return {name: stacked(leaf) for name, leaf in shapes.items()}


def replicate(placement: Placement, tree: Any) -> Any:
    """Copy to every device, never sharing the caller's buffers: the step donates its state."""
    return jax.device_put(tree, placement.replicated, may_alias=False)


def abstract(placement: Placement, tree: Any) -> Any:
    """Shapes, dtypes and shardings of `replicate(placement, tree)`: the target for a checkpoint."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement.replicated),
        tree,
    )


def gather(tree: Any) -> Any:
    """Global arrays, spread or replicated -> NumPy arrays with all rows, on every process."""
    if num_processes() == 1:
        return jax.tree.map(np.asarray, tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def agreed(placement: Placement, stop: Callable[[], object]) -> Callable[[], bool]:
    """A function that tells whether `stop()` holds in any process, the same in all at the same call.

    With several processes the answer is one call late, so that asking does not wait.
    """
    if num_processes() == 1:
        return lambda: bool(stop())
    any_of = jax.jit(jnp.max, in_shardings=placement.by_rows, out_shardings=placement.replicated)
    asked: deque[Any] = deque()

    def ask() -> bool:
        here = np.full(len(placement.local_devices), bool(stop()), np.int32)
        rows = jax.make_array_from_process_local_data(placement.by_rows, here)
        asked.append(any_of(rows))
        return len(asked) > 1 and bool(asked.popleft())

    return ask


def _rows_per_device(placement: Placement, batch_size: int) -> int:
    if batch_size % placement.num_devices:
        raise ValueError(
            f"batch_size {batch_size} does not divide over {placement.num_devices} devices"
        )
    return batch_size // placement.num_devices
