"""What happens in a cluster, seen live: for tests, the demo and experiments.

A `ClusterView` keeps the nodes, pods and DaemonSets of a cluster current and wakes whoever waits
for a condition at every change, so that nobody sleeps for fixed times. It survives restarts of the
API server. Waits are real seconds.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.objects import DaemonSet, Node, Pod
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.listwatch import ListWatch
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng

WAIT_TIMEOUT_S = 30.0


class ClusterView:
    """An async context manager around a client and three caches of a cluster."""

    def __init__(self, kubeconfig: Path, *, sync_timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """`sync_timeout_s`: how long it may take to list everything."""
        self._sync_timeout_s = sync_timeout_s
        self._transport = from_kubeconfig(kubeconfig)
        clock, rng = LoopClock(), Rng()
        self.client = ApiClient(self._transport, clock)
        self._nodes = Reflector(self.client, ListWatch(NODES, Node), clock=clock, rng=rng)
        self._pods = Reflector(self.client, ListWatch(PODS, Pod), clock=clock, rng=rng)
        self._daemonsets = Reflector(
            self.client, ListWatch(DAEMONSETS, DaemonSet), clock=clock, rng=rng
        )
        self.changes = 0
        self._change = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "ClusterView":
        def on_change(_old: object, _new: object) -> None:
            self.changes += 1
            self._change.set()

        self._nodes.on_change(on_change)
        self._pods.on_change(on_change)
        self._daemonsets.on_change(on_change)
        reflectors = (self._nodes, self._pods, self._daemonsets)
        self._tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
        try:
            async with asyncio.timeout(self._sync_timeout_s):
                for reflector in reflectors:
                    await reflector.synced.wait()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.close()

    @property
    def nodes(self) -> dict[str, Node]:
        """All Nodes by name."""
        return {node.metadata.name: node for node in self._nodes.cache}

    def ready_nodes(self) -> set[str]:
        """The names of the Nodes that are Ready."""
        return {node.metadata.name for node in self._nodes.cache if nodeutil.is_ready(node)}

    def pods(self, owner: str = "") -> list[Pod]:
        """All pods, or those controlled by the object called `owner`, by node name."""
        found = [
            pod
            for pod in self._pods.cache
            if not owner or ((ref := pod.metadata.controller()) and ref.name == owner)
        ]
        return sorted(found, key=lambda pod: (pod.spec.node_name, pod.metadata.name))

    def daemonset(self, namespace: str, name: str) -> DaemonSet | None:
        """A DaemonSet, or None."""
        return self._daemonsets.cache.get(namespace, name)

    async def changed_since(self, changes: int) -> None:
        """Return once `changes` is larger than it was: at the next change of anything."""
        while self.changes <= changes:
            self._change.clear()
            await self._change.wait()

    async def until(
        self, condition: Callable[[], bool], what: str, timeout_s: float = WAIT_TIMEOUT_S
    ) -> None:
        """Return once `condition` holds, which is looked at after every change.

        TimeoutError, saying `what` did not happen, after real seconds.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    seen = self.changes
                    if condition():
                        return
                    await self.changed_since(seen)
        raise TimeoutError(f"{what}: not within {timeout_s:g} s")
