"""What a training would only fail at after hours, or at its end, is refused before it."""

from ml_collections import ConfigDict

from ddpm_jax.assembly import denoising, optimizers


def check_intervals(config: ConfigDict) -> None:
    """Raises ValueError if the training would log, validate, save or draw samples every 0 steps."""
    at_the_end = dict.fromkeys(("log_every", "eval_every", "save_every"), "at the end only")
    for name, when in (at_the_end | {"sample_every": "never"}).items():
        if config.training[name] < 1:
            raise ValueError(
                f"training.{name} is {config.training[name]}; wanted at least 1, or more than "
                f"training.num_steps for {when}"
            )


def check_kept(config: ConfigDict) -> None:
    """Raises ValueError if what the sampling section names would not be there when the training is over.

    That is a checkpoint, an average of the weights, or the checkpoint of autoguidance. Also if `keep_every`
    names steps at which nothing is saved, unless a signal happens to come, if a grid would have no images,
    and as `check_intervals` and `denoising.check_variance` do.
    """
    check_intervals(config)
    denoising.check_variance(config)
    if config.sampling.images_per_class < 1:
        raise ValueError(
            f"sampling.images_per_class is {config.sampling.images_per_class}; wanted at least 1"
        )
    every, saved = config.training.keep_every, config.training.save_every
    if every < 0 or every % saved:
        raise ValueError(
            f"training.keep_every is {every}; wanted 0 or a multiple of training.save_every, {saved}"
        )
    check_average(config)
    sampled = config.sampling.checkpoint
    if sampled == "best" and not config.training.eval_images:
        raise ValueError(
            "sampling.checkpoint is 'best' and training.eval_images is 0: no checkpoint has a validation loss"
        )
    if sampled not in ("newest", "best"):
        require_kept(config.training, "sampling.checkpoint", sampled)
    if denoising.autoguided(config):
        bad, newest = config.sampling.autoguidance_checkpoint, str(config.training.num_steps)
        require_kept(config.training, "sampling.autoguidance_checkpoint", bad)
        if bad == (newest if sampled == "newest" else sampled):
            raise ValueError(
                f"sampling.autoguidance_checkpoint is {bad!r}, wanted another checkpoint than the one that "
                "is sampled"
            )


def check_average(config: ConfigDict) -> None:
    """Raises ValueError if the training makes no average that `sampling.average` names."""
    wanted, known = config.sampling.average, ["ema", *optimizers.build_averages(config.optim)]
    if wanted == "best" and (len(known) == 1 or not config.training.eval_images):
        raise ValueError(
            f"sampling.average is 'best', optim.averages is {tuple(config.optim.averages)} and "
            f"training.eval_images is {config.training.eval_images}; wanted several averages, and validation "
            "images to choose by"
        )
    if wanted not in (*known, "best"):
        raise ValueError(
            f"sampling.average is {wanted!r}; known: {', '.join(known)}; optim.averages adds to them"
        )


def require_kept(config: ConfigDict, field: str, wanted: str) -> None:
    """Raises ValueError if `field` names no step whose checkpoint the training section keeps."""
    every, saved = config.keep_every, config.save_every
    steps = [*range(saved, config.num_steps, saved), config.num_steps]
    ladder = range(every, config.num_steps, every) if every else ()
    if not wanted.isdecimal() or int(wanted) not in {*steps[-config.keep :], *ladder}:
        raise ValueError(
            f"{field} is {wanted!r}, and the training keeps no checkpoint of that step; set "
            f"training.keep_every to a divisor of it and a multiple of training.save_every, {saved}"
        )
