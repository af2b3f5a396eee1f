"""One number for all parameters: equal if and only if every bit is."""

import hashlib

import jax
import numpy as np

from ddpm_jax.types import Params


def sha256(params: Params) -> str:
    """Hash paths, dtypes, shapes and bytes in the order of the paths, wherever the arrays live."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    digest = hashlib.sha256()
    for name in sorted(named):
        array = np.asarray(named[name])
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
