"""The check of counted rates: exact with all draws, as wide as chance is with fewer."""

import pytest
from simulated import agrees, num_draws


def test_of_all_draws_the_share_itself_is_checked():
    assert agrees(30, 1000, 1000, 0.03, 0.08) and agrees(80, 1000, 1000, 0.03, 0.08)
    assert not agrees(29, 1000, 1000, 0.03, 0.08) and not agrees(81, 1000, 1000, 0.03, 0.08)


@pytest.mark.parametrize(("count", "agreed"), [(0, False), (3, True), (34, True), (38, False)])
def test_of_fewer_draws_what_chance_makes_of_the_range_is_allowed(count, agreed):
    """A rate of 3 % gives 0 of 250 with probability 0.0005, and one of 8 % gives 38 or more with 0.0001."""
    assert agrees(count, 250, 1000, 0.03, 0.08) == agreed


def test_the_variable_is_a_share_of_the_draws(monkeypatch):
    monkeypatch.delenv("DDPM_JAX_DRAWS", raising=False)
    assert num_draws(400) == 400
    monkeypatch.setenv("DDPM_JAX_DRAWS", "0.25")
    assert num_draws(400) == 100
    assert num_draws(1) == 1
