"""Weights of the FID Inception network from a file on disk: pytorch-fid's, or one made from it."""

import hashlib
import math
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from jaxtyping import Array, Float
from scipy.special import softmax

from ddpm_jax import zipped_arrays
from ddpm_jax.evaluation import torch_file
from ddpm_jax.evaluation.inception import Inception
from ddpm_jax.whole_file import replacing

OFFICIAL = "6726825d"  # how the SHA-256 of the official file begins; its name says so
SOURCE = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
EPSILON = 1e-3  # of the batch normalization
MAX_DIGEST_BYTES = 256
FLOATS = ("F16", "F32", "F64")  # as safetensors calls them; it has more, which NumPy lacks


class Weights(NamedTuple):
    """`head` turns features into logits; `sha256` is that of the pytorch-fid file they came from."""

    params: Mapping[str, Mapping[str, Float[Array, "..."]]]
    head: Float[np.ndarray, "1008 2048"]
    sha256: str

    @property
    def official(self) -> bool:
        """Whether numbers may be compared with published ones."""
        return self.sha256.startswith(OFFICIAL)


def load(path: str | Path) -> Weights:
    """Load pytorch-fid's .pth, its tensors as .safetensors, or an .npz written by `save`.

    Warns if they are not the official ones. A .safetensors file may say in its metadata, as
    `sha256`, which file it was made from.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there are no Inception weights at {path}; download {SOURCE} and name that file"
        )
    loaders = {".npz": _load_npz, ".safetensors": _load_safetensors}
    weights = loaders.get(path.suffix, _load_pth)(path)
    for name, arrays in {**weights.params, "head": {"": weights.head}}.items():
        if not all(np.isfinite(np.asarray(array)).all() for array in arrays.values()):
            raise ValueError(f"{path}: {name} has values that are not finite")
    if not weights.official:
        warnings.warn(
            f"{path} has SHA-256 {weights.sha256[:8]}..., the official Inception weights "
            f"{OFFICIAL}...; distances are not comparable with published FID or KID",
            stacklevel=2,
        )
    return weights


def save(path: str | Path, weights: Weights) -> None:
    """Write the folded weights and the digest of the file they came from as .npz, without a pickle.

    Users of the library may keep that file in place of pytorch-fid's.
    """
    flat: dict[str, Any] = {
        f"{name}/{part}": np.asarray(value)
        for name, parts in weights.params.items()
        for part, value in parts.items()
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, head=weights.head, sha256=np.array(weights.sha256), **flat)


def probabilities(
    features: Float[np.ndarray, "N 2048"], weights: Weights
) -> Float[np.ndarray, "N 1008"]:
    """For the Inception Score: softmax of the logits without their bias, as in the original graph."""
    return softmax(np.asarray(features, np.float64) @ weights.head.T.astype(np.float64), axis=1)


def _load_pth(path: Path) -> Weights:
    return _from_tensors(path, torch_file.read(path), _file_digest(path))


def _load_safetensors(path: Path) -> Weights:
    tensors = {}
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            sha256 = (file.metadata() or {}).get("sha256") or _file_digest(path)
            for name in file.keys():
                kind = file.get_slice(name).get_dtype()
                if kind in FLOATS:
                    tensors[name] = file.get_tensor(name)
                elif not name.endswith("num_batches_tracked"):
                    wanted = ", ".join(FLOATS)
                    raise ValueError(f"{path}: {name!r} is {kind}, wanted one of {wanted}")
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole file of safetensors: {error!r}") from error
    return _from_tensors(path, tensors, sha256)


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _from_tensors(path: Path, tensors: Mapping[str, np.ndarray], sha256: str) -> Weights:
    """Weights from tensors with PyTorch's names."""
    params = {name: _fold(path, tensors, name, shape) for name, shape in _kernels().items()}
    head = _tensor(path, tensors, "fc.weight", (1008, 2048))
    return Weights(params, head, _checked_digest(path, sha256))


def _checked_digest(path: Path, sha256: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"{path}: sha256 is {sha256!r}, wanted 64 hexadecimal digits")
    return sha256


def _load_npz(path: Path) -> Weights:
    names = zipped_arrays.keys(path)

    def read(name: str, shape: tuple[int, ...], kind: type = np.floating) -> np.ndarray:
        _require(path, name, names)
        most = math.prod(shape) * (8 if shape else MAX_DIGEST_BYTES)
        return _shaped(path, name, zipped_arrays.read(path, name, kind, len(shape), most), shape)

    params = {
        name: {
            "kernel": jnp.asarray(read(f"{name}/kernel", shape)),
            "bias": jnp.asarray(read(f"{name}/bias", shape[-1:])),
        }
        for name, shape in _kernels().items()
    }
    sha256 = _checked_digest(path, str(read("sha256", (), np.str_)))
    return Weights(params, read("head", (1008, 2048)), sha256)


def _kernels() -> dict[str, tuple[int, ...]]:
    """Names of the convolutions, and the shapes of their kernels."""
    image = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    shapes = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]
    return {name: parts["kernel"].shape for name, parts in shapes.items()}


def _fold(
    path: Path, tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
) -> dict[str, Float[Array, "..."]]:
    """conv, then scale * (x - mean) / sqrt(variance + epsilon) + offset: one conv with a bias."""
    height, width, inputs, outputs = shape
    kernel = _tensor(path, tensors, f"{name}.conv.weight", (outputs, inputs, height, width))
    scale, offset, mean, variance = (
        _tensor(path, tensors, f"{name}.bn.{part}", (outputs,)).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale / np.sqrt(variance + EPSILON)
    return {
        "kernel": jnp.asarray(kernel.transpose(2, 3, 1, 0) * scale, jnp.float32),
        "bias": jnp.asarray(offset - mean * scale, jnp.float32),
    }


def _tensor(
    path: Path, tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
) -> np.ndarray:
    _require(path, name, tensors)
    return _shaped(path, name, tensors[name], shape)


def _require(path: Path, name: str, names: Collection[str]) -> None:
    if name not in names:
        raise ValueError(f"{path} has no {name}: these are not weights of the FID Inception")


def _shaped(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape != shape:
        raise ValueError(f"{path}: {name} has shape {array.shape}, wanted {shape}")
    return array
