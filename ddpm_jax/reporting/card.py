"""The dataset card of a published set: Markdown below a YAML header that the Hugging Face hub reads."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_jax.reporting.accuracies import in_words
from ddpm_jax.reporting.items import Fields

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def write(
    name: str,
    num_images: int,
    class_names: Sequence[str] | None,
    meta: Mapping[str, Any],
    found: Mapping[str, Fields],
    data_files: str,
) -> str:
    """The text of README.md. `class_names`: None for a set without labels."""
    return "\n".join(
        [
            *_header(name, num_images, class_names, data_files),
            f"# {name}",
            "",
            f"{num_images:,} synthetic images, drawn from a diffusion model{_beginning(meta)}. No image is a "
            "photograph. Each PNG says so in its XMP metadata: IPTC DigitalSourceType "
            "`trainedAlgorithmicMedia`.",
            "",
            "## How it was made",
            "",
            *_made(meta),
            "",
            "## What it is worth to a classifier",
            "",
            *_worth(found.get("classify")),
            "",
            "## Copies of training images",
            "",
            _copies(found),
            "",
        ]
    )


def _header(
    name: str, num_images: int, class_names: Sequence[str] | None, data_files: str
) -> list[str]:
    size = next((text for bound, text in SIZES if num_images < bound), "n>1M")
    features = ["  features:", "  - name: image", "    dtype: image"]
    if class_names is not None and data_files.endswith(".jsonl"):
        features += ["  - name: label", "    dtype: string"]
    elif class_names is not None:
        features += ["  - name: label", "    dtype:", "      class_label:", "        names:"]
        features += [
            f"          '{i}': {json.dumps(text, ensure_ascii=False)}"
            for i, text in enumerate(class_names)
        ]
    task = "unconditional-image-generation" if class_names is None else "image-classification"
    return [
        "---",
        f"pretty_name: {json.dumps(name, ensure_ascii=False)}",
        f"task_categories:\n- {task}",
        f"size_categories:\n- {size}",
        "tags:\n- synthetic",
        "dataset_info:",
        *features,
        "---",
        "",
    ]


def _beginning(meta: Mapping[str, Any]) -> str:
    start = meta.get("start", 1.0)
    noised = (
        f", each from a real training image of its class that was noised to {start:g} of the way"
    )
    return noised if start < 1.0 else ""


def _made(meta: Mapping[str, Any]) -> list[str]:
    fields = meta.get("reads", {}).get("fields", {})
    rows = {
        "program": f"ddpm_jax {meta.get('versions', {}).get('ddpm_jax', '')}",
        "network": fields.get("net.name"),
        "real images": meta.get("real") or None,
        "training steps of the checkpoint": meta.get("checkpoint"),
        "solver": meta.get("solver"),
        "solver steps": meta.get("num_steps"),
        "guidance scale": meta.get("guidance_scale"),
        "autoguidance scale": meta.get("autoguidance_scale"),
        "seed": meta.get("seed"),
    }
    return [f"* {what}: {value}" for what, value in rows.items() if value is not None]


def _worth(classify: Fields | None) -> list[str]:
    if classify is None:
        return ["It was not measured: no classifier was trained on this set."]
    rows = [
        f"| {in_words(arm)} | {of['n_train']:,} | {100 * of['accuracy']:.1f} ± {100 * of['ci95']:.1f} |"
        for arm, of in classify["arms"].items()
    ]
    return [
        f"Accuracy on {classify['n_test']:,} real images of the {classify['tested_on']}, with 95 % "
        "intervals:",
        "",
        "| trained on | images | accuracy (%) |",
        "|---|---|---|",
        *rows,
    ]


def _copies(found: Mapping[str, Fields]) -> str:
    memory = found.get("evaluate", {}).get("memorization") or found.get("copies")
    if memory is None:
        return "Nobody has looked for copies of training images in this set."
    if memory.get("copies") is None and "share" not in memory:
        return f"Copies were not judged: {memory.get('why', 'no reason was given')}."
    space = memory if "share" in memory else memory["pixels"]
    verdict = ""
    if memory.get("copies") is not None:
        says = "The test says that the model copies. "
        verdict = says if memory["copies"] else "The test shows no sign of it. "
    return (
        verdict
        + f"In pixels, {100 * space['share']:.1f} % of the images are copies of training images or as near; "
        f"{100 * space['expected_share']:.1f} % are expected of new real images."
    )
