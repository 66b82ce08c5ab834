"""A controller that is made when the first object it could work on is there.

Most clusters have no CronJob and no claim; their controllers then cost no module, no cache and no
watch. What wakes one are informers that hold metadata only, which all share one long-poll and most
of which the garbage collector has anyway. Invariants: the controller runs only on caches that
have been filled; once made it stays, and runs again after a crash or a lost lease like any other.
"""

import asyncio
from collections.abc import Callable

import msgspec

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.events import EventRecorder
from kubeherd.controller.manager import Context, Controller, Factory

Concerns = Callable[[PartialObject], bool]


class Wake(msgspec.Struct, frozen=True):
    """What makes a controller: an object of one of the resources that `concerns` it."""

    resources: tuple[Resource, ...]
    concerns: Concerns = lambda _: True


class OnDemand:
    """Stands in for a controller until it is needed."""

    def __init__(self, context: Context, make: Factory, wake: Wake) -> None:
        self._recorders: list[EventRecorder] = []
        self._context = context.with_recorders(self._recorders)
        self._make = make
        self._needed = asyncio.Event()
        self._controller: Controller | None = None
        self._concerns = wake.concerns
        for resource in wake.resources:
            context.informers.get(resource, PartialObject).on_change(self._changed)

    def _changed(self, _old: PartialObject | None, new: PartialObject | None) -> None:
        if new is not None and self._concerns(new):
            self._needed.set()

    async def run(self) -> None:
        """Wait until the controller is needed, then run it; until cancelled."""
        await self._needed.wait()
        if self._controller is None:
            self._controller = self._make(self._context)
        await self._context.informers.wait_synced()
        async with asyncio.TaskGroup() as tasks:
            recording = [tasks.create_task(recorder.run()) for recorder in self._recorders]
            try:
                await self._controller.run()
            finally:
                for task in recording:
                    task.cancel()
