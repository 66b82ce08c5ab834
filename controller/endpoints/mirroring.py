"""The EndpointSliceMirroring controller's shell: slices for Endpoints that people make.

Source: spec endpoints-controllers 8. Endpoints are mirrored while a Service of their name is there
that selects nothing. Invariant: nothing is decided before the caches show what was written last for
the same Endpoints.
"""

from kubeherd.cluster.api.kinds import ENDPOINTS, ENDPOINTSLICES, SERVICES
from kubeherd.cluster.client.cache import Key, key_of
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.endpoints import mirrorplan
from kubeherd.controller.endpoints.objects import Endpoints, EndpointSlice, Service
from kubeherd.controller.endpoints.packing import Changes
from kubeherd.controller.endpoints.slicewriter import SliceWriter, Target
from kubeherd.controller.manager import Context
from kubeherd.controller.references import reference
from kubeherd.controller.worker import run_workers
from kubeherd.controller.workload.written import Written

NAME = "endpoint-slice-mirroring-controller"
WORKERS = 5
BACKOFF_S = 1.0


class EndpointSliceMirroringController:
    """Keeps mirrors of Endpoints; deletes those of which nothing is to be mirrored."""

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._queue: WorkQueue[Key] = context.queue(
            "endpoint_slice_mirroring", context.rng.child(NAME), base_delay_s=BACKOFF_S
        )
        self._writer = SliceWriter(context, mirrorplan.MANAGER)
        self._services = context.informers.get(SERVICES, Service)
        self._endpoints = context.informers.get(ENDPOINTS, Endpoints)
        slices = context.informers.get(ENDPOINTSLICES, EndpointSlice)
        self._services.on_change(self._service_changed)
        self._endpoints.on_change(self._endpoints_changed)
        slices.on_change(self._slice_changed)
        self._recorder = context.recorder(NAME)
        self._written: dict[Key, Written] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        for one in self._endpoints.cache.values():
            self._queue.add(key_of(one))
        await run_workers(self._queue, self._sync, controller=NAME, workers=WORKERS)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        several = [one for one in (old, new) if one is not None]
        without_selector = [one for one in several if one.spec.selector is None]
        if len(without_selector) == 1:  # it came, it went, or it has become one or ceased to be
            self._queue.add(key_of(several[-1]))

    def _endpoints_changed(self, old: Endpoints | None, new: Endpoints | None) -> None:
        several = [one for one in (old, new) if one is not None]
        if any(mirrorplan.should_mirror(one) for one in several):
            self._queue.add(key_of(several[-1]))

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for key in self._writer.concerned(old, new):
            self._queue.add(key)

    async def _sync(self, key: Key) -> float | None:
        written = self._written.get(key) or Written(self._clock)
        await written.wait_seen()
        endpoints, existing = self._endpoints.cache.get(*key), self._writer.existing(key)
        service = self._services.cache.get(*key)
        mirrored = (
            endpoints is not None
            and mirrorplan.should_mirror(endpoints)
            and service is not None
            and service.spec.selector is None
        )
        if endpoints is None or not mirrored:
            await self._carry_out(key, written, Changes(delete=existing))
            self._written.pop(key, None)
            return None
        self._written[key] = written
        plan = mirrorplan.plan(endpoints, existing)
        self._report(endpoints, plan)
        may_create = endpoints.metadata.deletion_timestamp is None
        await self._carry_out(key, written, plan.changes, may_create=may_create)
        return None

    async def _carry_out(
        self, key: Key, written: Written, changes: Changes, *, may_create: bool = True
    ) -> None:
        title = f"Endpoints {key[0]}/{key[1]}"
        target = Target(*key, title=title, written=written, may_create=may_create)
        await self._writer.carry_out(target, changes)

    def _report(self, endpoints: Endpoints, plan: mirrorplan.MirrorPlan) -> None:
        regarding = reference(ENDPOINTS.api_version, ENDPOINTS.kind, endpoints.metadata)
        if plan.invalid:
            self._recorder.event(
                regarding,
                "Warning",
                "InvalidIPAddress",
                f"Skipped {plan.invalid} invalid IP addresses when mirroring to EndpointSlices",
            )
        if plan.skipped > plan.invalid:
            self._recorder.event(
                regarding,
                "Warning",
                "TooManyAddressesToMirror",
                f"A max of {mirrorplan.MAX_PER_SUBSET} addresses can be mirrored to EndpointSlices "
                f"per Endpoints subset. {plan.skipped} addresses were skipped",
            )
