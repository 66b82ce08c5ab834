"""Some of many, at random: what a percentage is of, and who may be among them."""

import pytest

from kubeherd.cluster.launcher.faults.choosing import unhurt
from kubeherd.cluster.runtime.rng import Rng

POOL = [f"n{number}" for number in range(10)]
HURT = {"n0", "n3", "n9"}


@pytest.mark.parametrize(
    ("wanted", "many"),
    [({}, 7), ({"count": 2}, 2), ({"count": 9}, 7), ({"percent": 50}, 5), ({"percent": 0.1}, 1)],
)
def test_percent_is_of_all_and_nobody_is_hurt_twice(wanted: dict[str, int], many: int) -> None:
    drawn = [unhurt(POOL, HURT, Rng(seed), **wanted) for seed in range(100)]
    assert {len(one) for one in drawn} == {many}
    assert all(one == sorted(one) for one in drawn)
    assert {name for one in drawn for name in one} == set(POOL) - HURT
