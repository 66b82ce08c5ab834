"""Heartbeats that come one by one are answered some at a time.

A thousand kubelets renew a hundred Leases a second, each on a connection of its own. Alone, each
wakes the thread that commits and waits for the disk; together they cost one such turn, and run
while the processor's caches are warm. Invariant: who gathers loses no more than a share of the time
that it let pass by itself, so a client that waits for one answer before it asks the next is slowed
by that share at most, and one that hurries not at all. Other short writes wait for nobody; they go
on with those that come in the same step.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

from kubeherd.cluster.apiserver.edge.routing import NODE_LEASES

T = TypeVar("T")

MAX_WAIT_S: Final = 0.1
"""Nobody waits longer, in real seconds: a kubelet renews every ten, and gives up after ten."""
SHARE: Final = 0.5
"""How long one may be kept waiting, of the time since the last answer to the same client."""
MAX_WAITING: Final = 64
"""So many go on at once: more would keep others from their turns."""
WORTH_S: Final = 0.002
"""Less is not worth a timer."""


def is_heartbeat(method: str, path: str) -> bool:
    """Whether a request looks like the renewal of a node's Lease."""
    return method == "PUT" and path.startswith(NODE_LEASES)


def goes_together(method: str, path: str) -> bool:
    """Whether a request looks like one of the other writes that come in numbers: it goes on with
    those that come in the same step of the event loop, and waits for nobody."""
    if method == "POST":
        return path.endswith(_CREATED)
    if "/pods/" not in path:
        return False
    return method == "DELETE" or (method == "PATCH" and path.endswith("/status"))


_CREATED: Final = ("/pods", "/binding", "/events", "/configmaps")


def patience_s(silent_s: float) -> float:
    """How long a request may wait for others, whose client had been silent for so long."""
    wait_s = min(MAX_WAIT_S, SHARE * silent_s)
    return wait_s if wait_s >= WORTH_S else 0.0


class _Turn(Generic[T]):
    """Some that go on together, when they must."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.members: list[T] = []
        self.due: asyncio.Future[None] = loop.create_future()
        self.due_s = 0.0
        """In the event loop's time; it has a timer."""
        self.timer: asyncio.Handle | None = None
        """uvloop's has no time if it is due at once."""
        self.task: asyncio.Task[None]

    def go_on(self) -> None:
        """It is time."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.due.done():
            self.due.set_result(None)


class Gathering(Generic[T]):
    """Those that wait, and when they go on: as soon as the least patient of them must."""

    def __init__(self, carry_out: Callable[[Sequence[T]], Coroutine[Any, Any, None]]) -> None:
        """`carry_out` is what they go on with, in one task for all."""
        self._carry_out = carry_out
        self._turn: _Turn[T] | None = None

    def join(self, one: T, wait_s: float) -> asyncio.Task[None]:
        """`one` waits for others, `wait_s` real seconds at most; who does not want to wait goes on
        with those that come in the same step of the event loop. The task ends with its turn."""
        loop, turn = asyncio.get_running_loop(), self._turn
        if turn is None:
            turn = self._turn = _Turn()
            turn.task = loop.create_task(self._run(turn))
        turn.members.append(one)
        due_s = loop.time() + wait_s
        if len(turn.members) >= MAX_WAITING:
            self._turn = None
            turn.go_on()
        elif not wait_s:
            turn.go_on()
        elif not turn.due.done() and (turn.timer is None or due_s < turn.due_s):
            if turn.timer is not None:
                turn.timer.cancel()
            turn.timer, turn.due_s = loop.call_at(due_s, turn.go_on), due_s
        return turn.task

    async def _run(self, turn: _Turn[T]) -> None:
        try:
            await turn.due
        finally:
            if self._turn is turn:
                self._turn = None
        await self._carry_out(turn.members)
