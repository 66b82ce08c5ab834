"""The machine of one node: one life of its agent follows the other as it is switched off and on.

Invariants: all tasks of a life are its own, so that its end touches no other node; two lives of a
node never overlap.
"""

import asyncio
from collections.abc import Callable

from kubeherd.agents.equipment import Equipment
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.agents.nodeagent import NodeAgent, Shared
from kubeherd.agents.watches import Tap, Watches
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.runtime.bell import Bell

Watching = Callable[[asyncio.TaskGroup], Watches]
"""The watches for one life: those that all nodes share, or new ones as tasks of this group."""


class Host:
    """One node of a process. It is off at first."""

    def __init__(
        self, config: NodeConfig, client: ApiClient, watching: Watching, shared: Shared
    ) -> None:
        self.name = config.name
        self.shared = shared
        self.powered = True
        """Whether it is to be on."""
        self.equipment = Equipment(client=client, clock=shared.clock)
        self._config = config
        self._watching = watching
        self._agent: NodeAgent | None = None
        self._task: asyncio.Task[None] | None = None
        """The present life, or the last one as long as it ends."""
        self._lives = 0
        self._rebooted = False
        self._watches: Watches | None = None
        self._tap: Tap | None = None

    @property
    def on(self) -> bool:
        """Whether its agent lives."""
        return self._agent is not None

    @property
    def running_pods(self) -> int:
        """The pods that have not ended."""
        kubelet = self._agent.kubelet if self._agent is not None else None
        return kubelet.running_pods if kubelet is not None else 0

    @property
    def images(self) -> frozenset[str]:
        """The images that ran here since the agent began."""
        kubelet = self._agent.kubelet if self._agent is not None else None
        return frozenset(kubelet.runtime.images) if kubelet is not None else frozenset()

    def switch_on(self) -> Bell:
        """Begin a life; sets the event when the node's status is reported, or it is off again."""
        self.powered = True
        self._lives += 1
        rng = self.shared.rng.child(self.name if self._lives == 1 else f"{self.name}/{self._lives}")
        agent = self._agent = NodeAgent(
            self._config,
            self.equipment,
            self._watches_of,
            self.shared,
            rng,
            reboot=self._rebooted,
        )
        self._rebooted = False
        life = agent.run() if self._task is None else _after(self._task, agent)
        self._task = self.shared.tasks.create_task(life, name=f"node-{self.name}")
        return agent.started

    def switch_off(self) -> None:
        """The power is cut. Nothing more is written from now on, but for what is under way."""
        self.powered = False
        agent, self._agent, self._watches = self._agent, None, None
        if agent is not None and self._task is not None:
            agent.stop()
            self._task.cancel()

    def restart(self, *, reboot: bool = False) -> Bell:
        """Off and on, as `switch_on`; what is off stays so. After a reboot it has another boot id
        when it comes on."""
        self._rebooted = self._rebooted or reboot
        if self._agent is not None:
            self.switch_off()
            return self.switch_on()
        off = Bell()
        off.set()
        return off

    def equip(self, equipment: Equipment) -> None:
        """What this life and those after it work with from now on."""
        self.equipment = equipment
        if self._agent is not None:
            self._agent.equip(equipment)

    def divert(self, tap: Tap | None) -> None:
        """What this life and those after it hear of the watches goes through a tap (None: not)."""
        self._tap = tap
        if self._watches is not None:
            self._watches.divert(self.name, tap)

    def _watches_of(self, tasks: asyncio.TaskGroup) -> Watches:
        watches = self._watches = self._watching(tasks)
        watches.divert(self.name, self._tap)
        return watches


async def _after(before: asyncio.Task[None], agent: NodeAgent) -> None:
    """A life that begins when the one before has ended."""
    await asyncio.wait((before,))
    await agent.run()
