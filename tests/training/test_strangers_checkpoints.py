"""Whatever a manifest says, a checkpoint is restored, or named and passed over; and nothing else happens."""

import hashlib
import json
import logging
import os

import deeds
import fuzzing
import hypothesis
import jax
import numbered
import pytest
import regression
from hypothesis import strategies as st

from ddpm_jax.training import checkpoints, devices, manifest, retention

NAMES = st.sampled_from(
    "../1/manifest.json /etc/passwd a/../../b . .. params/_METADATA params pipe rest".split()
) | st.sampled_from(["", "a\0b", "a\nb", "\ud800", "x" * 300])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    "step",
    "validation_loss",
    "extra",
    "arrays",
    "files",
    "libraries",
    "sha256",
)


@st.composite
def damaged(draw, text):
    """The manifest with bytes replaced, cut out or put in."""
    data = bytearray(text)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        data[at : at + draw(st.integers(0, 20))] = draw(st.binary(max_size=4))
    return bytes(data)


def sealed(content):
    """With its checksum, as `manifest.write` puts it on disk."""
    content = {name: value for name, value in content.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**content, "sha256": digest}, sort_keys=True, indent=1) + "\n").encode()


@st.composite
def forged(draw, text):
    """A manifest that agrees with its checksum and says anything else."""
    content = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.integers(0, 4)):
            case 0:
                content.pop(draw(st.sampled_from(FIELDS)), None)
            case 1:
                content[draw(st.sampled_from(FIELDS))] = draw(JSON)
            case 2 if isinstance(content.get("files"), dict):
                content["files"][draw(NAMES)] = draw(JSON)
            case 3 if isinstance(content.get("files"), dict):
                facts = st.fixed_dictionaries({"size": st.just(0) | JSON, "sha256": JSON})
                content["files"][draw(NAMES)] = draw(facts)
            case 4 if isinstance(content.get("arrays"), dict):
                shapes = st.dictionaries(NAMES, st.just("float32[3, 8]") | JSON, max_size=3)
                content["arrays"][draw(st.sampled_from(["ema_params", "more"]))] = draw(
                    shapes | JSON
                )
    return sealed(content)


def check(folder, target, data, counts):
    (folder / "2" / manifest.NAME).write_bytes(data)
    assert retention.best_step(folder) in (1, 2)
    try:
        found = checkpoints.restore_params(folder, target)
    except ValueError as error:
        assert str(error).startswith("checkpoint 2 is of another model: ") and "\n" not in str(
            error
        )
        counts["refused"] += 1
    else:
        step = found.facts["step"]
        assert all((leaf == step).all() for leaf in jax.tree.leaves(found.params))
        counts["restored" if step == 2 else "passed over"] += 1


def fuzz(folder, num):
    """What became of `num` manifests of the newer one of two checkpoints."""
    numbered.save_steps(folder, 1, 2, loss_1=1.0, loss_2=0.5)
    os.mkfifo(folder / "2" / "pipe")
    text = (folder / "2" / manifest.NAME).read_bytes()
    assert sealed(json.loads(text)) == text
    names = sorted(folder.rglob("*"))
    target = devices.abstract(numbered.over(1), regression.params())
    counts = {"restored": 0, "passed over": 0, "refused": 0}

    @fuzzing.settings(num)
    @hypothesis.given(st.just(text) | damaged(text) | forged(text))
    def examine(data):
        with deeds.outside(folder) as done:
            check(folder, target, data, counts)
        assert not done

    logging.disable(logging.WARNING)  # pytest would keep each, with all that was read for it
    try:
        examine()
    finally:
        logging.disable(logging.NOTSET)
    assert sorted(folder.rglob("*")) == names
    assert counts["restored"] and counts["passed over"], counts
    return counts


def test_manifests_of_strangers_are_refused_in_one_line(tmp_path):
    fuzz(tmp_path, 30)


@pytest.mark.slow
def test_many_manifests_of_strangers_are_refused_within_bounded_memory(tmp_path, record_property):
    """`DDPM_JAX_FUZZ` manifests; prints what became of them."""
    before = fuzzing.peak_mib()
    counts = fuzz(tmp_path, fuzzing.wanted())
    growth = fuzzing.peak_mib() - before
    record_property("counted", f"manifests {counts}, peak memory +{growth:.0f} MiB")
    assert growth < 600


def test_a_manifest_without_end_is_not_read(tmp_path):
    numbered.save_steps(tmp_path, 1, 2)
    with (tmp_path / "2" / manifest.NAME).open("r+b") as file:
        file.truncate(2**40)  # sparse: it takes no room
    with pytest.raises(manifest.Damaged, match=f"has {2**40} bytes; at most {manifest.MAX_BYTES}"):
        manifest.read(tmp_path / "2")
    assert int(checkpoints.restore(tmp_path, numbered.target()).state.step) == 1
