"""The namespace controller's shell: empties terminating namespaces, then lets them go (spec 8).

Invariants: pods go first, and nothing else is deleted before they are gone, so that what pods use
outlives them; the finalizer is removed only after a round that found every kind empty.
"""

import structlog

from kubeherd.cluster.api.errors import ApiError, Conflict, MethodNotAllowed, NotFound
from kubeherd.cluster.api.kinds import NAMESPACES, PODS, Resource
from kubeherd.cluster.api.objects import Namespace, PartialObject, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.discovery import Kinds
from kubeherd.controller.manager import Context
from kubeherd.controller.namespace import plan
from kubeherd.controller.worker import run_workers

WORKERS = 4
FIRST_LOOK_S = 0.0
AGAIN_S = 1.0
"""How soon a namespace that is not empty yet is looked at again."""
FINALIZER_AGAIN_S = 15.0
"""The same when only foreign finalizers keep it."""
_NEEDED_VERBS = frozenset({"list", "delete"})

_log = structlog.get_logger(__name__)


class NamespaceController:
    """Deletes the content of namespaces that are being deleted."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._kinds = Kinds(context.reader)
        self._namespaces = context.informers.get(NAMESPACES, Namespace)
        self._pods = context.informers.get(PODS, Pod)
        self._queue: WorkQueue[str] = context.queue("namespace")
        self._namespaces.on_change(self._namespace_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for namespace in self._namespaces.cache.values():
            self._namespace_changed(None, namespace)
        await run_workers(self._queue, self._reconcile, controller="namespace", workers=WORKERS)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if (
            new is not None
            and new.metadata.deletion_timestamp is not None
            and (old is None or old.metadata.deletion_timestamp is None)
        ):
            self._queue.add_after(new.metadata.name, FIRST_LOOK_S)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None:
            namespace = self._namespaces.cache.get("", old.metadata.namespace)
            if namespace is not None and namespace.metadata.deletion_timestamp is not None:
                self._queue.add(namespace.metadata.name)

    async def _reconcile(self, name: str) -> float | None:
        try:
            namespace = await self._client.get(NAMESPACES, Namespace, name)
        except NotFound:
            return None
        if namespace.metadata.deletion_timestamp is None:
            return None
        if plan.FINALIZER not in namespace.spec.finalizers:
            return None
        outcome = await self._empty(name)
        await self._write_status(namespace, outcome)
        if not outcome.empty:
            foreign = outcome.finalizers.keys() - plan.SOON_GONE
            return FINALIZER_AGAIN_S if foreign else AGAIN_S
        await self._finalize(name)
        _log.info("namespace_emptied", namespace=name)
        return None

    async def _empty(self, name: str) -> plan.Outcome:
        outcome = plan.Outcome()
        try:
            await self._kinds.refresh()
            outcome.discovery_errors += self._kinds.failures
        except (ApiError, TransportError) as error:
            outcome.discovery_errors.append(str(error))
        await self._empty_of(PODS, name, outcome)
        if "pods" in {kind.partition(".")[0] for kind in outcome.remaining}:
            return outcome
        for resource in self._content_kinds():
            await self._empty_of(resource, name, outcome)
        return outcome

    def _content_kinds(self) -> list[Resource]:
        found = {
            resource.group_resource: resource
            for resource in self._kinds.preferred
            if resource.namespaced and resource != PODS and set(resource.verbs) >= _NEEDED_VERBS
        }
        return [found[name] for name in plan.deletion_order(list(found))]

    async def _empty_of(self, resource: Resource, namespace: str, outcome: plan.Outcome) -> None:
        """Delete all objects of a kind in the namespace and count what is left of them."""
        try:
            listed = await self._client.list(resource, PartialObject, namespace)
            if not listed.items:
                return
            await self._delete_all(resource, namespace, [i.metadata.name for i in listed.items])
            listed = await self._client.list(resource, PartialObject, namespace)
        except (NotFound, MethodNotAllowed):
            return
        except (ApiError, TransportError) as error:
            outcome.delete_errors.append(str(error))
            return
        if not listed.items:
            return
        shown = f"{resource.plural}.{resource.group}"
        outcome.remaining[shown] = len(listed.items)
        for item in listed.items:
            for finalizer in item.metadata.finalizers:
                outcome.finalizers[finalizer] = outcome.finalizers.get(finalizer, 0) + 1

    async def _delete_all(self, resource: Resource, namespace: str, names: list[str]) -> None:
        if "deletecollection" in resource.verbs:
            options = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Background",
            }
            await self._client.request("DELETE", resource.path(namespace), body=options)
            return
        for name in names:
            try:
                await self._client.delete(resource, name, namespace, propagation="Background")
            except NotFound:
                continue

    async def _write_status(self, namespace: Namespace, outcome: plan.Outcome) -> None:
        now = format_time(self._clock.now())
        wanted = plan.conditions(namespace.status.conditions, outcome, now)
        if wanted is None:
            return
        path = NAMESPACES.path(name=namespace.metadata.name)
        tree = await self._client.request("GET", path)
        tree["status"] = {**(tree.get("status") or {}), "conditions": wanted}
        try:
            await self._client.update(NAMESPACES, tree, subresource="status")
        except (Conflict, NotFound) as error:
            _log.debug("namespace_status_not_written", error=str(error))

    async def _finalize(self, name: str) -> None:
        try:
            tree = await self._client.request("GET", NAMESPACES.path(name=name))
            finalizers = (tree.get("spec") or {}).get("finalizers") or []
            left = [finalizer for finalizer in finalizers if finalizer != plan.FINALIZER]
            tree["spec"] = {**(tree.get("spec") or {}), "finalizers": left}
            await self._client.update(NAMESPACES, tree, subresource="finalize")
        except NotFound:
            return
