"""Against pytorch-fid's own network: tests/golden/record_inception.py recorded what it answers."""

import hashlib
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from ddpm_jax.evaluation import inception, inception_weights, torch_file

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
spec = importlib.util.spec_from_file_location("record", GOLDEN / "record_inception.py")
record = importlib.util.module_from_spec(spec)
spec.loader.exec_module(record)


@pytest.fixture(scope="module")
def state():
    """The drawn weights, under the names and in the layout of PyTorch."""
    shapes = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for name, (height, width, inputs, outputs) in inception_weights._kernels().items():
        shapes[f"{name}.conv.weight"] = (outputs, inputs, height, width)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (outputs,)
    return {name: record.drawn_weight(name, shape) for name, shape in shapes.items()}


@pytest.fixture
def weights(state, tmp_path, monkeypatch):
    (tmp_path / "weights.pth").write_bytes(b"any")
    monkeypatch.setattr(torch_file, "read", lambda path: state)
    with pytest.warns(UserWarning, match="not comparable with published FID"):
        return inception_weights.load(tmp_path / "weights.pth")


def as_pytorch_fid(image):
    """x / 127.5 - 1 and pixel centers aligned, where the original graph aligns top left corners."""
    shape = (299, 299, 3)
    return jax.image.resize(image / np.float32(127.5) - 1, shape, "linear", antialias=False)


def test_features_agree_with_pytorch_fid(weights):
    recorded = np.load(GOLDEN / "inception.npz")
    network = jax.jit(inception.Inception().apply)
    for name, images in record.drawn_images().items():
        # One at a time, so that both sizes share one compiled network.
        for image, expected in zip(images, recorded[name], strict=True):
            batch = as_pytorch_fid(image)[None]
            features = network({"params": weights.params}, batch)[0]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(features / scale, expected / scale, atol=1e-5)


def resized_by_hand(image, side):
    """Bilinear interpolation, top left corners aligned, written out for every pixel."""
    height, width = image.shape
    out = np.zeros((side, side))
    for y in range(side):
        for x in range(side):
            v, u = y * height / side, x * width / side
            top, left = int(v), int(u)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = image[top, left] * (1 - u + left) + image[top, right] * (u - left)
            below = image[bottom, left] * (1 - u + left) + image[bottom, right] * (u - left)
            out[y, x] = above * (1 - v + top) + below * (v - top)
    return out


@pytest.mark.parametrize("shape", [(8, 5), (330, 301)])
def test_preprocessing_is_bilinear_as_its_original_does_it(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    got = np.asarray(inception.preprocess_tensorflow(jnp.asarray(image[None, :, :, None])))
    expected = resized_by_hand((image - 128.0) / 128.0, 299)
    assert got.shape == (1, 299, 299, 3)
    for channel in range(3):
        np.testing.assert_allclose(got[0, :, :, channel], expected, atol=1e-5)


def test_the_network_has_the_parameters_of_the_original(weights):
    # 21,785,568 in pytorch-fid without its classifier and statistics; folding drops each scale.
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(weights.params))
    kernels = sum(np.size(parts["kernel"]) for parts in weights.params.values())
    assert len(weights.params) == 94
    assert kernels + 2 * (count - kernels) == 21_785_568


def test_weights_saved_as_npz_load_the_same(weights, tmp_path):
    inception_weights.save(tmp_path / "weights.npz", weights)
    with pytest.warns(UserWarning, match="not comparable"):
        loaded = inception_weights.load(tmp_path / "weights.npz")
    assert loaded.sha256 == weights.sha256 == hashlib.sha256(b"any").hexdigest()
    assert not loaded.official
    np.testing.assert_array_equal(loaded.head, weights.head)
    jax.tree.map(np.testing.assert_array_equal, dict(loaded.params), dict(weights.params))


def test_tensors_saved_as_safetensors_load_the_same(state, weights, tmp_path):
    path = tmp_path / "weights.safetensors"
    counts = {"Mixed_5b.branch1x1.bn.num_batches_tracked": np.array(0)}
    save_file(state | counts, path)
    with pytest.warns(UserWarning, match="not comparable"):
        loaded = inception_weights.load(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(loaded.head, weights.head)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, weights.params)


def test_the_official_file_is_known_by_its_digest(weights, tmp_path):
    official = weights._replace(sha256=inception_weights.OFFICIAL + "0" * 56)
    inception_weights.save(tmp_path / "weights.npz", official)
    assert inception_weights.load(tmp_path / "weights.npz").official  # and no warning: an error


def test_probabilities_are_the_softmax_of_logits_without_bias(weights):
    features = np.random.default_rng(0).normal(size=(3, 2048)).astype(np.float32)
    got = inception_weights.probabilities(features, weights)
    expected = jax.nn.softmax(jnp.asarray(features) @ weights.head.T, axis=-1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_missing_weights_say_where_they_are_to_be_had(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"download https://github\.com/mseitzer"):
        inception_weights.load(tmp_path / "absent.pth")


def test_weights_of_another_network_are_refused(state, tmp_path, monkeypatch):
    (tmp_path / "weights.pth").write_bytes(b"any")
    other = dict(state)
    other["fc.weight"] = np.zeros((1000, 2048), np.float32)
    monkeypatch.setattr(torch_file, "read", lambda path: other)
    with pytest.raises(ValueError, match=r"shape \(1000, 2048\), wanted \(1008, 2048\)"):
        inception_weights.load(tmp_path / "weights.pth")
    del other["Mixed_6e.branch_pool.bn.running_var"]
    with pytest.raises(ValueError, match=r"has no Mixed_6e\.branch_pool\.bn\.running_var"):
        inception_weights.load(tmp_path / "weights.pth")


def test_images_of_two_channels_are_refused():
    with pytest.raises(ValueError, match="2 channels, wanted 1 or 3"):
        inception.preprocess_tensorflow(jnp.zeros((1, 8, 8, 2), jnp.uint8))
