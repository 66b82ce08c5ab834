"""One hurt node: it is given what misbehaves, and gets back what it had.

Invariants: what is wrong with one node touches no other (its hanging writes do not use up the bound
that all share, that it does not reach the API is not noted for all); a node that is healed has what
it had before.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from kubeherd.agents.equipment import Equipment
from kubeherd.agents.faults import pods
from kubeherd.agents.faults.network import Deaf, HurtTransport, Late, delay_s
from kubeherd.agents.faults.nodefaults import UNHURT, NodeFaults, ahead, cut
from kubeherd.agents.host import Host
from kubeherd.agents.pods.sync import HurtPods
from kubeherd.agents.watches import Listener
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.runtime.clock import Clock, OffsetClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults.effects import Direction, SlowNetwork

CHANGE_BYTES: Final = 2000
"""How large a change that a watch tells is taken to be: about that of a pod."""
_PROBE_S: Final = 1000.0

_log = structlog.get_logger(__name__)


class Casualty:
    """What is wrong with one node now."""

    def __init__(self, host: Host, clock: Clock, rng: Rng) -> None:
        self._host = host
        self._clock = clock
        self._rng = rng
        self._whole = host.equipment
        self._faults = UNHURT
        self._heartbeats: Heartbeats | None = None
        self._hurt_pods: HurtPods | None = None
        self._network = HurtTransport(self._whole.client.transport, clock, rng)
        private = self._whole.client.private
        self._client = ApiClient(self._network, clock, private_features=private)
        self._wrong = OffsetClock(clock)
        self._tapped: tuple[bool, Sequence[SlowNetwork]] = (False, ())
        self._key = f"{host.name}/faults"

    def suffer(self, faults: NodeFaults) -> None:
        """From now on exactly this is wrong."""
        before, self._faults = self._faults, faults
        if faults == before:
            return
        _log.info("node_hurt" if faults != UNHURT else "node_healed", node=self._host.name)
        if (faults.losses, faults.late_s) != (before.losses, before.late_s):
            self._set_heartbeats(faults)
        if faults.skews != before.skews:
            # It may drift only from now on, with what it is ahead already.
            ahead_s, drift = ahead(faults.skews, self._clock.monotonic_s())
            self._wrong.set(ahead_s / _speed(self._clock), drift)
        if faults.pods != before.pods:
            images = self._host.images
            self._hurt_pods = pods.hurting(faults.pods, images) if faults.pods else None
        if faults.down and self._host.powered:
            self._host.switch_off()
        self._renew()
        if not faults.down and not self._host.powered:
            self._host.switch_on()

    def _renew(self) -> None:
        """Put in force what is wrong at this moment; a partition that flaps changes by itself."""
        faults, timers = self._faults, self._host.shared.timers
        stopped, until_s = cut(faults.partitions, self._clock.monotonic_s())
        if until_s is None:
            timers.cancel(self._key)
        else:
            timers.at(self._key, until_s, self._renew)
        if faults.frozen:
            stopped = Direction.BOTH
        self._network.hurt(stopped, faults.slow)
        self._host.equip(self._equipment(hangs=stopped is not None or bool(faults.slow)))
        self._tap(cut_off=stopped is not None)

    def _equipment(self, *, hangs: bool) -> Equipment:
        faults, whole = self._faults, self._whole
        return Equipment(
            client=self._client if hangs else whole.client,
            clock=self._wrong if faults.skews else whole.clock,
            hindrance=self._heartbeats,
            hurt_pods=self._hurt_pods,
            frozen=faults.frozen,
        )

    def _set_heartbeats(self, faults: NodeFaults) -> None:
        if self._heartbeats is not None:
            self._heartbeats.over.set()
        hurt = faults.losses or faults.late_s
        self._heartbeats = Heartbeats(faults, self._clock, self._rng) if hurt else None

    def _tap(self, *, cut_off: bool) -> None:
        slow = () if cut_off else self._faults.slow
        if self._tapped == (cut_off, slow):
            return
        if self._tapped != (False, ()):
            self._host.shared.timers.cancel(self._late_key)
            self._host.divert(None)
        self._tapped = (cut_off, slow)
        if cut_off:
            self._host.divert(lambda _: Deaf())
        elif slow:
            self._host.divert(partial(self._late, slow))

    def _late(self, slow: Sequence[SlowNetwork], listener: Listener) -> Listener:
        return Late(
            listener,
            key=self._late_key,
            takes_s=lambda: delay_s(slow, CHANGE_BYTES, self._rng),
            timers=self._host.shared.timers,
            clock=self._clock,
        )

    @property
    def _late_key(self) -> str:
        return f"{self._host.name}/late"


class Heartbeats:
    """A hindrance (`agents.equipment`): heartbeats that are left out, or come late."""

    def __init__(self, faults: NodeFaults, clock: Clock, rng: Rng) -> None:
        self.over = asyncio.Event()
        self._late_s = faults.late_s
        self._clock = clock
        self._losses = [(rng.child(loss.fault), loss.probability) for loss in faults.losses]
        """Each with a chance of its own."""

    async def __call__(self) -> bool:
        """Wait as long as it is late, or until it is `over`; whether it is left out."""
        lost = [chance.random() < probability for chance, probability in self._losses]
        if any(lost):
            return True
        if self._late_s:
            with suppress(TimeoutError):
                await self._clock.wait_for(self.over.wait(), self._late_s)
        return False


def _speed(clock: Clock) -> float:
    """How many nominal seconds a clock makes of a true one."""
    return clock.age_s(clock.now() - timedelta(seconds=_PROBE_S)) / _PROBE_S
