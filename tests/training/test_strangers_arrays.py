"""Damaged arrays under a manifest that fits them: restored, or named and passed over, and nothing else."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

import fuzzing
import pytest

HERE = pathlib.Path(__file__).parent


def damaged(rng, data):
    """With a byte or some replaced, cut out or put in."""
    data = bytearray(data)
    at = rng.randrange(len(data))
    data[at : at + rng.choice([0, 1, 1, 30])] = rng.choice([b"", b"[", b"9" * 9, rng.randbytes(1)])
    return bytes(data)


def main(folder, num):
    """In a process of its own: what Orbax has begun and not waited for complains when it ends."""
    import deeds
    import numbered
    import regression

    from ddpm_jax.training import checkpoints, devices, manifest

    newest, whole = folder / "run" / "2", folder / "whole"
    numbered.save_steps(folder / "run", 1, 2)
    shutil.copytree(newest, whole)
    facts = manifest.read(whole)
    names = [path.relative_to(whole) for path in (whole / "ema_params").rglob("*")]
    names = sorted(
        name for name in names if (whole / name).stat().st_size and not (whole / name).is_dir()
    )
    target = devices.abstract(numbered.over(1), regression.params())
    rng = random.Random(0)
    counts = {"restored": 0, "passed over": 0}
    before = fuzzing.peak_mib()
    for _ in range(num):
        shutil.rmtree(newest)
        shutil.copytree(whole, newest)
        name = rng.choice(names)
        (newest / name).write_bytes(damaged(rng, (whole / name).read_bytes()))
        manifest.write(newest, {key: facts[key] for key in facts if key != "files"})
        with deeds.outside(folder / "run") as done:
            step = checkpoints.restore_params(folder / "run", target).facts["step"]
        assert not done, done
        counts["restored" if step == 2 else "passed over"] += 1
    growth = fuzzing.peak_mib() - before
    print(json.dumps(counts | {"peak_memory_mib": round(growth)}))


@pytest.mark.slow
def test_damaged_arrays_under_a_manifest_that_fits_them(tmp_path, record_property):
    """A tenth of `DDPM_JAX_FUZZ` checkpoints: each takes as long as ten of the other inputs."""
    num = fuzzing.wanted() // 10
    paths = os.pathsep.join(map(str, [HERE, HERE.parent, HERE.parents[1]]))
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), str(num)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    record_property("counted", f"damaged arrays under a manifest that fits them {counts}")
    assert counts["restored"] and counts["passed over"] and counts["peak_memory_mib"] < 400


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
