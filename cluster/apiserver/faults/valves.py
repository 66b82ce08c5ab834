"""Faults of open watches: a valve between each stream and its client, polls that are sent back.

A poll that waits when a fault begins is answered at once that nothing has happened, and comes again
through the gate. Invariant: an event that was held up is told later, or its stream ends before any
later one is told.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from kubeherd.cluster.apiserver.faults import matching
from kubeherd.cluster.apiserver.faults.active import Faults
from kubeherd.cluster.apiserver.faults.answers import too_old
from kubeherd.cluster.apiserver.faults.matching import Asked, Who
from kubeherd.cluster.apiserver.faults.rewriting import resumed_after
from kubeherd.cluster.apiserver.read.openwatches import OpenWatch, OpenWatches
from kubeherd.faults import Fault
from kubeherd.faults.effects import (
    Direction,
    Expire,
    Partition,
    SlowNetwork,
    WatchEnd,
    WatchStall,
)

_OF_WATCHES = (Partition, SlowNetwork, WatchEnd, WatchStall, Expire)


class _Valve(msgspec.Struct, eq=False):
    """As `openwatches.Valve`."""

    faults: Faults
    who: Who
    asked: Asked
    stalled_by: Fault | None = None
    timer: "asyncio.Task[None] | None" = None

    async def passes(self, size_bytes: int) -> bool:
        if self.stalled_by is None:
            await self.faults.way(self.who, Direction.ANSWERS, size_bytes)
        if self.stalled_by is None:
            return True
        await self.faults.end(self.stalled_by)
        return False

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Valves:
    """The valves on all watches of a server. `who` and `asked` tell of a watch's request."""

    def __init__(
        self,
        watches: OpenWatches,
        faults: Faults,
        look: Callable[[OpenWatch], tuple[Who, Asked]],
    ) -> None:
        self._watches = watches
        self._faults = faults
        self._look = look

    def put(self) -> None:
        """Stand between all watches and their clients, also those that are still to come."""
        self._watches.on_open = self._opened
        for watch in self._watches:
            if watch.valve is None and not watch.polling:
                watch.valve = _Valve(self._faults, *self._look(watch))

    def take_away(self) -> None:
        """There are no faults any more."""
        self._watches.on_open = None
        for watch in self._watches:
            if watch.valve is not None:
                watch.valve.close()
                watch.valve = None

    def began(self, faults: Sequence[Fault]) -> None:
        """These faults are new: what is open is hit as well."""
        new = [(fault, matching.hurts(fault.target)) for fault in faults]
        for watch in self._watches:
            who, _ = self._look(watch)
            own = [fault for fault, hurts in new if hurts(who)]
            if not own:
                continue
            if isinstance(watch.valve, _Valve):
                self._strike(watch, watch.valve, own, at_once=True)
            elif any(isinstance(fault.effect, _OF_WATCHES) for fault in own):
                watch.end()

    def ended(self) -> None:
        """Some faults are over: the watches that they stalled end."""
        for watch in self._watches:
            valve = watch.valve
            if not isinstance(valve, _Valve) or valve.stalled_by is None:
                continue
            if not self._faults.is_active(valve.stalled_by):
                watch.end()

    def _opened(self, watch: OpenWatch) -> None:
        """As `OpenWatches.on_open`."""
        if watch.polling:
            return
        who, asked = self._look(watch)
        watch.valve = valve = _Valve(self._faults, who, asked)
        self._strike(watch, valve, self._faults.of(who), at_once=False)

    def _strike(
        self, watch: OpenWatch, valve: _Valve, faults: Sequence[Fault], *, at_once: bool
    ) -> None:
        own = [f for f in faults if isinstance(f.effect, (Expire, WatchEnd, WatchStall))]
        hits = self._faults.struck(own, valve.asked)
        since = resumed_after(watch.request.query)
        if since and not at_once and Expire in hits:
            raise too_old(since, hits[Expire][0])
        if WatchStall in hits:
            valve.stalled_by = hits[WatchStall][0]
        for fault in hits.get(WatchEnd, ()):
            effect = fault.effect
            if at_once or not isinstance(effect, WatchEnd) or not effect.after_s:
                watch.end()
            elif valve.timer is None:
                valve.timer = asyncio.create_task(self._end_later(watch, fault, effect.after_s))

    async def _end_later(self, watch: OpenWatch, fault: Fault, after_s: float) -> None:
        await self._faults.wait(fault, after_s)
        if self._faults.is_active(fault):
            watch.end()
