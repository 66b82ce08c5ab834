"""Shared informers: one reflector per (type, resource, selectors), used by all controllers.

Those that want metadata only (the garbage collector's of every kind, and the like) share one group
poll: they are many, and little happens to them. Invariant: whatever number of controllers asks, the
API server sees one watch and memory holds one copy. Reflectors asked for before `run` start
together; later ones start at once.
"""

import asyncio
from typing import Any, TypeVar, cast

import structlog

from kubeherd.cluster.api.kinds import LEASES, PODS, Resource
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.cache import HasMetadata
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.grouppoll import GroupPoll
from kubeherd.cluster.client.listwatch import NO_PAUSE, ListWatch, PollPause
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

T = TypeVar("T", bound=HasMetadata)

_PAUSES = {LEASES: PollPause(1.0), PODS: PollPause(0.01, from_events=8)}
"""A thousand nodes renew a hundred leases a second: one answer for all of them costs a tenth of a
hundred answers, and what comes of silence is decided every 5 s only. In a rollout a server makes a
thousand pods a second, each of which is told three times and more; few pods are told at once."""
_PROGRESS_INTERVAL_S = 5.0

_log = structlog.get_logger(__name__)


class Informers:
    """The caches of one controller manager."""

    def __init__(self, client: ApiClient, clock: Clock, rng: Rng) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._reflectors: dict[ListWatch[Any], Reflector[Any]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._group = GroupPoll(client, clock, rng.child("group-poll"))

    def get(
        self,
        resource: Resource,
        into: type[T],
        *,
        field_selector: str = "",
        label_selector: str = "",
    ) -> Reflector[T]:
        """The shared reflector of a resource decoded as `into`; made on first request."""
        source = ListWatch(
            resource, into, field_selector=field_selector, label_selector=label_selector
        )
        reflector = self._reflectors.get(source)
        if reflector is None:
            reflector = Reflector(
                self._client,
                source,
                clock=self._clock,
                rng=self._rng,
                pause=_PAUSES.get(resource, NO_PAUSE),
            )
            self._reflectors[source] = reflector
            if into is PartialObject:
                self._group.add(reflector)
            elif self._tasks is not None:
                self._start(self._tasks, source, reflector)
        return cast("Reflector[T]", reflector)

    def relist(self) -> None:
        """The caches count as filled only when each has been listed anew."""
        for reflector in self._reflectors.values():
            reflector.relist()

    async def run(self) -> None:
        """Keep all caches current until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for source, reflector in self._reflectors.items():
                    if source.into is not PartialObject:
                        self._start(tasks, source, reflector)
                await self._group.run()  # the tasks stay open for reflectors asked for later
        finally:
            self._tasks = None

    def _start(
        self, tasks: asyncio.TaskGroup, source: ListWatch[Any], reflector: Reflector[Any]
    ) -> None:
        tasks.create_task(reflector.run(), name=f"reflector-{source.resource.group_resource}")

    def waiting_for(self) -> list[str]:
        """The resources whose first list is not in yet."""
        return sorted(
            source.resource.group_resource
            for source, reflector in self._reflectors.items()
            if not reflector.synced.is_set()
        )

    async def wait_synced(self) -> None:
        """Return when every cache is filled; says every 5 s what it waits for."""
        while waiting := self.waiting_for():
            synced = (reflector.synced.wait() for reflector in list(self._reflectors.values()))
            try:
                await self._clock.wait_for(asyncio.gather(*synced), _PROGRESS_INTERVAL_S)
            except TimeoutError:
                _log.info("waiting_for_caches", resources=waiting)
