"""--mode=import: make a run of published weights, a directory in diffusers' format.

The run has a checkpoint and a config file of its own, `config.py`, for the modes that use a trained model.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from ddpm_jax import config_files, rundir, view
from ddpm_jax.assembly import denoising, networks, objective, training
from ddpm_jax.interop import diffusers_folder, scheduler_config, unet_config, unet_tensors
from ddpm_jax.training import checkpoints, devices, retention
from ddpm_jax.training import state as states
from ddpm_jax.types import Params


def run(config: ConfigDict, workdir: pathlib.Path, source: pathlib.Path) -> None:
    """Raises ValueError, and writes nothing, if a layer or a field has no counterpart here."""
    if retention.steps(rundir.checkpoints(workdir)):
        raise ValueError(f"{workdir} holds a run already; give another --workdir")
    given = diffusers_folder.read(source)
    imported_from = source.resolve().name  # `source` may be "."
    try:
        null_class = bool(given.facts.get("null_class", False))
        shape = unet_config.shape_of(given.unet, null_class=null_class)
        fields = unet_config.fields_of(given.unet, shape) | scheduler_config.fields_of(
            given.scheduler
        )
        if shape.num_classes and not null_class:
            fields["loss.label_dropout"] = 0.0  # there is no null class to guide with
        config = config.copy_and_resolve_references()
        config.update_from_flattened_dict(fields)
        names = class_names(given.facts, shape.num_classes)
        net, reads = noted(config, shape.num_classes)
        params = checked(unet_tensors.from_tensors(given.tensors, shape), net, config)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{source} cannot be imported: {error}") from error
    if devices.is_writer():
        rundir.write_config(workdir, config.to_dict())
        about = (
            f"The model of {imported_from}, imported. Set config.data.source to the real images."
        )
        config_files.write(workdir / "config.py", about, fields)
    facts = {"class_names": names, "imported_from": imported_from, "reads": reads}
    save(config, workdir, net, params, facts)
    num = states.count_parameters(params)
    print(
        f"[import] {workdir}: {num:,} parameters, {len(names)} class(es), from {source}. To use them: "
        f"--config={workdir / 'config.py'} --workdir={workdir}",
        flush=True,
    )


def class_names(facts: Mapping[str, Any], num_classes: int) -> tuple[str, ...]:
    """Those that were exported with the weights, or numbers; an unconditional model has one class, `all`."""
    names = tuple(facts.get("class_names", ()))
    if names and num_classes in (0, len(names)):
        return names
    return tuple(map(str, range(num_classes))) or ("all",)


def checked(params: Params, net: nn.Module, config: ConfigDict) -> Params:
    """The parameters on the device; raises ValueError naming the first that the network does not take so."""
    wanted = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))[
        "params"
    ]
    ours = dict(jax.tree_util.tree_leaves_with_path(wanted))
    found = dict(jax.tree_util.tree_leaves_with_path(params))
    for path in ours | found:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        has, wants = (side[path].shape if path in side else None for side in (found, ours))
        if has != wants:
            raise ValueError(f"layer {name} has shape {has}, wanted {wants}")
        if not np.isfinite(found[path]).all():
            raise ValueError(f"layer {name} has values that are not finite")
    return {"params": jax.device_put(params)}


def noted(config: ConfigDict, num_classes: int) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and the fields of the config that make it and its noise levels."""
    reads: dict[str, Any] = {}

    def note(name: str, value: Any) -> None:
        reads[name] = rundir.plain(value)

    seen = view.View(config, note)
    denoising.build_levels(seen.schedule)
    return networks.build_net(seen, num_classes), reads


def save(
    config: ConfigDict,
    workdir: pathlib.Path,
    net: nn.Module,
    params: Params,
    facts: Mapping[str, Any],
) -> None:
    """Write a checkpoint of step 0, which says what fields of the config make its network."""
    loss_fn = objective.build_loss(config, net, denoising.build_levels(config.schedule))
    state = states.create(params, optax.identity(), loss_fn, training.batch_shapes(config))
    with checkpoints.saver(rundir.checkpoints(workdir), keep=1) as write:
        write(state, extra=facts)
