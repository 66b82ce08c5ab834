"""The EndpointSlice controller's shell: slices for each Service that selects pods.

Source: spec endpoints-controllers 3 to 6. Invariant: nothing is decided before the caches show what
was written last for the same Service.
"""

import msgspec

from kubeherd.cluster.api.kinds import ENDPOINTSLICES, NODES, SERVICES
from kubeherd.cluster.api.objects import Node
from kubeherd.cluster.client.cache import Key
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.endpoints import sliceplan
from kubeherd.controller.endpoints.objects import TRIGGER_TIME, EndpointSlice, Service
from kubeherd.controller.endpoints.packing import Changes
from kubeherd.controller.endpoints.serviceloop import Memory, ServiceLoop
from kubeherd.controller.endpoints.slicewriter import SliceWriter, Target
from kubeherd.controller.manager import Context
from kubeherd.controller.references import reference
from kubeherd.controller.worker import ReconcileError, run_workers

NAME = "endpoint-slice-controller"
WORKERS = 5
BACKOFF_S = 1.0
SLICE_CHANGE_DELAY_S = 1.0
"""How long after somebody else changed a slice its Service is looked at."""


class EndpointSliceController:
    """Keeps slices as the pods of their Services are; with a Service its slices are collected."""

    def __init__(self, context: Context) -> None:
        self._queue: WorkQueue[Key] = context.queue(
            "endpoint_slice", context.rng.child(NAME), base_delay_s=BACKOFF_S
        )
        self._loop = ServiceLoop(context, self._queue)
        self._nodes = context.informers.get(NODES, Node)
        self._writer = SliceWriter(context, sliceplan.MANAGER)
        slices = context.informers.get(ENDPOINTSLICES, EndpointSlice)
        slices.on_change(self._slice_changed)
        self._recorder = context.recorder(NAME)

    async def run(self) -> None:
        """Work until cancelled."""
        self._loop.add_all()
        await run_workers(self._queue, self._sync, controller=NAME, workers=WORKERS)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for key in self._writer.concerned(old, new):
            self._queue.add_after(key, SLICE_CHANGE_DELAY_S)

    async def _sync(self, key: Key) -> float | None:
        memory = self._loop.memory(key)
        await memory.written.wait_seen()
        service = self._loop.services.cache.get(*key)
        if service is None:
            self._loop.forget(key)
        elif service.has_endpoints_made:
            await self._update(key, service, memory)
        return None

    async def _update(self, key: Key, service: Service, memory: Memory) -> None:
        selected = self._loop.matching.selected_by(service)
        memory.pods = len(selected)
        trigger = memory.times.next(service, selected)
        made = sliceplan.plan(service, selected, self._node, self._writer.existing(key))
        meta = service.metadata
        target = Target(
            *key,
            title=f"Service {key[0]}/{key[1]}",
            written=memory.written,
            may_create=meta.deletion_timestamp is None,
        )
        problems = list(made.problems)
        for changes in made.changes:
            try:
                await self._writer.carry_out(target, _stamped(changes, trigger))
            except ReconcileError as error:
                problems.append(str(error))
        if problems:
            self._fail(service, list(dict.fromkeys(problems)))

    def _node(self, name: str) -> Node | None:
        return self._nodes.cache.get("", name)

    def _fail(self, service: Service, problems: list[str]) -> None:
        text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        meta = service.metadata
        self._recorder.event(
            reference(SERVICES.api_version, SERVICES.kind, meta),
            "Warning",
            "FailedToUpdateEndpointSlices",
            f"Error updating Endpoint Slices for Service {meta.namespace}/{meta.name}: {text}",
        )
        raise ReconcileError(text)


def _stamped(changes: Changes, trigger_time: str) -> Changes:
    """With the annotation that says when what they tell happened."""

    def stamped(one: EndpointSlice) -> EndpointSlice:
        annotations = {k: v for k, v in one.metadata.annotations.items() if k != TRIGGER_TIME}
        if trigger_time:
            annotations[TRIGGER_TIME] = trigger_time
        metadata = msgspec.structs.replace(one.metadata, annotations=annotations)
        return msgspec.structs.replace(one, metadata=metadata)

    return Changes(
        create=[stamped(one) for one in changes.create],
        update=[stamped(one) for one in changes.update],
        delete=changes.delete,
    )
