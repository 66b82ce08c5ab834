"""What makes writes durable, behind one interface.

An engine gets groups of writes in revision order and returns when they are durable. It never sees
a read: the state lives in memory and is replayed from the engine at start.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

FIRST_REVISION = 1
"""The revision of an empty store; 0 means something else in the API ("any")."""


class StoreError(Exception):
    """The store cannot be opened or written: one line for a person, saying what to do."""


class OutcomeUnknown(StoreError):
    """A commit failed at a point where its rows may have reached the disk: only reading the store
    back can tell. The engine that raised it is not used any more."""


class Row(msgspec.Struct, frozen=True):
    """One write as the engine keeps it; `value` of a delete is the last state."""

    revision: int
    create_revision: int
    deleted: bool
    resource_key: str
    namespace: str
    name: str
    value: bytes


class Engine(Protocol):
    """Durability for one store."""

    def open(self) -> int:
        """Open or create; returns the compacted revision. Raises StoreError."""

    def replay(self) -> Iterator[Row]:
        """All kept rows in revision order. Raises StoreError for a broken file."""

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        """Make the rows durable in one go, forget the revisions in `drop`, and remember
        `compacted`. Without rows it writes all the same: a probe, whether a write can be stored.

        Raises StoreError when nothing of it was kept, OutcomeUnknown when that cannot be said.
        """

    async def close(self) -> None:
        """Release files and threads; safe to call twice."""


class MemoryEngine:
    """Keeps nothing: the store is as durable as its process."""

    def open(self) -> int:
        return 0

    def replay(self) -> Iterator[Row]:
        return iter(())

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        return None

    async def close(self) -> None:
        return None
