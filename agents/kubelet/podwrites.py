"""The writes of the pods of all nodes of a process: simultaneous ones are sent together.

A task, a future and a request for each pod would cost a fleet more than the pods themselves.
Invariants: what to write is asked for when it is sent, not before; a node whose identity or network
has changed meanwhile writes with the new one; a few groups of writes of one identity are under way
at a time, so that one that hangs does not hold up all others.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from kubeherd.agents.kubelet.podworker import PodWorker
from kubeherd.cluster.client.batching import MAX_BATCH
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.sending import Outcome, Write

MAX_GATHERINGS: Final = 4
"""Groups of writes of one identity under way at a time; each fits into a batch."""
PARALLEL_WRITES: Final = 8
"""Requests of one group under way at a time, with a server that does not know batches."""


class Writer(Protocol):
    """Knows the writes of the pods of one node."""

    @property
    def client(self) -> ApiClient:
        """The client of the node now."""

    def next_write(self, worker: PodWorker) -> Write | None:
        """The write that a pod needs now; None if it needs none any more."""

    def written(self, worker: PodWorker, outcome: Outcome) -> None:
        """The outcome of the last `next_write`."""


class PodWrites:
    """The writes of the nodes of a process; `tasks` owns the tasks that send them."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._queues: dict[ApiClient, _Queue] = {}
        """By identity, while there are writes."""

    def put(self, writer: Writer, worker: PodWorker) -> None:
        """Send the next write of a pod, together with those that are put in the same step."""
        client = writer.client
        queue = self._queues.get(client)
        if queue is None:
            queue = self._queues[client] = _Queue()
        queue.waiting.append((writer, worker))
        self._gather(client, queue)

    def _gather(self, client: ApiClient, queue: "_Queue") -> None:
        if queue.waiting and not queue.gathering and queue.under_way < MAX_GATHERINGS:
            queue.gathering = True
            self._tasks.create_task(self._send(client, queue), name="pod-writes")

    async def _send(self, client: ApiClient, queue: "_Queue") -> None:
        queue.gathering = False
        queue.under_way += 1
        taken, writes = self._take(client, queue)
        self._gather(client, queue)  # there may be more than fit
        try:
            outcomes = await client.send_all(writes, parallel=PARALLEL_WRITES) if writes else []
        finally:
            queue.under_way -= 1
        for (writer, worker), outcome in zip(taken, outcomes, strict=True):
            writer.written(worker, outcome)
        self._gather(client, queue)
        if not queue.under_way and not queue.gathering and not queue.waiting:
            self._queues.pop(client, None)

    def _take(
        self, client: ApiClient, queue: "_Queue"
    ) -> tuple[list[tuple[Writer, PodWorker]], list[Write]]:
        taken: list[tuple[Writer, PodWorker]] = []
        writes: list[Write] = []
        while queue.waiting and len(writes) < MAX_BATCH:
            writer, worker = queue.waiting.popleft()
            if writer.client is not client:
                self.put(writer, worker)
            elif (write := writer.next_write(worker)) is not None:
                taken.append((writer, worker))
                writes.append(write)
        return taken, writes


class _Queue:
    """The pods of one identity that have something to write."""

    __slots__ = ("gathering", "under_way", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Writer, PodWorker]] = deque()
        """Each pod at most once."""
        self.gathering = False
        """Whether a task is about to take what waits."""
        self.under_way = 0
