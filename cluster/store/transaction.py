"""What a shared store stages together: one transaction of its engine.

Transactions that write one object rest on each other: the revision on which one rests is known when
the one before is made.
"""

import asyncio
import time

from kubeherd.cluster.store.sharedengine import Change, Guard
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import EventType, Record, WatchEvent
from kubeherd.cluster.store.store import HeadKey
from kubeherd.cluster.store.versions import without_version


class Transaction:
    """What is staged together: made at once, or not at all."""

    def __init__(self) -> None:
        self.staged: list[Staged] = []
        self.ttls_s: list[int] = []
        self.before: dict[HeadKey, tuple[Record | None, Transaction | None]] = {}
        """What it rests on: what `head` showed, and who is about to make that."""
        self.collections: dict[HeadKey, int] = {}
        """The resources of which nothing may be newer than this."""
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[int] = loop.create_future()
        """Its revision; 0 if it was not made, or perhaps was not."""
        self.creations: dict[HeadKey, int] = {}
        """When the objects were created that it writes: for those that rest on it."""
        self.resting: list[Transaction] = []
        """Those that rest on it."""
        self.task: asyncio.Task[None] | None = None
        """What carries it out."""
        self.began_s = time.monotonic()

    def base(self, key: HeadKey) -> int:
        """The revision on which it rests in one place, once all before it are made."""
        record, maker = self.before[key]
        if record is None:
            return self.collections.get(key, 0)
        return record.revision if maker is None else maker.made.result()

    def creation(self, key: HeadKey) -> int:
        """When the object in one place was created, once this is made."""
        if key not in self.creations:
            record, maker = self.before[key]
            if record is None:
                self.creations[key] = self.made.result()
            elif maker is None:
                self.creations[key] = record.create_revision
            else:
                self.creations[key] = maker.creations[key]
        return self.creations[key]

    def changes_and_guards(self) -> tuple[list[Change], list[Guard]]:
        """What the engine is asked for, once all that it rests on is made."""
        changes: dict[HeadKey, Change] = {}
        for staged, ttl_s in zip(self.staged, self.ttls_s, strict=True):
            key = staged.event.record.place
            deleted = staged.event.type is EventType.DELETED
            value = None if deleted else without_version(staged.event.record.json)
            changes[key] = Change(*key, self.base(key), value, ttl_s)
        guards = [Guard(*key, self.base(key)) for key in self.before if key not in changes]
        return list(changes.values()), guards

    def shown_by(self, event: WatchEvent) -> Staged | None:
        """What was staged here and is what an event shows, but for the revision. The last state of
        an object may be told otherwise than it was stored, but an object is deleted once."""
        for staged in self.staged:
            if (
                staged.event.type is not event.type
                or staged.event.record.place != event.record.place
            ):
                continue
            if event.type is EventType.DELETED or without_version(
                staged.event.record.json
            ) == without_version(event.record.json):
                return staged
        return None
