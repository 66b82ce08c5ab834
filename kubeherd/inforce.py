"""Faults that a program has begun: `Cluster.fault` and `AsyncCluster.fault` give one."""

import asyncio
from types import TracebackType

from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.faults import Fault


class InForce:
    """A fault that is in force until it is undone: at the end of a `with` or `async with`, or by
    `undo`. One that is over at once, as a restart, needs neither."""

    def __init__(self, handle: ClusterHandle, fault: Fault) -> None:
        self._handle = handle
        self.fault = fault
        """What was begun: its `id`, `target` and `effect`."""

    def __repr__(self) -> str:
        return f"<InForce {self.fault.id}: {self.fault}>"

    def undo(self) -> None:
        """End it, if it has not ended by itself or by another command; blocks."""
        self._handle.undo(self.fault.id)

    def __enter__(self) -> "InForce":
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.undo()

    async def __aenter__(self) -> "InForce":
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.undo)
