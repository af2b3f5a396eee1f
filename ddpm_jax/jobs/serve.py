"""--mode=serve: a page in the browser to draw from the model, and to change real images with it.

The model is loaded once. SIGTERM or Ctrl-C ends the server, with status 0.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir
from ddpm_jax.assembly import datasets, denoising
from ddpm_jax.data import source
from ddpm_jax.model import Model
from ddpm_jax.models import trained
from ddpm_jax.serving import requests
from ddpm_jax.training import devices, signals


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
    check(config)
    with a_folder() as folder:
        # Imported here, because Gradio is an extra.
        from ddpm_jax.serving import page, server

        # The address is taken first, so that a port in use is said at once.
        with server.listening(config.serve.host, config.serve.port) as at:
            run_files.check_model(config, workdir)
            found = trained.load_model(config, rundir.checkpoints(workdir))
            offer = what_is_offered(config, found)
            ask = requests.build(Model(config, found), offer)
            title = f"{workdir.name}, step {found.facts['step']}"
            app = page.build(title, offer, ask, real_images(config), folder)
            with signals.deferred() as received:
                server.serve(app, at, received, say)
                print(f"[serve] {received()}: stopped", flush=True)


def say(address: str) -> None:
    print(f"[serve] {address} (Ctrl-C ends it)", flush=True)


def check(config: ConfigDict) -> None:
    if devices.num_processes() > 1:
        raise ValueError(f"--mode=serve wants one process, not {devices.num_processes()} together")
    for field in ("max_images", "max_steps"):
        if config.serve[field] < 1:
            raise ValueError(f"serve.{field} is {config.serve[field]}; wanted at least 1")


@contextlib.contextmanager
def a_folder() -> Iterator[pathlib.Path]:
    """A folder for Gradio's files and those of the answers; gone when the server ends."""
    with tempfile.TemporaryDirectory(prefix="ddpm_jax_serve_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # read whenever Gradio makes a component
        yield pathlib.Path(folder)


def real_images(config: ConfigDict) -> source.Source | None:
    """Examples to change; None if the dataset is not here, because the model works without it."""
    try:
        return datasets.examples(config)
    except (ValueError, OSError, ImportError) as error:
        print(f"[serve] no real images as examples: {error}", flush=True)
        return None


def what_is_offered(config: ConfigDict, model: trained.Model) -> requests.Offer:
    names = model.class_names if model.net.num_classes and len(model.class_names) > 1 else ()
    most_steps = min(config.serve.max_steps, config.schedule.num_steps)
    return requests.Offer(
        class_names=tuple(names),
        solvers=solvers(config, model),
        guided=can_be_guided(config),
        most_images=config.serve.max_images,
        most_steps=most_steps,
        steps=min(config.sampling.num_steps, most_steps),
        guidance=config.sampling.guidance_scale,
        solver=config.sampling.solver,
    )


def solvers(config: ConfigDict, model: trained.Model) -> tuple[str, ...]:
    """Those that go with the run's loss and with its spacing of the steps."""
    return tuple(name for name in denoising.SOLVERS if goes(config, model, name))


def goes(config: ConfigDict, model: trained.Model, solver: str) -> bool:
    if solver == config.sampling.solver:
        return True
    if solver == "consistency" and config.loss.kind != "consistency":
        return False
    other = config.copy_and_resolve_references()
    other.sampling.solver = solver
    try:
        denoising.build_steps(other.sampling, model.table)
        denoising.build_solver(other.sampling, model.table)
    except ValueError:
        return False
    return True


def can_be_guided(config: ConfigDict) -> bool:
    """Whether the network was trained for classifier-free guidance."""
    other = config.copy_and_resolve_references()
    other.sampling.guidance_scale = 2.0
    try:
        denoising.check_guidance(other)
    except ValueError:
        return False
    return True
