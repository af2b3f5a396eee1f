"""Inception weights as .safetensors, of one convolution instead of the 94: whole, damaged, foreign."""

import random
import struct

import deeds
import numpy as np
import pytest
from safetensors.numpy import save, save_file

from ddpm_jax.evaluation import inception_weights

SHA256 = inception_weights.OFFICIAL + "0" * 56
STATE = {
    "Conv2d_1a_3x3.conv.weight": np.ones((4, 3, 3, 3), np.float32),
    "Conv2d_1a_3x3.bn.weight": np.ones(4, np.float16),
    "Conv2d_1a_3x3.bn.bias": np.zeros(4, np.float64),
    "Conv2d_1a_3x3.bn.running_mean": np.zeros(4, np.float32),
    "Conv2d_1a_3x3.bn.running_var": np.full(4, 4 - inception_weights.EPSILON, np.float32),
    "fc.weight": np.zeros((1008, 2048), np.float32),
}


@pytest.fixture(autouse=True)
def one_convolution(monkeypatch):
    monkeypatch.setattr(inception_weights, "_kernels", lambda: {"Conv2d_1a_3x3": (3, 3, 3, 4)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


def test_a_file_that_says_what_it_was_made_from_is_taken_for_that(path):
    save_file(STATE, path, metadata={"sha256": SHA256})
    weights = inception_weights.load(path)  # and no warning: an error
    assert weights.official and weights.sha256 == SHA256
    # By hand: a variance of 4 with the epsilon halves a kernel of ones.
    np.testing.assert_allclose(weights.params["Conv2d_1a_3x3"]["kernel"], 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fc.weight": np.zeros((1000, 2048), np.float32)}, r"shape \(1000, 2048\), wanted \(1008"),
        (
            {"fc.weight": np.zeros((1008, 2048), np.int8)},
            r"'fc.weight' is I8, wanted one of F16, F",
        ),
        ({"fc.weight": np.full((1008, 2048), np.nan)}, "head has values that are not finite"),
    ],
)
def test_tensors_of_another_kind_are_refused(path, changed, message):
    save_file(STATE | changed, path, metadata={"sha256": SHA256})
    with pytest.raises(ValueError, match=f"^{path}: .*{message}"):
        inception_weights.load(path)


def test_weights_of_another_network_and_a_false_digest_are_refused(path):
    save_file({"fc.weight": STATE["fc.weight"]}, path)
    with pytest.raises(
        ValueError, match=r"has no Conv2d_1a_3x3\.conv\.weight: these are not weights"
    ):
        inception_weights.load(path)
    save_file(STATE, path, metadata={"sha256": "abc"})
    with pytest.raises(ValueError, match="sha256 is 'abc', wanted 64 hexadecimal digits"):
        inception_weights.load(path)


def test_a_damaged_file_is_refused_in_one_line(path):
    whole = save(STATE, metadata={"sha256": SHA256})
    (length,) = struct.unpack("<Q", whole[:8])
    rng, counts = random.Random(0), {"read": 0, "refused": 0}
    for number in range(60):
        data = bytearray(whole)
        at = rng.randrange(8 + length)
        data[at : at + number % 3] = rng.randbytes(rng.randrange(3))
        path.write_bytes(data[: len(data) if number % 4 else at])
        try:
            with deeds.outside(path.parent) as done:
                inception_weights.load(path)
            counts["read"] += 1
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            counts["refused"] += 1
        assert not done
    assert counts["refused"] > 40
    path.write_bytes(b"PK\3\4" + whole)
    with pytest.raises(ValueError, match=f"^{path} is not a whole file of safetensors"):
        inception_weights.load(path)
