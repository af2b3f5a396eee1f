"""A function that is called once is compiled in less time, and gives the same."""

import jax
import numpy as np

from ddpm_jax.training import compilation, devices


def draw(key, scale):
    return {"normal": scale * jax.random.normal(key, (3, 5)), "uniform": jax.random.uniform(key)}


def test_what_is_compiled_briefly_is_what_jit_gives(key):
    found, wanted = compilation.compile_briefly(draw)(key, 2.0), jax.jit(draw)(key, 2.0)
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5)


def test_its_shapes_can_be_had(key):
    compiled = compilation.compile_briefly(draw)
    found = jax.eval_shape(lambda: compiled(jax.random.key(0), 2.0))
    assert found["normal"].shape == (3, 5) and found["uniform"].shape == ()


def test_only_a_cpu_is_told_llvms_level(monkeypatch):
    given = {}
    monkeypatch.setattr(jax, "jit", lambda function, **options: given.update(options))
    compilation.compile_briefly(draw)
    assert given == {"compiler_options": {"xla_backend_optimization_level": 1}}
    monkeypatch.setattr(devices.Placement, "platform", "gpu")
    compilation.compile_briefly(draw)
    assert given == {"compiler_options": None}
