"""Many nodes in one process: each with its own identity, heartbeats and pods.

What nodes share is what costs: timers, requests for what their pods write, and, with one credential
for all (`fleet_kubeconfig`), one connection pool and one watch for the pods of all of them.
Invariants: a node's failure to register does not hold up the others; a stop ends the tasks and
leaves Node, Lease and pods in the API as they are.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.host import Host, Watching
from kubeherd.agents.kubelet.podwrites import PodWrites
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.agents.node.registration import Registrar
from kubeherd.agents.nodeagent import SYNC_TIMEOUT_S, Shared
from kubeherd.agents.watches import Watches
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.metrics import Family, Kind
from kubeherd.cluster.runtime.rng import Rng

if TYPE_CHECKING:
    from kubeherd.agents.faults.injector import Injector
    from kubeherd.faults import Fault

MAX_STARTING: Final = 32
TICK_S: Final = 0.5
"""The nodes of a fleet have their heartbeats at these steps: renewals of the same moment share a
request, and the process sleeps in between."""


class Fleet:
    """All nodes of a process. `run` ends only by cancellation or an unexpected error."""

    def __init__(
        self,
        configs: Sequence[NodeConfig],
        client_for: Callable[[str], ApiClient],
        *,
        one_identity: bool,
        clock: Clock,
        rng: Rng,
        reboot: bool = False,
        pod_log: PodLog | None = None,
    ) -> None:
        """`client_for(name)`: a client with a node's identity; the same for all if
        `one_identity`."""
        self._configs = configs
        self._client_for = client_for
        self._one_identity = one_identity
        self._clock = clock
        self._rng = rng
        self._reboot = reboot
        self._pod_log = pod_log
        self._hosts: dict[str, Host] = {}
        self._injector: Injector | None = None

    def families(self) -> Iterable[Family]:
        """What a kubelet counts: its name, and the pods that it runs."""
        yield Family(
            "kubelet_node_name",
            Kind.GAUGE,
            "The nodes of this process.",
            ("node",),
            [((config.name,), 1) for config in self._configs],
        )
        running = sum(host.running_pods for host in self._hosts.values())
        yield Family(
            "kubelet_running_pods", Kind.GAUGE, "Pods that have not ended.", (), [((), running)]
        )

    def hurt(self, faults: "Sequence[Fault]") -> None:
        """Put these faults in force and undo all others; FaultError, and nothing changes, if one is
        none that nodes carry out. Before `run` they are kept for it."""
        if self._injector is None:
            if not faults:
                return
            from kubeherd.agents.faults.injector import Injector  # noqa: PLC0415 - few are hurt

            self._injector = Injector(self._hosts, self._clock, self._rng.child("faults"))
        self._injector.begin(faults)

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Run the nodes; calls `on_ready` once, when all of them have reported their status."""
        try:
            async with asyncio.TaskGroup() as tasks:
                shared = self._shared(tasks)
                tasks.create_task(shared.timers.run(), name="timers")
                await self._start(shared)
                on_ready()
        finally:
            self._hosts.clear()
            self._injector = None

    def _shared(self, tasks: asyncio.TaskGroup) -> Shared:
        clock, rng = self._clock, self._rng
        return Shared(
            clock=clock,
            rng=rng,
            timers=Timers(clock),
            tasks=tasks,
            writes=PodWrites(tasks),
            registrar=Registrar(clock, rng.child("registrar")),
            tick_s=TICK_S if self._one_identity else 0.0,
            pod_log=self._pod_log,
        )

    async def _start(self, shared: Shared) -> None:
        names = [config.name for config in self._configs]
        common = self._common(names, shared.tasks) if self._one_identity else None
        for config in self._configs:
            watching = self._own(config.name) if common is None else _all(common)
            client = self._client_for(config.name)
            host = self._hosts[config.name] = Host(config, client, watching, shared)
            host.restart(reboot=self._reboot)
        if self._injector is not None:
            self._injector.renew()
        if common is not None:
            # Their first answer says that the server takes writes together: else each node would
            # open a connection for its first ones, of a quarter of a megabyte on both sides.
            await self._clock.wait_for(common.nodes.synced.wait(), SYNC_TIMEOUT_S)
        at_once = asyncio.Semaphore(MAX_STARTING)

        async def start(host: Host) -> None:
            async with at_once:
                if host.powered:
                    await host.switch_on().wait()

        async with asyncio.TaskGroup() as starting:
            for host in self._hosts.values():
                starting.create_task(start(host), name=f"start-{host.name}")

    def _common(self, names: Sequence[str], tasks: asyncio.TaskGroup) -> Watches:
        """Those of all nodes, in these tasks."""
        watches = self._watches(names)
        watches.start(tasks)
        return watches

    def _own(self, name: str) -> Watching:
        """New ones for each life of a node."""

        def watching(tasks: asyncio.TaskGroup) -> Watches:
            watches = self._watches([name])
            watches.start(tasks)
            return watches

        return watching

    def _watches(self, names: Sequence[str]) -> Watches:
        client = self._client_for(names[0])
        return Watches(client, self._clock, self._rng.child(f"watch/{names[0]}"), names)


def _all(watches: Watches) -> Watching:
    """The watches of each life are these."""
    return lambda _: watches
