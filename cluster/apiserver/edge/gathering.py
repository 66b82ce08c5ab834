"""Heartbeats that come one by one are answered some at a time.

A thousand kubelets renew a hundred Leases a second, each on a connection of its own. Alone, each
wakes the thread that commits and waits for the disk; together they cost one such turn, and run
while the processor's caches are warm. Invariant: who gathers loses no more than a share of the time
that it let pass by itself, so a client that waits for one answer before it asks the next is slowed
by that share at most, and one that hurries not at all.
"""

import asyncio
from typing import Final

MAX_WAIT_S: Final = 0.1
"""Nobody waits longer, in real seconds: a kubelet renews every ten, and gives up after ten."""
SHARE: Final = 0.5
"""How long one may be kept waiting, of the time since the last answer to the same client."""
MAX_WAITING: Final = 64
"""So many go on at once: more would keep others from their turns."""
WORTH_S: Final = 0.002
"""Less is not worth a timer."""

_PATH: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"


def is_heartbeat(method: str, path: str) -> bool:
    """Whether a request looks like the renewal of a node's Lease."""
    return method == "PUT" and path.startswith(_PATH)


def patience_s(silent_s: float) -> float:
    """How long a request may wait for others, whose client had been silent for so long."""
    wait_s = min(MAX_WAIT_S, SHARE * silent_s)
    return wait_s if wait_s >= WORTH_S else 0.0


class Gathering:
    """Those that wait, and when they go on: as soon as the least patient of them must."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.Handle | None = None
        """uvloop's has no time if it is due at once."""
        self._due_s = 0.0

    async def turn(self, wait_s: float) -> None:
        """Wait for others, `wait_s` real seconds at most."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        due_s = loop.time() + wait_s
        if len(self._waiting) >= MAX_WAITING:
            self._go_on()
        elif self._timer is None or due_s < self._due_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._due_s = loop.call_at(due_s, self._go_on), due_s
        await waiter

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
