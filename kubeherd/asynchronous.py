"""`AsyncCluster`: a cluster for asyncio programs and tests.

It keeps no connection and no task between its calls, so it may be used in any event loop.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from kubeherd import operations
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.launcher.control import Op
from kubeherd.conditions import JsonObject
from kubeherd.facts import ClusterFacts, Names, Processes
from kubeherd.operations import Ask, Objects, Operation, Pause, Wanted, resource_of
from kubeherd.waits import TIMEOUT_S, not_ready, ready, rolled_out

if TYPE_CHECKING:
    from kubeherd.facts import Faults
    from kubeherd.faults import Clients, Effect
    from kubeherd.inforce import InForce

T = TypeVar("T")


class AsyncCluster(ClusterFacts):
    """As `Cluster`, with the same methods to be awaited; nothing blocks the event loop.

    >>> import asyncio, kubeherd
    >>> async def main():
    ...     async with kubeherd.AsyncCluster(nodes=2, speed=10) as cluster:
    ...         await cluster.kill_node("node-1")
    ...         await cluster.wait_not_ready("node-1")
    ...         return cluster.node_names
    >>> asyncio.run(main())
    ['node-0', 'node-1']
    """

    async def __aenter__(self) -> "AsyncCluster":
        await self.start()
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """As `Cluster.start`."""
        try:
            await _in_thread(self._start)
        except asyncio.CancelledError:
            await _in_thread(self._stop)
            raise

    async def stop(self) -> None:
        """As `Cluster.stop`."""
        await _in_thread(self._stop)

    async def add_node(self, *names: str, count: int = 0) -> Names:
        """As `Cluster.add_node`."""
        return await _in_thread(lambda: self._node(Op.NODE_ADD, names, 0 if names else count))

    async def kill_node(self, *names: str) -> Names:
        """As `Cluster.kill_node`."""
        return await self._nodes(Op.NODE_KILL, names)

    async def stop_node(self, *names: str) -> Names:
        """As `Cluster.stop_node`."""
        return await self._nodes(Op.NODE_STOP, names)

    async def start_node(self, *names: str) -> Names:
        """As `Cluster.start_node`."""
        return await self._nodes(Op.NODE_START, names)

    async def freeze_node(self, *names: str) -> Names:
        """As `Cluster.freeze_node`."""
        return await self._nodes(Op.NODE_FREEZE, names)

    async def thaw_node(self, *names: str) -> Names:
        """As `Cluster.thaw_node`."""
        return await self._nodes(Op.NODE_THAW, names)

    async def remove_node(self, *names: str) -> Names:
        """As `Cluster.remove_node`."""
        touched = await self._nodes(Op.NODE_REMOVE, names)
        for name in names:
            await self._run(operations.delete_if_there(resource_of("nodes"), name, ""))
        return touched

    async def crash(self, process: str) -> None:
        """As `Cluster.crash`."""
        await _in_thread(lambda: self._handle.crash(process))

    async def fault(
        self,
        effect: "Effect",
        *,
        nodes: str | Sequence[str] = (),
        component: str = "",
        clients: "Clients | None" = None,
        for_s: float = 0.0,
    ) -> "InForce":
        """As `Cluster.fault`: ``async with await cluster.fault(...):``."""
        return await _in_thread(lambda: self._fault(effect, nodes, component, clients, for_s))

    async def faults(self) -> "Faults":
        """As `Cluster.faults`."""
        return await _in_thread(self._handle.faults)

    async def undo_faults(self, *ids: str) -> "Faults":
        """As `Cluster.undo_faults`."""
        return await _in_thread(lambda: self._handle.undo(*ids))

    async def processes(self) -> Processes:
        """As `Cluster.processes`."""
        return await _in_thread(self._processes)

    async def apply(self, manifest: JsonObject | str | Path, namespace: str = "default") -> Objects:
        """As `Cluster.apply`."""
        return await self._run(operations.apply(operations.manifests_of(manifest), namespace))

    async def get(self, kind: str, name: str, namespace: str = "default") -> JsonObject:
        """As `Cluster.get`."""
        return await self._run(operations.get(resource_of(kind), name, namespace))

    async def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Objects:
        """As `Cluster.list`."""
        resource = resource_of(kind)
        return await self._run(
            operations.list_all(resource, namespace, label_selector, field_selector)
        )

    async def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """As `Cluster.delete`."""
        await self._run(operations.delete(resource_of(kind), name, namespace))

    async def wait_for(
        self,
        kind: str,
        name: str,
        condition: Callable[[JsonObject], bool],
        namespace: str = "default",
        *,
        what: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> JsonObject:
        """As `Cluster.wait_for`; the condition is an ordinary function."""
        wanted = operations.one(resource_of(kind), name, namespace, condition, what)
        return (await self._wait(wanted, timeout_s))[0]

    async def wait_for_list(
        self,
        kind: str,
        condition: Callable[[Objects], bool],
        namespace: str = "",
        *,
        label_selector: str = "",
        what: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> Objects:
        """As `Cluster.wait_for_list`; the condition is an ordinary function."""
        wanted = operations.every(resource_of(kind), namespace, condition, what, label_selector)
        return await self._wait(wanted, timeout_s)

    async def wait_gone(
        self, kind: str, name: str, namespace: str = "default", *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """As `Cluster.wait_gone`."""
        await self._wait(operations.gone(resource_of(kind), name, namespace), timeout_s)

    async def wait_ready(self, *nodes: str, timeout_s: float = TIMEOUT_S) -> None:
        """As `Cluster.wait_ready`."""
        await self._wait(ready(nodes or self.node_names), timeout_s)

    async def wait_not_ready(self, *nodes: str, timeout_s: float = TIMEOUT_S) -> None:
        """As `Cluster.wait_not_ready`."""
        await self._wait(not_ready(nodes), timeout_s)

    async def wait_rolled_out(
        self, daemonset: str, namespace: str = "default", *, timeout_s: float = TIMEOUT_S
    ) -> JsonObject:
        """As `Cluster.wait_rolled_out`."""
        return (await self._wait(rolled_out(daemonset, namespace), timeout_s))[0]

    async def _nodes(self, op: Op, names: tuple[str, ...]) -> Names:
        return await _in_thread(lambda: self._node(op, names))

    async def _wait(self, wanted: Wanted, timeout_s: float) -> Objects:
        return await self._run(operations.wait(wanted, timeout_s, time.monotonic))

    async def _run(self, operation: Operation[T]) -> T:
        """Drive an operation to its end over connections of its own."""
        from kubeherd.cluster.client.http.transport import from_kubeconfig  # noqa: PLC0415 - slow to import

        transport = from_kubeconfig(self.kubeconfig)

        async def do(step: Ask | Pause) -> TransportResponse | None:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                return None
            return await transport.request(
                step.method,
                step.path,
                query=step.query,
                body=step.body,
                content_type=step.content_type,
                timeout_s=step.timeout_s,
            )

        try:
            step = next(operation)
            while True:
                try:
                    answer = await do(step)
                except TransportError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            await transport.close()


async def _in_thread(work: Callable[[], T]) -> T:
    """Run what starts and stops processes; if cancelled, wait for its end all the same.

    It takes a second and has limits of its own; left alone it would go on behind everybody's back.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise
