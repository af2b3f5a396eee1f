"""What a compiled program needs, and how much memory there is for it."""

import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from ddpm_jax.training.devices import Placement


class Footprint(NamedTuple):
    """Needs per device, as the compiler planned them; libraries that it calls may take more.

    gflop: XLA counts the body of a loop once.
    arguments: bytes of the program's inputs; added: bytes of its outputs and intermediate results.
    """

    gflop: float
    arguments: int
    added: int

    @property
    def total(self) -> int:
        return self.arguments + self.added


def of(compiled: Any) -> Footprint:
    """`compiled` comes from `jax.jit(...).lower(...).compile()`."""
    memory = compiled.memory_analysis()
    made = memory.output_size_in_bytes - memory.alias_size_in_bytes + memory.temp_size_in_bytes
    gflop = compiled.cost_analysis().get("flops", 0.0) / 1e9
    return Footprint(gflop, memory.argument_size_in_bytes, made)


def num_bytes(tree: Any) -> int:
    """Bytes of a tree of arrays, or of their shapes."""
    return sum(int(leaf.size) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def capacity(placement: Placement, held: int) -> int:
    """Bytes that the programs of a run may take on each device.

    An accelerator reports it. On CPUs, all devices of this process share the machine's free memory;
    each adds the `held` bytes that those programs' arguments already occupy.
    """
    stats = [device.memory_stats() for device in placement.local_devices]
    if all(found and "bytes_limit" in found for found in stats):
        return min(found["bytes_limit"] for found in stats)
    return machine_room() // len(stats) + held


def machine_room(root: pathlib.Path = pathlib.Path("/")) -> int:
    """Bytes that this process can still take, within the machine and the control groups it is in."""
    return max(0, min(_available(root), *_group_rooms(root)))


def _available(root: pathlib.Path) -> int:
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # not Linux: all memory
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return (
        int(found[1]) << 10 if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    )


def _group_rooms(root: pathlib.Path) -> Iterator[int]:
    """Bytes left in each control group (version 1 or 2) that limits memory, up to the topmost visible."""
    yield 1 << 62
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            room = _room(folder, *names)
            if room is not None:
                yield room
            if folder == mount:
                break


def _room(folder: pathlib.Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """None if the folder does not exist or has no limit."""
    try:
        most, used = (folder / limit).read_text().strip(), (folder / usage).read_text()
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    # Cached files count as used, but are evicted when memory is needed.
    return None if most == "max" else int(most) - int(used) + int(stat.get(reclaimable, 0))
