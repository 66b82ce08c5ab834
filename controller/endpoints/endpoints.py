"""The Endpoints controller's shell: one Endpoints object for each Service that selects pods.

Source: spec endpoints-controllers 7. Invariant: nothing is decided before the caches show what was
written last for the same Service.
"""

import msgspec

from kubeherd.cluster.api.errors import ApiError, NotFound, namespace_is_terminating
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import ENDPOINTS
from kubeherd.cluster.client.cache import Key, key_of
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.endpoints import endpointsplan
from kubeherd.controller.endpoints.objects import (
    ENDPOINTS_MANAGED_BY,
    LEADER_ELECTION,
    Endpoints,
    Service,
)
from kubeherd.controller.endpoints.serviceloop import Memory, ServiceLoop
from kubeherd.controller.manager import Context
from kubeherd.controller.references import reference
from kubeherd.controller.worker import run_workers
from kubeherd.controller.workload.writer import ObjectWriter

NAME = endpointsplan.MANAGER
WORKERS = 5


class EndpointsController:
    """Keeps Endpoints as the pods of their Services are; deletes those whose Service has gone."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue: WorkQueue[Key] = context.queue("endpoint", context.rng.child(NAME))
        self._loop = ServiceLoop(context, self._queue)
        self._endpoints = context.informers.get(ENDPOINTS, Endpoints)
        self._endpoints.on_change(self._endpoints_changed)
        self._recorder = context.recorder(NAME)

    async def run(self) -> None:
        """Work until cancelled."""
        self._loop.add_all()
        for one in self._endpoints.cache.values():
            if _may_be_left_over(one):
                self._queue.add(key_of(one))
        await run_workers(self._queue, self._sync, controller=NAME, workers=WORKERS)

    def _endpoints_changed(self, old: Endpoints | None, new: Endpoints | None) -> None:
        if new is None and old is not None:
            self._queue.add(key_of(old))

    async def _sync(self, key: Key) -> float | None:
        memory = self._loop.memory(key)
        await memory.written.wait_seen()
        service = self._loop.services.cache.get(*key)
        current = self._endpoints.cache.get(*key)
        writer = ObjectWriter(self._client, key[0], memory.written, {ENDPOINTS: self._endpoints})
        if service is None:
            await _delete(writer, current)
            self._loop.forget(key)
        elif service.has_endpoints_made:
            await self._update(writer, service, current, memory)
        return None

    async def _update(
        self, writer: ObjectWriter, service: Service, current: Endpoints | None, memory: Memory
    ) -> None:
        selected = self._loop.matching.selected_by(service)
        memory.pods = len(selected)
        trigger = memory.times.next(service, selected)
        wanted = endpointsplan.plan(service, selected, current, trigger)
        if wanted is None:
            return
        tree: JsonObject = {
            "apiVersion": ENDPOINTS.api_version,
            "kind": ENDPOINTS.kind,
            **msgspec.to_builtins(wanted),
        }
        try:
            if current is None:
                await writer.create(ENDPOINTS, tree)
            else:
                await writer.update(ENDPOINTS, tree)
        except ApiError as error:
            if current is None and namespace_is_terminating(error):
                return
            self._report(wanted, error, is_new=current is None)
            raise

    def _report(self, endpoints: Endpoints, error: ApiError, *, is_new: bool) -> None:
        meta = endpoints.metadata
        what = f"{meta.namespace}/{meta.name}: {error}"
        reason, message = (
            ("FailedToCreateEndpoint", f"Failed to create endpoint for service {what}")
            if is_new
            else ("FailedToUpdateEndpoint", f"Failed to update endpoint {what}")
        )
        regarding = reference(ENDPOINTS.api_version, ENDPOINTS.kind, meta)
        self._recorder.event(regarding, "Warning", reason, message)


async def _delete(writer: ObjectWriter, endpoints: Endpoints | None) -> None:
    """As upstream, whoever made them: they bear the name of a Service that is gone."""
    if endpoints is None:
        return
    try:
        await writer.delete(ENDPOINTS, endpoints.metadata.name, uid=endpoints.metadata.uid)
    except NotFound:
        return


def _may_be_left_over(endpoints: Endpoints) -> bool:
    """Whether Endpoints without a Service, found at the start, are ours to delete.

    Decision: only with the label of this controller. It may start long after somebody made
    Endpoints that need no Service, where upstream's starts with the cluster.
    """
    meta = endpoints.metadata
    mine = meta.labels.get(ENDPOINTS_MANAGED_BY) == NAME
    return mine and LEADER_ELECTION not in meta.annotations
