"""A step carries its version."""

import pytest

from tumor_ratio.steps import step


def test_a_step_carries_its_version_and_works_as_before():
    @step(version=3)
    def double(x: int) -> int:
        return 2 * x

    assert (double.step_version, double(4)) == (3, 8)


def test_versions_start_at_one():
    with pytest.raises(ValueError, match="starts at 1"):
        step(version=0)
