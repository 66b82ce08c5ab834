"""The watches that are open now: a fault finds also those that began before it.

Invariant: a watch is here for as long as it waits for events. Without faults that is all there is:
nobody stands between a watch and its client.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import msgspec

from kubeherd.cluster.apiserver.edge.messages import ApiRequest
from kubeherd.cluster.store.watch.deliveries import WatchFilter
from kubeherd.cluster.store.watch.hub import Hub, end_wait


class Valve(Protocol):
    """What stands between a stream and its client while there are faults."""

    async def passes(self, size_bytes: int) -> bool:
        """Return when so many bytes may go to the client; False: the stream ends instead."""

    def close(self) -> None:
        """The watch has ended."""


class OpenWatch(msgspec.Struct, eq=False):
    """A stream, or a private poll that waits for an answer."""

    request: ApiRequest
    end: Callable[[], None]
    """Ends it in order, as when its time is over; harmless if it has ended."""
    polling: bool = False
    valve: Valve | None = None
    """None: nothing is wrong."""


class OpenWatches:
    """All of a server."""

    def __init__(self) -> None:
        self._open: dict[OpenWatch, None] = {}
        self.on_open: Callable[[OpenWatch], None] | None = None
        """Told of each new one; an ApiError that it raises ends the watch."""

    def __iter__(self) -> Iterator[OpenWatch]:
        return iter(tuple(self._open))

    def add(self, watch: OpenWatch) -> None:
        """One begins to wait."""
        self._open[watch] = None
        if self.on_open is not None:
            self.on_open(watch)

    async def woken(
        self, request: ApiRequest, hub: Hub, *wanted: WatchFilter, timeout_s: float
    ) -> int:
        """As `Hub.wait`, for a poll, which is open meanwhile."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watch = OpenWatch(request, partial(end_wait, over), polling=True)
        self.add(watch)
        try:
            return await hub.wait(*wanted, timeout_s=timeout_s, happened=over)
        finally:
            self.discard(watch)

    def discard(self, watch: OpenWatch) -> None:
        """It has ended, or has something to say."""
        self._open.pop(watch, None)
        if watch.valve is not None:
            watch.valve.close()
