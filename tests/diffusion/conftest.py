import pytest


@pytest.fixture(autouse=True)
def _tiny_programs(compiled_quickly):
    """These tests run hundreds of tiny programs once each: compiling is nearly all of their time."""
