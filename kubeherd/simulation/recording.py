"""What a simulated API server records: the history of a run, told as it happens.

The same recorder as that of a real API server; only that it outlives its crashes, as a file does.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import orjson

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.apiserver.recording.recorder import Recorder
from kubeherd.cluster.apiserver.recording.writes import Writes
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.state import WatchEvent
from kubeherd.cluster.store.store import Store
from kubeherd.history import Record
from kubeherd.history.records import Object


@lru_cache(maxsize=2048)
def _shown(json: bytes) -> tuple[str, Object]:
    """What `Writes` asks for, which nobody changes: a third of it is the same in every cluster."""
    tree: Object = orjson.loads(json)
    return tree["metadata"]["uid"], tree


class SimulatedRecorder(Recorder):
    """Tells nobody until `follow`, then everything."""

    def __init__(self, clock: Clock) -> None:
        self._listener: Callable[[Record], None] | None = None
        self._revision = 0
        super().__init__(self._said, clock, Writes(1.0, _shown))

    def follow(self, store: Store, listener: Callable[[Record], None]) -> None:
        """Tell of all that exists, and from now on of all that happens."""
        self._listener = listener
        self._revision = store.revision
        self.restore(store)

    def opened(self, store: Store) -> None:
        """A new life of the API server: tell of what the last one did not live to tell."""
        self.forgotten()
        if self._listener is None:
            return
        try:
            missed = store.events_after(self._revision)
        except Expired:
            self.restore(store)
        else:
            self.catch_up(missed)
        self._revision = store.revision

    def committed(self, events: Sequence[WatchEvent]) -> None:
        """As `Follower.committed`."""
        if events:  # none: a probe
            self._revision = events[-1].revision
        super().committed(events)

    def _said(self, record: Record) -> None:
        if self._listener is not None:
            self._listener(record)
