"""No silent options: a field that is set but that nothing reads is refused before anything runs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddpm_jax.assembly import classifiers, datasets, denoising, networks, objective, optimizers
from ddpm_jax.assembly.choice import Option

CHOICES: dict[str, Mapping[str, Option]] = {
    "classifier.net": classifiers.NETS,
    "data.source": datasets.SOURCES,
    "loss.draw": objective.DRAWS,
    "loss.kind": objective.KINDS,
    "loss.weight": objective.WEIGHTS,
    "optim.name": optimizers.OPTIMIZERS,
    "optim.schedule": optimizers.RATES,
    "sampling.solver": denoising.SOLVERS,
    "schedule.name": denoising.SCHEDULES,
}
"""Each field that chooses by name, and its options, which name the fields of its section that they read."""
SECTIONS = {"net.name": networks.NETS}
"""Each field that chooses by name, and its options, each of which has a section of its own name."""
READ_BESIDES = {"sampling.variance"}
"""Fields that the bits/dim of --mode=evaluate also read, whatever the solver."""


class Switch(NamedTuple):
    """Fields that nothing reads while `off(config)`, because of the field `by`."""

    fields: tuple[str, ...]
    by: str
    off: Callable[[ConfigDict], bool]


def _is_unet(config: ConfigDict) -> bool:
    return config.net.name == "unet"


def _no_level_attends(config: ConfigDict) -> bool:
    kinds, at = config.net.attention, config.net.unet.attention_resolutions
    return not at or set(kinds) == {"none"}


def _never_augmented(section: ConfigDict) -> bool:
    fields = ("flip", "rotation", "shift", "brightness", "contrast", "saturation", "cutout")
    on = any(section[field] for field in fields if field in section)
    return not on and section.crop_scale == 1.0 and section.zoom == 1.0


def _unguided(config: ConfigDict) -> bool:
    """Whether there is no classifier-free guidance."""
    return {config.sampling.guidance_scale, *config.sweep.guidance_scales} == {1.0}


AUGMENTED = (", augmented", ", real augmented", ", selected", ", soft")
"""Suffixes of arms that are augmented in the training, or whose ensemble is."""

SWITCHES = (
    Switch(("augment.crop_ratio",), "augment.crop_scale", lambda c: c.augment.crop_scale == 1.0),
    Switch(
        ("augment.probability", "net.augment_condition"),
        "augment",
        lambda c: _never_augmented(c.augment),
    ),
    Switch(
        ("classifier.augment.crop_ratio",),
        "classifier.augment.crop_scale",
        lambda c: c.classifier.augment.crop_scale == 1.0,
    ),
    Switch(
        ("classifier.augment.mixup",),
        "classifier.arms",
        lambda c: not classifiers.any_arm(c.classifier, *AUGMENTED),
    ),
    Switch(("classifier.augment.saturation",), "data.channels", lambda c: c.data.channels == 1),
    Switch(
        ("classifier.augment.probability",),
        "classifier.augment",
        lambda c: _never_augmented(c.classifier.augment),
    ),
    Switch(
        ("classifier.copies",),
        "classifier.arms",
        lambda c: not classifiers.any_arm(c.classifier, "real+duplicated", "real+augmented"),
    ),
    Switch(
        ("classifier.ensemble.num",),
        "classifier.arms",
        lambda c: not classifiers.num_ensemble(c.classifier),
    ),
    Switch(
        ("classifier.select",),
        "classifier.arms",
        lambda c: not classifiers.any_arm(c.classifier, ", selected"),
    ),
    Switch(
        ("classifier.synthetic_share",),
        "classifier.arms",
        lambda c: not classifiers.any_arm(c.classifier, "real+"),
    ),
    Switch(
        ("evaluation.features",),
        "evaluation.inception_weights",
        lambda c: bool(c.evaluation.features and c.evaluation.inception_weights),
    ),
    Switch(
        ("evaluation.likelihood_steps",),
        "evaluation.likelihood_images",
        lambda c: not c.evaluation.likelihood_images,
    ),
    Switch(("data.fold",), "data.num_folds", lambda c: not c.data.num_folds),
    Switch(("export.num_images",), "export.class_counts", lambda c: bool(c.export.class_counts)),
    Switch(("loss.label_dropout",), "net.class_conditional", lambda c: not c.net.class_conditional),
    Switch(
        ("net.attention",),
        "net.unet.attention_resolutions",
        lambda c: _is_unet(c) and not c.net.unet.attention_resolutions,
    ),
    Switch(
        ("net.num_heads",),
        "net.attention",
        lambda c: not _is_unet(c) and set(c.net.attention) == {"none"},
    ),
    Switch(
        ("net.num_heads", "net.unet.head_channels"),
        "net.unet.middle_attention",
        lambda c: _is_unet(c) and c.net.unet.middle_attention == "none" and _no_level_attends(c),
    ),
    Switch(
        ("net.unet.downsample_padding",),
        "net.unet.resampling",
        lambda c: c.net.unet.resampling != "conv",
    ),
    Switch(
        ("net.unet.max_period",),
        "net.unet.time_embedding",
        lambda c: c.net.unet.time_embedding == "mlp",
    ),
    Switch(("net.unet.num_groups",), "net.unet.norm", lambda c: c.net.unet.norm == "rms"),
    Switch(
        ("sampling.autoguidance_checkpoint",),
        "sampling.autoguidance_scale",
        lambda c: c.sampling.autoguidance_scale == 1.0,
    ),
    Switch(("sampling.guidance_from",), "sampling.guidance_scale", _unguided),
    Switch(
        ("sampling.guidance_interval",),
        "sampling.guidance_scale",
        lambda c: (
            _unguided(c)
            and not c.sampling.classifier_scale
            and c.sampling.autoguidance_scale == 1.0
        ),
    ),
    Switch(
        ("sweep.num_noises", "sweep.num_seeds", "sweep.split"),
        "sweep.num_images",
        lambda c: not c.sweep.num_images,
    ),
)


def check(config: ConfigDict, settings: Mapping[str, str], mode: str = "all") -> None:
    """Raises ValueError naming each field that is set but not read, and the choice that does not read it.

    settings: dotted names of the fields that are set, each with the flag that undoes it, or "" if leaving
    out a flag undoes it. `config` may lack sections: those of a classifier are enough.
    """
    config = _with_sweeps_that_count(config, settings, mode)
    if mode == "own" or any(name.startswith("own.") for name in settings):
        config = config.copy_and_resolve_references()
        config.classifier.arms += (*config.own.real_arms, *config.own.synthetic_arms)
    lines = []
    for name, flag in sorted(settings.items()):
        if reason := unread(config, name):
            back = f" ({flag} takes it back)" if flag else ""
            lines.append(f"config.{name} is set, and {reason}{back}")
    if lines:
        raise ValueError("\n".join(lines))


def _with_sweeps_that_count(
    config: ConfigDict, settings: Mapping[str, str], mode: str
) -> ConfigDict:
    """The config; a sweep's solvers and scales stay in it only if a sweep is run or they are set."""
    if mode == "sweep" or "sweep" not in config:
        return config
    config = config.copy_and_resolve_references()
    for field in ("samplers", "guidance_scales"):
        if f"sweep.{field}" not in settings:
            config.sweep[field] = ()
    return config


def unread(config: ConfigDict, name: str) -> str | None:
    """What does not read the field, and what would; None if it is read."""
    return next(_reasons(config, name), None)


def _reasons(config: ConfigDict, name: str) -> Iterator[str]:
    section, _, field = name.rpartition(".")
    for chooser, options in CHOICES.items():
        readers = [option for option, entry in options.items() if field in entry.reads]
        if chooser.rpartition(".")[0] != section or not readers or name in READ_BESIDES:
            continue
        asked = chosen(config, chooser)
        # Unknown names are refused where the part is built.
        if asked <= set(options) and not asked & set(readers):
            does = "does" if len(readers) == 1 else "do"
            which = " and ".join(map(repr, readers))
            yield f"{_stands(config, chooser)} does not read it; {which} {does}"
    for chooser, known in SECTIONS.items():
        owner = section.removeprefix(chooser.rpartition(".")[0] + ".")
        asked = chosen(config, chooser) if owner in known and owner != section else set()
        if asked and asked <= set(known) and owner not in asked:
            yield f"{_stands(config, chooser)} does not read it"
    for switch in SWITCHES:
        if name in switch.fields and switch.off(config):
            yield f"{_stands(config, switch.by)} does not read it"


def chosen(config: ConfigDict, chooser: str) -> set[str]:
    """The chosen options. In a source or a sampler, the option stands before the colon."""
    names = [value_of(config, chooser)]
    if chooser == "sampling.solver":
        names += config.sweep.samplers
    return {name.partition(":")[0] for name in names}


def value_of(config: ConfigDict, name: str) -> Any:
    """The field of a dotted name."""
    for part in name.split("."):
        config = config[part]
    return config


def _stands(config: ConfigDict, name: str) -> str:
    value = value_of(config, name)
    return f"{name}={value.to_dict() if isinstance(value, ConfigDict) else value!r}"
