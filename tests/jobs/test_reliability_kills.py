"""The chain killed at random moments, and started again until it is done: the same bytes each time.

`DDPM_JAX_KILLS` says how many kills, else 20; the counts are printed.
"""

import hashlib
import json
import multiprocessing
import os
import pathlib
import random
import time

import chain_process
import pytest

FILES = ("metrics.jsonl", "synthetic.npz")
STAGES = ("train", "export", "evaluate")
KILLS_A_RUN = 4


@pytest.fixture(scope="module")
def start():
    """`start(workdir, cache)` starts the chain in a process of its own, imports done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chain_process"])
    here = pathlib.Path(chain_process.__file__)
    # The server is started with the first child, and does not take this process's sys.path.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("PYTHONPATH", f"{here.parent}{os.pathsep}{here.parents[2]}")

    def begin(workdir, cache):
        workdir.mkdir(parents=True, exist_ok=True)
        output = workdir.with_suffix(".txt")
        process = context.Process(target=chain_process.live, args=(workdir, cache, output))
        process.start()
        return process

    yield begin
    monkeypatch.undo()


def outcome(workdir):
    result = json.loads((workdir / "results/train.json").read_text())
    evaluated = json.loads((workdir / "results/evaluate.json").read_text())
    digests = [hashlib.sha256((workdir / name).read_bytes()).hexdigest() for name in FILES]
    frechet = [value for name, value in sorted(evaluated.items()) if name.startswith("frechet")]
    return result["params_sha256"], result["ema_sha256"], *digests, frechet


def finish(process, workdir):
    process.join()
    assert process.exitcode == 0, workdir.with_suffix(".txt").read_text()[-3000:]


@pytest.mark.long
def test_a_chain_killed_at_random_moments_leaves_the_same_bytes(start, tmp_path, record_property):
    wanted = int(os.environ.get("DDPM_JAX_KILLS", "20"))
    cache = tmp_path / "compiled"
    reference = tmp_path / "undisturbed"
    finish(start(reference, cache), reference)  # fills the cache
    again = tmp_path / "again"
    seconds = durations(start(again, cache), again)
    assert outcome(again) == outcome(reference)

    seed = random.randrange(2**32)
    moments = random.Random(seed)
    kills, same, runs = [], 0, 0
    while len(kills) < wanted:
        workdir = tmp_path / f"run{runs}"
        runs += 1
        for _ in range(min(KILLS_A_RUN, wanted - len(kills))):
            process = start(workdir, cache)
            left = STAGES[STAGES.index(where(workdir)) :]
            (stage,) = moments.choices(left, weights=range(len(left), 0, -1))
            wait_for(process, workdir, stage)
            process.join(moments.uniform(0, seconds[stage]))
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            kills.append(where(workdir))
            if kills[-1] not in STAGES[:-1]:
                break
        finish(start(workdir, cache), workdir)
        same += outcome(workdir) == outcome(reference)
    counts = {stage: kills.count(stage) for stage in (*STAGES, "end")}
    record_property(
        "counted",
        f"{len(kills)} kills {counts} (seed {seed}): {same} of {runs} runs ended the same",
    )
    assert same == runs


def durations(process, workdir):
    """Seconds that an undisturbed process spends in each stage; the first begins with the process."""
    begun = time.monotonic()
    ends = []
    for stage in (*STAGES[1:], "end"):
        wait_for(process, workdir, stage)
        ends.append(time.monotonic() - begun)
    finish(process, workdir)
    return {
        stage: end - before for stage, before, end in zip(STAGES, [0.0, *ends], ends, strict=False)
    }


def wait_for(process, workdir, stage):
    """Until the process is at `stage`, or beyond, or has ended."""
    order = (*STAGES, "end")
    while process.exitcode is None and order.index(where(workdir)) < order.index(stage):
        time.sleep(0.01)


def where(workdir):
    """What the process is at: the first stage of which there is no result yet."""
    done = {path.stem for path in (workdir / "results").glob("*.json")}
    return next((stage for stage in STAGES if stage not in done), "end")
