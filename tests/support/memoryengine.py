"""What stores share, in memory: a `SharedEngine` as simple as can be, which loses and delays what
it is told to. The reference for the real one, and what several stores in one test share."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from kubeherd.cluster.store.engine import OutcomeUnknown, Row, StoreError
from kubeherd.cluster.store.sharedengine import (
    Change,
    Compacted,
    Conflict,
    Guard,
    Made,
    Progress,
)

Key = tuple[str, str, str]


class Shared:
    """The objects and their history. Give each store an engine of its own: `Shared().engine()`."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.rows: list[Row] = []
        self.state: dict[Key, Row] = {}
        self.changed = asyncio.Condition()

    def engine(self) -> "SharedMemoryEngine":
        return SharedMemoryEngine(self)

    def state_at(self, revision: int) -> dict[Key, Row]:
        state: dict[Key, Row] = {}
        for row in self.rows:
            if row.revision > revision:
                break
            key = (row.resource_key, row.namespace, row.name)
            if row.deleted:
                state.pop(key, None)
            else:
                state[key] = row
        return state

    def holds(self, key: Key, revision: int) -> bool:
        if not key[2]:
            newest = (r.revision for k, r in self.state.items() if k[0] == key[0])
            return max(newest, default=0) <= revision
        row = self.state.get(key)
        return (row.revision if row is not None else 0) == revision

    def make(self, changes: Sequence[Change]) -> int:
        self.revision += 1
        for change in changes:
            key = (change.resource_key, change.namespace, change.name)
            before = self.state.get(key)
            value = change.value
            deleted = value is None
            if value is None:
                assert before is not None
                value = before.value
            created = self.revision if before is None else before.create_revision
            row = Row(self.revision, created, deleted, *key, value)
            self.rows.append(row)
            if deleted:
                del self.state[key]
            else:
                self.state[key] = row
        return self.revision


class SharedMemoryEngine:
    """See `cluster.store.sharedengine.SharedEngine`."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.broken = ""
        """Why nothing can be asked; "" while all is well."""
        self.stalled = asyncio.Event()
        self.stalled.set()
        """Cleared: what happens is not seen."""
        self._late = False
        self.loses_answers = False
        self.turns = 1
        """So many steps of the loop are between a question and its answer, and again as many."""
        self._asked = 0

    def late(self) -> None:
        """What happens is not seen before this one asks for something itself, and is answered."""
        self.stalled.clear()
        self._late = True

    async def open(self) -> int:
        return await self.newest()

    async def load(self, revision: int) -> Sequence[Row]:
        await self._way()
        if revision < self.shared.compacted:
            raise Compacted("compacted", self.shared.compacted)
        return list(self.shared.state_at(revision).values())

    async def follow(self, after: int) -> AsyncIterator[Progress]:
        shared = self.shared
        while True:
            await self.stalled.wait()
            if after < shared.compacted:
                raise Compacted("compacted", shared.compacted)
            rows = [row for row in shared.rows if row.revision > after]
            if rows or self._asked:
                after, self._asked = shared.revision, 0
                yield Progress(after, rows)
                continue
            async with shared.changed:
                if shared.revision <= after and not self._asked:
                    await shared.changed.wait()

    async def newest(self) -> int:
        await self._way()
        revision = self.shared.revision
        await self._way()
        self._catch_up()
        return revision

    async def ask_progress(self) -> None:
        await self._way()
        self._asked = 1
        async with self.shared.changed:
            self.shared.changed.notify_all()

    async def transact(self, changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        await self._way()
        shared = self.shared
        self._catch_up()
        for change in changes:
            if not shared.holds((change.resource_key, change.namespace, change.name), change.base):
                return Conflict(shared.revision)
        for guard in guards:
            if not shared.holds((guard.resource_key, guard.namespace, guard.name), guard.revision):
                return Conflict(shared.revision)
        revision = shared.make(changes)
        async with shared.changed:
            shared.changed.notify_all()
        await self._way()
        if self.loses_answers:
            raise OutcomeUnknown("the answer was lost")
        return Made(revision)

    async def compact(self, revision: int) -> None:
        await self._way()
        self.shared.compacted = max(self.shared.compacted, revision)

    async def close(self) -> None:
        return None

    def _catch_up(self) -> None:
        if self._late:
            self._late = False
            self.stalled.set()

    async def _way(self) -> None:
        if self.broken:
            raise StoreError(self.broken)
        for _ in range(self.turns):
            await asyncio.sleep(0)
