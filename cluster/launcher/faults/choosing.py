"""Some of many, at random. Pure but for the chance that is handed in."""

from collections.abc import Container, Sequence
from typing import TypeVar

from kubeherd.cluster.runtime.rng import Rng

T = TypeVar("T")


def share(of: int, percent: float) -> int:
    """So many percent of so many, rounded up."""
    return -int(-of * percent // 100)


def unhurt(
    pool: Sequence[T], hurt: Container[T], rng: Rng, *, count: int = 0, percent: float = 0.0
) -> list[T]:
    """Those of a pool that are not hurt, or so many of these at random: `count`, or so many percent
    of the whole pool, rounded up."""
    whole = [one for one in pool if one not in hurt]
    wanted = share(len(pool), percent) if percent else count
    return choose(whole, wanted, rng) if wanted else whole


def choose(pool: Sequence[T], count: int, rng: Rng) -> list[T]:
    """So many of them (all, if there are fewer), in their order."""
    chosen = set(rng.sample(range(len(pool)), min(count, len(pool))))
    return [one for index, one in enumerate(pool) if index in chosen]
