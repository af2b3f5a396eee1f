import hashlib

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ddpm_jax.training import fingerprint


def test_it_is_the_sha256_of_names_types_shapes_and_bytes():
    tree = {"b": {"w": jnp.array([[1.5]])}, "a": np.array([2], np.int32)}
    text = b"a int32 (1,)\n" + b"\x02\0\0\0" + b"b/w float32 (1, 1)\n" + b"\0\0\xc0\x3f"
    assert fingerprint.sha256(tree) == hashlib.sha256(text).hexdigest()


def test_it_changes_with_a_bit_a_name_a_shape_and_a_dtype():
    trees = [
        {"w": jnp.zeros((2, 2))},
        {"w": -jnp.zeros((2, 2))},
        {"v": jnp.zeros((2, 2))},
        {"w": jnp.zeros((4,))},
        {"w": jnp.zeros((2, 2), jnp.int32)},
        {"w": jnp.zeros((2, 4), jnp.bfloat16)},
    ]
    assert len({fingerprint.sha256(tree) for tree in trees}) == len(trees)


def test_parameters_are_arrays_by_name():
    with pytest.raises(jaxtyping.TypeCheckError, match="parameter 'params'"):
        fingerprint.sha256(np.zeros(2))


def test_it_does_not_depend_on_where_the_arrays_live():
    tree = {"w": np.arange(8.0)}
    mesh = Mesh(np.array(jax.devices()[:4]), ("d",))
    for spec in (PartitionSpec(), PartitionSpec("d")):
        spread = jax.device_put(tree, NamedSharding(mesh, spec))
        host = {"w": np.asarray(spread["w"])}
        assert fingerprint.sha256(spread) == fingerprint.sha256(host)
