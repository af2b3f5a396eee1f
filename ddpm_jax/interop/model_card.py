"""The model card of exported weights."""

from collections.abc import Mapping
from typing import Any


def card(
    unet: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    facts: Mapping[str, Any],
    num_parameters: int,
) -> str:
    """Markdown. `facts`: class names, whether there is a null class, and the checkpoint's manifest."""
    names, size = facts["class_names"], unet["sample_size"]
    kind = f"{size}x{size} images of {unet['in_channels']} channel(s)"
    last = scheduler["num_train_timesteps"] - 1
    classes = [f"{label}: {name}" for label, name in enumerate(names)]
    if unet["num_class_embeds"] is None:
        use = (
            "pipeline = diffusers.DDPMPipeline.from_pretrained(FOLDER)\n"
            "images = pipeline(batch_size=4).images"
        )
        about = "The model is unconditional."
    else:
        use = (
            'net = diffusers.UNet2DModel.from_pretrained(FOLDER, subfolder="unet")\n'
            'scheduler = diffusers.DDPMScheduler.from_pretrained(FOLDER, subfolder="scheduler")\n'
            "output = net(noisy, t, class_labels=labels).sample"
        )
        about = f"Class labels: {'; '.join(classes)}." + (
            f" Label {len(names)} is the null class, for classifier-free guidance."
            if facts["null_class"]
            else " There is no null class, so classifier-free guidance is not possible."
        )
    return f"""---
library_name: diffusers
tags: [diffusion, image-generation]
---

# A diffusion model of {kind}

Trained with ddpm_jax: {num_parameters:,} parameters, {facts["step"]:,} steps. The weights are averaged
over the training. SHA-256 of the training images: `{facts["extra"].get("data_sha256", "not known")}`.

{about} The network predicts `{scheduler["prediction_type"]}` at noise levels 0 to {last}. Pixels lie
in [-1, 1].

```python
import diffusers

{use}
```

State the licence of the weights and of the images that they were trained on here.
"""
