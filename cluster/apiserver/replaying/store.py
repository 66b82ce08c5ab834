"""A store that a history fills: everybody reads it, nobody writes.

Invariant: what readers and watchers see are the revisions of the history. What it does not reach
back to, or where it has a gap, is compacted: whoever asks for that gets 410 and lists again.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from kubeherd.cluster.api.errors import MethodNotAllowed
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import AttrsOf, EventType, Record, WatchEvent
from kubeherd.cluster.store.store import Store

if TYPE_CHECKING:
    from kubeherd.faults import Fault


class ReplayedStore(Store):
    """See the module. `what` it is, for those who try to write."""

    def __init__(self, attrs_of: AttrsOf, what: str) -> None:
        super().__init__(attrs_of)
        self.what = what
        self._stopped = asyncio.Event()

    # --- what the history says ---

    def happen(
        self, place: tuple[str, str, str], revision: int, json: bytes, *, deleted: bool = False
    ) -> None:
        """A write, newer than all that happened. Those of one revision belong into one step of the
        event loop."""
        event = self._event(place, revision, json, deleted=deleted)
        if event is not None:
            self._show(event)
            self.hub.publish([event])
            self._history.compact()

    def amend(
        self, place: tuple[str, str, str], revision: int, json: bytes, *, deleted: bool = False
    ) -> None:
        """An object as it has been for a while; `resume` comes before anybody reads again."""
        event = self._event(place, revision, json, deleted=deleted)
        if event is not None:
            self._keyspace.apply(event)

    def resume(self, revision: int) -> None:
        """The history goes on after this revision, and of what was before only the state is known:
        who watches lists again."""
        self.revision = max(self.revision, revision)
        self._history.reset(self.revision)
        self._old_lists.clear()
        self.hub.expire()

    def weight(self) -> tuple[int, int]:
        """How many objects it holds, and the bytes of these."""
        records = [one for key in self.resource_keys() for one in self.list(key)]
        return len(records), sum(one.size for one in records)

    def _event(
        self, place: tuple[str, str, str], revision: int, json: bytes, *, deleted: bool
    ) -> WatchEvent | None:
        previous = self.get(*place)
        if deleted and previous is None:
            return None
        created = revision if previous is None else previous.create_revision
        record = Record(*place, revision, created, json, self._attrs_of)
        if deleted:
            return WatchEvent(EventType.DELETED, record, previous)
        return WatchEvent(
            EventType.ADDED if previous is None else EventType.MODIFIED, record, previous
        )

    # --- as `Store` ---

    @property
    def writable(self) -> bool:
        return True  # it is as it should be

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _next_revision(self) -> int:
        return self.revision + 1

    def _stage(self, event: WatchEvent, ttl_s: int) -> Staged:
        raise MethodNotAllowed(f"{self.what}: read only", details={})

    async def start(self) -> None:
        return

    async def run(self) -> None:
        await self._stopped.wait()

    def hurt(self, faults: Sequence["Fault"], rng: Rng) -> None:
        return

    async def forget(self, revision: int) -> None:
        self._history.compact(revision)

    def stop(self) -> None:
        self.hub.close()
        self._stopped.set()

    async def close(self) -> None:
        return
