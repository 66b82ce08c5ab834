"""Carries out the faults of all nodes of a process: told the whole list each time."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from kubeherd.agents.faults import nodefaults
from kubeherd.agents.faults.casualty import Casualty
from kubeherd.agents.faults.nodefaults import UNHURT
from kubeherd.agents.host import Host
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Fault, Nodes, effects

START_TIMEOUT_S: Final = 60.0
"""How long a rolling restart waits for one node."""


class Injector:
    """The faults that are in force. `hosts` are the nodes by name, as far as there are any yet."""

    def __init__(self, hosts: Mapping[str, Host], clock: Clock, rng: Rng) -> None:
        self._hosts = hosts
        self._clock = clock
        self._rng = rng
        self._faults: Sequence[Fault] = ()
        self._since_s: Mapping[str, float] = {}
        self._casualties: dict[str, Casualty] = {}

    def begin(self, faults: Sequence[Fault]) -> None:
        """Put these faults in force, and undo all others: see `runtime.sockets.faultsocket`."""
        nodefaults.check(faults)
        now_s = self._clock.monotonic_s()
        fresh = [fault for fault in faults if fault.id not in self._since_s]
        self._since_s = {fault.id: self._since_s.get(fault.id, now_s) for fault in faults}
        self._faults = faults
        self.renew()
        for fault in fresh:
            if isinstance(fault.target, Nodes) and not fault.undoable:
                self._restart(fault.target.names, fault.effect)

    def renew(self) -> None:
        """Put in force what was told, for nodes that there are by now."""
        hurt = nodefaults.of_nodes(self._faults, self._since_s, self._hosts)
        for name in dict.fromkeys((*hurt, *self._casualties)):
            faults = hurt.get(name, UNHURT)
            casualty = self._casualties.get(name)
            if casualty is None:
                casualty = self._casualties[name] = Casualty(
                    self._hosts[name], self._clock, self._rng.child(name)
                )
            casualty.suffer(faults)
            if faults == UNHURT:
                del self._casualties[name]

    def _restart(self, names: Sequence[str], effect: effects.Effect) -> None:
        hosts = [self._hosts[name] for name in names if name in self._hosts]
        if isinstance(effect, effects.Restart) and effect.rolling and hosts:
            hosts[0].shared.tasks.create_task(
                _one_by_one(hosts, self._clock), name="rolling-restart"
            )
            return
        for host in hosts:
            host.restart(reboot=isinstance(effect, effects.Reboot))


async def _one_by_one(hosts: Sequence[Host], clock: Clock) -> None:
    """Restart each when the one before is there again, or has had time enough."""
    for host in hosts:
        with suppress(TimeoutError):
            await clock.wait_for(host.restart().wait(), START_TIMEOUT_S)
