"""Edges that misbehave as a seed says: delays, lost requests and answers, a disk that fails."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context

from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse, WatchResponse
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Row, StoreError
from kubeherd.simulation.edges import COMMIT_S, Disk, Network
from kubeherd.simulation.virtualtime import PROCESS

_LATENCIES_S = (0.0002, 0.0005, 0.002, 0.01)
_COMMITS_S = (0.0, COMMIT_S, 0.005, 0.02)


class FragileDisk(Disk):
    """Crashes the API server just before or just after a commit, or is full for a while."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self._rng = rng
        self.commits_until_crash = 0
        """0: no crash is coming."""
        self.full_until_s = 0.0
        self.on_crash: Callable[[], None] = lambda: None
        self.on_commit: Callable[[Row], None] = lambda _row: None

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        if asyncio.get_running_loop().time() < self.full_until_s:
            raise StoreError("disk full")
        crashes = self.commits_until_crash == 1
        self.commits_until_crash = max(0, self.commits_until_crash - 1)
        await asyncio.sleep(self._rng.choice(_COMMITS_S))
        if crashes and self._rng.random() < 0.5:
            await self._crash()
        if self.rows.keys() & {row.revision for row in rows}:
            raise AssertionError("a revision was given twice")
        await super().commit(rows, drop, compacted)
        for row in rows:
            self.on_commit(row)
        if crashes:
            await self._crash()

    async def _crash(self) -> None:
        self.on_crash()
        await asyncio.Event().wait()


class Weather(Network):
    """Requests and answers take their time, overtake each other and get lost.

    What the server has begun it ends, whether or not the client still waits for the answer.
    """

    def __init__(self, rng: Rng, calm: str) -> None:
        """`calm`: the client that the weather spares."""
        super().__init__()
        self._rng = rng
        self._calm = calm
        self.loss = 0.0
        self.slowness = 1.0
        self.frozen_until_s = 0.0

    def clear(self) -> None:
        """Nothing is lost or slow any more."""
        self.loss, self.slowness, self.frozen_until_s = 0.0, 1.0, 0.0

    async def call(
        self, client: str, request: ApiRequest, timeout_s: float
    ) -> ApiResponse | WatchResponse:
        if client == self._calm:
            return await super().call(client, request, timeout_s)
        if request.method != "GET" and self._rng.random() < self.loss / 2:
            self.reachable(client)
            await self._way()
            raise TransportError("connection reset")
        # What is on its way belongs to nobody who could be frozen.
        wire = copy_context()
        wire.run(PROCESS.set, None)
        answering = asyncio.create_task(self._answered(client, request), context=wire)
        answering.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait({answering}, timeout=timeout_s)
        if not done:
            raise TransportError("timed out")
        if self._rng.random() < self.loss:
            raise TransportError("connection reset")
        return answering.result()

    async def _answered(self, client: str, request: ApiRequest) -> ApiResponse | WatchResponse:
        api = self.reachable(client)
        await self._way()
        if self.lost(client, api):
            raise TransportError("connection reset")
        answer = await super().call(client, request, timeout_s=3600)
        await self._way()
        if self.lost(client, api):
            raise TransportError("connection reset")
        return answer

    async def _way(self) -> None:
        frozen_s = self.frozen_until_s - asyncio.get_running_loop().time()
        await asyncio.sleep(max(frozen_s, self._rng.choice(_LATENCIES_S) * self.slowness))
