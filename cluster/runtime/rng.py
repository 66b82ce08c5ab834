"""Chance as an argument: every random decision comes from an `Rng` that was handed in.

Invariants: the same seed gives the same decisions, and `child(name)` depends on the seed and the
name only, not on what was drawn before; so one component's use of chance never shifts another's.
Not for secrets: keys and tokens come from `secrets` and `cryptography`.
"""

import hashlib
import os
import random
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

_VERSION_BITS = 0xF000 << 64 | 0xC000 << 48
_VERSION_4 = 0x4000 << 64 | 0x8000 << 48
"""RFC 9562, 5.4: the version and the variant of a UUID that is drawn by lot."""

T = TypeVar("T")


class Rng:
    """A seeded `random.Random` with named sub-streams. No seed: one from the operating system.

    The generator, two and a half kilobytes, is made when something is drawn: most streams of a node
    are there for what seldom happens, or only to have children.
    """

    __slots__ = ("_made", "root_seed")

    def __init__(self, seed: int | None = None) -> None:
        self.root_seed = int.from_bytes(os.urandom(8), "big") if seed is None else seed
        self._made: random.Random | None = None

    @property
    def _drawn(self) -> random.Random:
        if self._made is None:
            self._made = random.Random(self.root_seed)  # noqa: S311 - see above
        return self._made

    def child(self, name: str) -> "Rng":
        """An independent stream, the same for the same seed and name."""
        digest = hashlib.sha256(f"{self.root_seed}/{name}".encode()).digest()
        return Rng(int.from_bytes(digest[:8], "big"))

    def jittered(self, base_s: float, factor: float) -> float:
        """A duration between `base_s` and `base_s * (1 + factor)`, in the unit of `base_s`."""
        return base_s * (1.0 + factor * self._drawn.random())

    def uuid4(self) -> str:
        """A random (version 4) UUID in canonical text form."""
        drawn = self._drawn.getrandbits(128)
        text = f"{drawn & ~_VERSION_BITS | _VERSION_4:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def random(self) -> float:
        """As `random.Random.random`."""
        return self._drawn.random()

    def uniform(self, least: float, most: float) -> float:
        """As `random.Random.uniform`."""
        return self._drawn.uniform(least, most)

    def randrange(self, start: int, stop: int | None = None) -> int:
        """As `random.Random.randrange`."""
        return self._drawn.randrange(start, stop)

    def randint(self, least: int, most: int) -> int:
        """As `random.Random.randint`."""
        return self._drawn.randint(least, most)

    def choice(self, options: Sequence[T]) -> T:
        """As `random.Random.choice`."""
        return self._drawn.choice(options)

    def shuffle(self, options: MutableSequence[T]) -> None:
        """As `random.Random.shuffle`: in place."""
        self._drawn.shuffle(options)

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """As `random.Random.sample`."""
        return self._drawn.sample(options, count)
