"""The faults that are in force in this process, and waiting that ends with them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from kubeherd.cluster.apiserver.faults import matching
from kubeherd.cluster.apiserver.faults.matching import Asked, Hits, Who
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Fault
from kubeherd.faults.effects import ApiDelay, Direction, Partition, SlowNetwork

_SHORTEST_S = 1e-3


class _Active(msgspec.Struct, frozen=True, eq=False):
    fault: Fault
    hurts: Callable[[Who], bool]
    chance: Rng
    """Of its own: how often others are asked for does not change whom it strikes."""
    over: asyncio.Event


class Faults:
    """The faults of connections and requests. One that stays when others come and go is the same,
    and so is what waits for its end."""

    def __init__(self, clock: Clock, rng: Rng) -> None:
        self.clock = clock
        self._rng = rng
        self._active: dict[str, _Active] = {}

    def replace(self, faults: Sequence[Fault]) -> Sequence[Fault]:
        """From now on these are in force; returns those that were not before. What waited for the
        end of another one goes on."""
        before, self._active, new = self._active, {}, []
        for fault in faults:
            active = before.get(fault.id)
            if active is None or active.fault != fault:
                chance = self._rng.child(fault.id)
                active = _Active(fault, matching.hurts(fault.target), chance, asyncio.Event())
                new.append(fault)
            self._active[fault.id] = active
        for id_, old in before.items():
            if self._active.get(id_) is not old:
                old.over.set()
        return new

    def of(self, who: Who) -> list[Fault]:
        """Those that hurt this client, in the order of the list."""
        return [one.fault for one in self._active.values() if one.hurts(who)]

    def struck(self, faults: Sequence[Fault], asked: Asked) -> Hits:
        """Those of these faults that hit a request, by what they do; each by its own chance."""
        return matching.struck(faults, asked, lambda fault: self._chance(fault).random())

    def _chance(self, fault: Fault) -> Rng:
        active = self._active.get(fault.id)
        return self._rng.child(fault.id) if active is None else active.chance

    def is_active(self, fault: Fault) -> bool:
        """Whether it is in force still."""
        active = self._active.get(fault.id)
        return active is not None and active.fault == fault

    async def end(self, fault: Fault) -> None:
        """Return when the fault is over."""
        active = self._active.get(fault.id)
        if active is not None and active.fault == fault:
            await active.over.wait()

    async def wait(self, fault: Fault, duration_s: float) -> None:
        """Wait nominal seconds, or until the fault is over."""
        with suppress(TimeoutError):
            await self.clock.wait_for(self.end(fault), max(duration_s, _SHORTEST_S))

    async def way(self, who: Who, towards: Direction, size_bytes: int) -> None:
        """Return when a message of this size has gone its way: it waits while the cable is out,
        and takes as long as a slow network does. `towards`: REQUESTS or ANSWERS."""
        while (cut := self._cut(who, towards)) is not None:
            fault, until_open_s = cut
            if until_open_s is None:
                await self.end(fault)
            else:
                await self.wait(fault, until_open_s)
        for fault in self.of(who):
            if isinstance(fault.effect, SlowNetwork):
                await self.wait(
                    fault, fault.effect.takes_s(size_bytes, self._chance(fault).uniform)
                )

    def _cut(self, who: Who, towards: Direction) -> tuple[Fault, float | None] | None:
        for fault in self.of(who):
            effect = fault.effect
            if not isinstance(effect, Partition):
                continue
            if effect.direction not in (Direction.BOTH, towards):
                continue
            age_s = self.clock.age_s(datetime.fromtimestamp(fault.at, UTC))
            if effect.cuts(age_s):
                return fault, effect.changes_in_s(age_s)
        return None

    async def delay(self, faults: Sequence[Fault]) -> None:
        """Wait as those of these that are delays of requests say, one after the other."""
        for fault in faults:
            if isinstance(effect := fault.effect, ApiDelay):
                await self.wait(fault, effect.takes_s(self._chance(fault).uniform))
