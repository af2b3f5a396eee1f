"""Records what pytorch-fid's network answers, for tests/evaluation/test_inception.py.

    python -m venv /tmp/torch && /tmp/torch/bin/pip install torch==2.13.0 numpy pillow scipy
    /tmp/torch/bin/pip install --no-deps torchvision pytorch-fid
    /tmp/torch/bin/python tests/golden/record_inception.py

Made with torch 2.13.0, torchvision 0.29.2, pytorch-fid 0.3.0. The weights are drawn, not trained,
by `drawn_weight`, and so are the images: the test repeats both, and only outputs are kept.
Also writes two small files in PyTorch's two formats, for tests/evaluation/test_torch_file.py.
"""

import collections
import pathlib
import zlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def drawn_weight(name, shape):
    """A function of the tensor's name, so that the order of the names does not matter."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) > 1:
        fan_in = np.prod(shape[1:])
        return draw.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    if name.endswith(("bn.weight", "running_var")):
        return draw.uniform(0.5, 1.5, shape).astype(np.float32)
    return draw.normal(0, 0.1, shape).astype(np.float32)


def drawn_images():
    """Smaller and larger than the 299 pixels the network wants, not square, colors and noise."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    small = coarse.repeat(8, axis=1).repeat(8, axis=2) // 2
    small = small + draw.integers(0, 128, small.shape, dtype=np.uint8)
    return {"small": small, "large": draw.integers(0, 256, (1, 400, 320, 3), dtype=np.uint8)}


def record():
    import torch

    # torchvision's CPU wheel is not on PyPI; the CUDA one imports if these operators are known.
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from pytorch_fid import inception as reference

    network = collections.OrderedDict()
    reference.load_state_dict_from_url = lambda *_, **__: network
    from torchvision.models import inception_v3

    shapes = inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    for name in shapes:
        if name.endswith("num_batches_tracked"):
            network[name] = torch.tensor(0)
    # FID's blocks change no shape but that of the pooled branches, which they all have alike.
    network.update(
        {n: torch.from_numpy(drawn_weight(n, v.shape)) for n, v in shapes.items() if v.ndim}
    )
    model = reference.InceptionV3().eval()
    outputs = {}
    for name, images in drawn_images().items():
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            outputs[name] = model(batch)[0][:, :, 0, 0].numpy()
    np.savez_compressed(HERE / "inception.npz", **outputs)

    weight = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8
    state = collections.OrderedDict(
        weight=weight,
        transposed=weight.permute(2, 0, 1),
        part=weight[1, 1:],
        count=torch.tensor(7),
        half=torch.tensor([1.5, -2]).half(),
        double=torch.tensor([0.1], dtype=torch.float64),
    )
    for name, zipped in (("archive", True), ("stream", False)):
        path = HERE / f"tensors_{name}.pth"
        torch.save(state, path, _use_new_zipfile_serialization=zipped)


if __name__ == "__main__":
    record()
