"""Durability that several writers share: what a store asks of etcd, behind one interface.

With a local engine the process is the only writer, its event loop the serialisation point and its
memory the truth. With a shared one the truth is elsewhere: a write is a transaction that compares
revisions, and what is true is learnt by following. Nothing above `Store` knows which of them runs.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from kubeherd.cluster.store.engine import Row, StoreError


class Compacted(StoreError):
    """The revision is too old: what happened after it is no longer all known."""

    def __init__(self, text: str, revision: int = 0) -> None:
        super().__init__(text)
        self.revision = revision
        """The oldest that can be asked for; 0: not known."""


class Change(msgspec.Struct, frozen=True):
    """A create (`base` 0), an update, or a delete (no `value`) of one object.

    It is made only if the object's newest revision is `base`. `value` is the object's JSON without
    a resourceVersion. `ttl_s`: so many real seconds later the object goes by itself; 0: never.
    """

    resource_key: str
    namespace: str
    name: str
    base: int
    value: bytes | None
    ttl_s: int = 0


class Guard(msgspec.Struct, frozen=True):
    """Another object that must still be as it was seen; `revision` 0: it must not exist. Without
    `name`: no object of the resource may be newer than `revision`."""

    resource_key: str
    namespace: str
    name: str
    revision: int


class Made(msgspec.Struct, frozen=True):
    """All changes of a transaction are durable, under this revision."""

    revision: int


class Conflict(msgspec.Struct, frozen=True):
    """Nothing of it was made: an object was not as expected when the engine's revision was this."""

    revision: int


class Progress(msgspec.Struct, frozen=True):
    """All that happened up to `revision`: `rows` in order, those of one transaction under one
    revision; none, if only time has passed. A delete's `value` is the last state."""

    revision: int
    rows: Sequence[Row] = ()


class SharedEngine(Protocol):
    """One connection of one store to what all stores share.

    Every method raises StoreError where the engine cannot be asked or does not answer in time; the
    text is one line for a person. It reconnects by itself, with capped and jittered back-off.
    Values of rows are the objects' JSON as somebody wrote it, without a resourceVersion.
    """

    async def open(self) -> int:
        """Connect; returns the newest revision."""

    async def load(self, revision: int) -> Sequence[Row]:
        """All objects as they were at a revision, in no particular order. Compacted."""

    def follow(self, after: int) -> AsyncIterator[Progress]:
        """Everything after a revision, in order, for ever, whatever connections break meanwhile.

        Compacted when it cannot go on without a gap. The owner closes the iterator.
        """

    async def newest(self) -> int:
        """The newest revision, as the majority knows it: no acknowledged write is newer."""

    async def ask_progress(self) -> None:
        """Let `follow` say soon how far it is, though nothing happens."""

    async def transact(self, changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        """Make all changes at once or none. No key comes twice.

        StoreError: nothing was made. OutcomeUnknown: nobody can say whether it was.
        """

    async def compact(self, revision: int) -> None:
        """Nobody will ask for what happened up to this revision. Safe if others do the same."""

    async def close(self) -> None:
        """Release connections; safe to call twice."""
