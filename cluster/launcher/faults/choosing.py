"""Some of many, at random. Pure but for the chance that is handed in."""

from collections.abc import Sequence
from typing import TypeVar

from kubeherd.cluster.runtime.rng import Rng

T = TypeVar("T")


def share(of: int, percent: float) -> int:
    """So many percent of so many, rounded up."""
    return -int(-of * percent // 100)


def choose(pool: Sequence[T], count: int, rng: Rng) -> list[T]:
    """So many of them (all, if there are fewer), in their order."""
    chosen = set(rng.sample(range(len(pool)), min(count, len(pool))))
    return [one for index, one in enumerate(pool) if index in chosen]
