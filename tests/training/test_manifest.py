import json

import numbered
import pytest

from ddpm_jax.training import manifest
from ddpm_jax.training.manifest import Damaged


def test_every_bit_of_a_manifest_counts(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"weights")
    manifest.write(tmp_path, {"step": 1})
    text = (tmp_path / manifest.NAME).read_bytes()
    assert manifest.verify(tmp_path)["step"] == 1
    # Every third bit, so that each of the eight of a byte has its turn.
    for bit in range(0, 8 * len(text), 3):
        numbered.flip(tmp_path / manifest.NAME, bit)
        with pytest.raises(Damaged):
            manifest.verify(tmp_path)
        (tmp_path / manifest.NAME).write_bytes(text)


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"step": 1}', "[" * 100_000, ""])
def test_other_json_is_no_manifest(tmp_path, text):
    (tmp_path / manifest.NAME).write_text(text)
    with pytest.raises(Damaged, match="does not agree with its own checksum"):
        manifest.read(tmp_path)


def test_a_manifest_is_plain_json_with_a_checksum_per_file(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(b"abc")
    manifest.write(tmp_path, {"step": 1})
    content = json.loads((tmp_path / manifest.NAME).read_text())
    # SHA-256 of "abc", from FIPS 180-4's examples.
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content["files"] == {"sub/a.bin": {"size": 3, "sha256": wanted}}
    assert {path.name for path in tmp_path.iterdir()} == {manifest.NAME, "sub"}
