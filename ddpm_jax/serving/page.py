"""The page itself, in Gradio: what is asked in `requests`, as sliders, buttons and pictures."""

import functools
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import PIL.Image

from ddpm_jax.data import image_file, source
from ddpm_jax.serving import canvas, requests
from ddpm_jax.viz import pictures

try:
    import fastapi
    import gradio as gr
except ImportError as error:
    raise ImportError(
        "--mode=serve needs Gradio, which is not installed; the extra `serve` brings it: "
        'pip install "ddpm_jax[serve]"'
    ) from error

DRAWN = "what is drawn on the image"
SECONDS_KEPT = 3600
"""How long the files of an answer are kept."""
MOST_UPLOADED = "10mb"
MOST_WAITING = 64
"""Requests that wait for their turn; a further one is refused."""
TURN: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "devices"}


def build(
    title: str,
    offer: requests.Offer,
    ask: requests.Requests,
    examples: source.Source | None,
    folder: pathlib.Path,
) -> Any:
    """The page as an ASGI app.

    `examples`: real images to change. `folder`: where animations are kept for a while.
    """
    # Pillow refuses an image of more than twice as many pixels.
    PIL.Image.MAX_IMAGE_PIXELS = image_file.MAX_PIXELS // 2
    page = gr.Blocks(
        analytics_enabled=False,
        title=title,
        fill_width=True,
        delete_cache=(SECONDS_KEPT, SECONDS_KEPT),
    )
    with page:
        gr.Markdown(f"## {title}")
        with gr.Tab("Draw"):
            draw_tab(offer, ask, folder)
        with gr.Tab("Change a real image"):
            change_tab(offer, ask, examples)
    return gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page.queue(max_size=MOST_WAITING),
        path="/",
        footer_links=[],
        run_history=False,
        max_file_size=MOST_UPLOADED,
        # The default fonts are Gradio's own; these are the operating system's.
        theme=gr.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
    )


def draw_tab(offer: requests.Offer, ask: requests.Requests, folder: pathlib.Path) -> None:
    def animate(*asked: Any) -> str:
        path = folder / f"{uuid.uuid4().hex}.gif"
        pictures.gif(path, ask.animate(*asked))
        return str(path)

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            name = class_choice(offer, requests.EVERY_CLASS)
            first = min(16, offer.most_images)
            number = gr.Slider(1, offer.most_images, first, step=1, label="Number of images")
            seed = seed_choice()
            steps = steps_choice(offer)
            guidance = guidance_choice(offer)
            solver = gr.Dropdown(list(offer.solvers), value=offer.solver, label="Solver")
            draw = gr.Button("Draw", variant="primary", elem_id="draw")
            way = gr.Button("Show the way from noise", elem_id="way")
        with gr.Column(scale=1, min_width=280):
            made = picture("Images", "made")
        with gr.Column(scale=1, min_width=280):
            moving = picture("The way from noise", "moving")
    asked = [name, number, seed, steps, guidance, solver]
    draw.click(in_words(ask.sample), asked, made, api_name="sample", **TURN)
    way.click(in_words(named_as(ask.animate, animate)), asked, moving, api_name="animate", **TURN)


def change_tab(
    offer: requests.Offer, ask: requests.Requests, examples: source.Source | None
) -> None:
    def denoise(real: Any, name: Any, start: Any, seed: Any, steps: Any) -> pictures.Picture:
        return ask.denoise(canvas.background(real), name, start, seed, steps)

    def inpaint(
        real: Any, part: str, name: Any, resamples: Any, seed: Any, steps: Any
    ) -> pictures.Picture:
        new = canvas.drawn(real) if part == DRAWN else requests.part(part, canvas.SIDE)
        return ask.inpaint(canvas.background(real), new, name, resamples, seed, steps)

    with gr.Row():
        with gr.Column(scale=1, min_width=380):
            real, gallery = real_image(examples)
        with gr.Column(scale=1, min_width=280):
            name = class_choice(offer, None)
            seed = seed_choice()
            steps = steps_choice(offer)
            start = gr.Slider(0.05, 1, 0.5, step=0.05, label="Noise, as a share of all")
            noise = gr.Button("Noise and denoise", variant="primary", elem_id="denoise")
            part = gr.Dropdown([DRAWN, *requests.PARTS], value=DRAWN, label="Part to paint anew")
            most = requests.MOST_RESAMPLES
            resamples = gr.Slider(1, most, 5, step=1, label="Times that a step is taken")
            paint = gr.Button("Paint anew", variant="primary", elem_id="inpaint")
        with gr.Column(scale=1, min_width=280):
            changed = picture("Changed", "changed")
    if examples is not None and gallery is not None:
        gallery.select(picker(offer, examples), None, [real, name], api_visibility="private")
    given = [real, name, start, seed, steps]
    noise.click(in_words(denoise), given, changed, api_name="denoise", **TURN)
    given = [real, part, name, resamples, seed, steps]
    paint.click(in_words(inpaint), given, changed, api_name="inpaint", **TURN)


def real_image(examples: source.Source | None) -> tuple[gr.ImageEditor, gr.Gallery | None]:
    """Where an image is uploaded and drawn on, and examples to click."""
    real = gr.ImageEditor(
        label="Real image",
        sources=("upload", "clipboard"),
        transforms=(),
        layers=False,
        brush=gr.Brush(default_size=20, colors=["#d03030"], color_mode="fixed"),
        canvas_size=(canvas.SIDE, canvas.SIDE),
        height=canvas.SIDE + 120,
        elem_id="real",
    )
    if examples is None:
        return real, None
    gr.Markdown("Or click an example")
    gallery = gr.Gallery(
        [
            (canvas.enlarged(image), examples.class_names[label])
            for image, label in zip(source.decode(examples), examples.labels, strict=True)
        ],
        label="Examples",
        show_label=False,
        columns=3,
        buttons=[],
        format="png",
        allow_preview=False,
        elem_id="examples",
    )
    return real, gallery


def class_choice(offer: requests.Offer, every: str | None) -> Any:
    """With no classes to choose from, nothing that is shown."""
    if not offer.class_names:
        return gr.State("")
    names = [*([every] if every else []), *offer.class_names]
    return gr.Dropdown(names, value=names[0], label="Class")


def seed_choice() -> gr.Number:
    return gr.Number(0, label="Seed", precision=0, info="The same seed gives the same images")


def steps_choice(offer: requests.Offer) -> gr.Slider:
    return gr.Slider(1, offer.most_steps, offer.steps, step=1, label="Steps")


def guidance_choice(offer: requests.Offer) -> Any:
    if not offer.guided:
        return gr.State(offer.guidance)
    most = requests.MOST_GUIDANCE
    return gr.Slider(0, most, offer.guidance, step=0.25, label="Guidance", info="1: none")


def picture(label: str, name: str) -> gr.Image:
    """Its label stands above it: Gradio's own would cover a part of it."""
    gr.Markdown(label)
    return gr.Image(
        label=label,
        show_label=False,
        elem_id=name,
        format="png",
        interactive=False,
        buttons=["download"],
    )


def picker(offer: requests.Offer, examples: source.Source) -> Callable[..., tuple[Any, Any]]:
    def pick(event: gr.SelectData) -> tuple[Any, Any]:
        """The example that was clicked, and its class."""
        image, label = (
            canvas.enlarged(examples.read(event.index)),
            int(examples.labels[event.index]),
        )
        value = {"background": image, "layers": [], "composite": None}
        return value, offer.class_names[label] if offer.class_names else ""

    return pick


def in_words(ask: Callable[..., Any]) -> Callable[..., Any]:
    """What is refused is said on the page."""

    @functools.wraps(ask)
    def asked(*given: Any) -> Any:
        try:
            return ask(*given)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return asked


def named_as(first: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    """`then`, with the names of the arguments of `first`, which programs see."""
    return functools.wraps(first)(then)
