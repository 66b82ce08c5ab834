"""Requests that come one by one are carried out in groups.

A thousand kubelets renew a hundred Leases a second, each on a connection of its own. Alone, each
renewal wakes the thread that commits and waits for the disk; a group of them does so once, and runs
while the processor's caches are warm. So a renewal waits a while for others. Invariant: it waits
for at most a share of the time that its client was silent before. So a client that waits for each
answer is slowed down by that share at most, and one that is in a hurry not at all. Other short
writes do not wait; those that come in the same step of the event loop are a group.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

from kubeherd.cluster.apiserver.edge.routing import NODE_LEASES

T = TypeVar("T")

MAX_WAIT_S: Final = 0.1
"""The longest wait, in real seconds. A kubelet renews every ten seconds and gives up after ten."""
SHARE: Final = 0.5
"""The longest wait, as a share of the time since the last answer to the same client."""
MAX_WAITING: Final = 64
"""The largest group: a larger one would block the event loop for too long."""
WORTH_S: Final = 0.002
"""A shorter wait is not worth a timer."""


def is_heartbeat(method: str, path: str) -> bool:
    """Whether a request looks like the renewal of a node's Lease."""
    return method == "PUT" and path.startswith(NODE_LEASES)


def goes_together(method: str, path: str) -> bool:
    """Whether a request looks like another write of which there are many at a time: such a write
    forms a group with those that come in the same step of the event loop."""
    if method == "POST":
        return path.endswith(_CREATED)
    if "/pods/" not in path:
        return False
    return method == "DELETE" or (method == "PATCH" and path.endswith("/status"))


_CREATED: Final = ("/pods", "/binding", "/events", "/configmaps")


def patience_s(silent_s: float) -> float:
    """How long a request may wait whose client was silent for so long before."""
    wait_s = min(MAX_WAIT_S, SHARE * silent_s)
    return wait_s if wait_s >= WORTH_S else 0.0


class _Group(Generic[T]):
    """Requests that will be carried out together."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.members: list[T] = []
        self.due: asyncio.Future[None] = loop.create_future()
        """Done when they are to be carried out."""
        self.due_s = 0.0
        """When that is at the latest, in the event loop's time; valid while there is a timer."""
        self.timer: asyncio.Handle | None = None
        """A handle, because uvloop's timers that are due at once do not know their time."""
        self.task: asyncio.Task[None]

    def go_on_within(self, wait_s: float) -> None:
        """Carry them out after so many real seconds at the latest."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s
        if self.timer is not None:
            if due_s >= self.due_s:
                return
            self.timer.cancel()
        self.timer, self.due_s = loop.call_at(due_s, self.go_on), due_s

    def go_on(self) -> None:
        """Carry them out now."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.due.done():
            self.due.set_result(None)


class Gathering(Generic[T]):
    """The group that is waiting now. It is carried out as soon as one of its members may not wait
    longer, or when it is full."""

    def __init__(self, carry_out: Callable[[Sequence[T]], Coroutine[Any, Any, None]]) -> None:
        """`carry_out` carries out a group; it runs in one task per group."""
        self._carry_out = carry_out
        self._next: _Group[T] | None = None

    def join(self, one: T, wait_s: float) -> asyncio.Task[None]:
        """Add a request that may wait so many real seconds for others; 0: only for those that come
        in the same step of the event loop. Returns the task that carries out its group."""
        group = self._next
        if group is None:
            group = self._next = _Group()
            group.task = asyncio.get_running_loop().create_task(self._run(group))
        group.members.append(one)
        if len(group.members) >= MAX_WAITING:
            self._next = None
            group.go_on()
        elif not group.due.done():
            if wait_s:
                group.go_on_within(wait_s)
            else:
                group.go_on()
        return group.task

    async def _run(self, group: _Group[T]) -> None:
        try:
            await group.due
        finally:
            if self._next is group:
                self._next = None
        await self._carry_out(group.members)
