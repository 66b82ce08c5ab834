"""The network of one hurt node: its requests, and what its watches tell it.

Nodes of a fleet share connections and watches, so what is hurt is the node's own end of them: a
transport that loses or delays, and a tap on the shared watches. For who is cut off it is as if a
cable were out: requests hang until their timeout, or until the cable is back; then they fail, and
are made again by whoever needs them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.watches import Listener
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    Transport,
    TransportError,
    TransportResponse,
)
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults.effects import Direction, SlowNetwork

MAX_LATE: Final = 2000
"""So many changes may be on their way to a node; more come sooner than they ought to."""


def delay_s(slow: Sequence[SlowNetwork], size: int, rng: Rng) -> float:
    """How many nominal seconds a message of `size` bytes takes."""
    return sum(one.takes_s(size, rng.uniform) for one in slow)


class HurtTransport:
    """`cluster.client.transport.Transport` of a hurt node, over the one that all share."""

    def __init__(self, shared: Transport, clock: Clock, rng: Rng) -> None:
        self._shared = shared
        self._clock = clock
        self._rng = rng
        self._cut: Direction | None = None
        self._slow: Sequence[SlowNetwork] = ()
        self._mended = asyncio.Event()

    def hurt(self, cut: Direction | None, slow: Sequence[SlowNetwork]) -> None:
        """From now on stop and delay this; requests that hang fail as soon as nothing is cut."""
        self._slow = slow
        self._cut = cut
        if cut is None:
            self._mended.set()
        elif self._mended.is_set():
            self._mended = asyncio.Event()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        fence: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        """As `Transport.request`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._pass(Direction.REQUESTS, len(body or b""))
                answer = await self._shared.request(
                    method,
                    path,
                    query=query,
                    body=body,
                    content_type=content_type,
                    accept=accept,
                    fence=fence,
                    timeout_s=timeout_s,
                )
                await self._pass(Direction.ANSWERS, len(answer.body))
                return answer
        except TimeoutError:
            raise TransportError(f"{method} {path}: no answer within {timeout_s:g} s") from None

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncGenerator[bytes, None]:
        """As `Transport.stream`; a node's watches are not its own (`Deaf`, `Late`)."""
        return self._shared.stream(path, query=query, accept=accept, timeout_s=timeout_s)

    async def close(self) -> None:
        """Nothing of its own is open."""

    async def _pass(self, direction: Direction, size: int) -> None:
        """A message goes one way; TransportError if it hung there until the cut was mended."""
        if self._slow:
            await self._clock.sleep(delay_s(self._slow, size, self._rng))
        if self._cut in (direction, Direction.BOTH):
            await self._mended.wait()
            raise TransportError("connection reset")


class Deaf:
    """A tap that lets nothing through: when it is taken away, the listener is told all there is."""

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Not told."""

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        """Not told."""

    def relisted(self, node: Node | None, pods: Sequence[Pod]) -> None:
        """Not told."""


class Late:
    """A tap that tells everything later, in order."""

    def __init__(
        self,
        listener: Listener,
        *,
        key: str,
        takes_s: Callable[[], float],
        timers: Timers,
        clock: Clock,
    ) -> None:
        """`key`: of its own among the timers, whose owner cancels it; `takes_s`: of a change."""
        self._listener = listener
        self._key = key
        self._takes_s = takes_s
        self._timers = timers
        self._clock = clock
        self._coming: deque[tuple[float, Callable[[], None]]] = deque()

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Told later."""
        self._come(partial(self._listener.pod_changed, old, new))

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        """Told later."""
        self._come(partial(self._listener.node_changed, old, new))

    def relisted(self, node: Node | None, pods: Sequence[Pod]) -> None:
        """Told at once: it is what was known when the tap was put in."""
        self._listener.relisted(node, pods)

    def _come(self, tell: Callable[[], None]) -> None:
        due_s = self._clock.monotonic_s() + self._takes_s()
        if self._coming:
            due_s = max(due_s, self._coming[-1][0])
        if len(self._coming) == MAX_LATE:
            self._coming.popleft()[1]()
        self._coming.append((due_s, tell))
        self._timers.at(self._key, self._coming[0][0], self._arrive)

    def _arrive(self) -> None:
        now_s = self._clock.monotonic_s()
        while self._coming and self._coming[0][0] <= now_s:
            self._coming.popleft()[1]()
        if self._coming:
            self._timers.at(self._key, self._coming[0][0], self._arrive)
