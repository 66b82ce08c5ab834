"""What is stored and deleted with a Service: its IPAddresses and its Endpoints, staged with it.

Source: spec service-allocation, section 3. Invariants: an IPAddress is there before the Service
that has it, and gone after it, so that a crash leaves no Service without; nothing is staged by a
dry run.
"""

from typing import Protocol

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.admission import service_addresses, service_ports
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import ipaddresses
from kubeherd.cluster.apiserver.write.context import RequestContext, housekeeping
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.store.store import Store


class Stages(Protocol):
    """As much of the registry as is needed here."""

    @property
    def store(self) -> Store: ...

    def stage_create(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext
    ) -> object: ...

    def stage_delete(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        options: DeleteOptions,
        ctx: RequestContext,
    ) -> object: ...


def take(
    registry: Stages, kind: ServedKind, new: JsonObject, old: JsonObject, ctx: RequestContext
) -> None:
    """Stage the IPAddresses that a Service gains; Invalid if another one has such an address."""
    if kind.resource is not kinds.SERVICES or ctx.dry_run:
        return
    if service_ports.gained(new, old):
        registry.store.rest_on(kind.key, "", "")  # no other object stands for a port that is taken
    addresses = served.of(kinds.IPADDRESSES)
    for address in ipaddresses.gained(new, old):
        if registry.store.head(addresses.key, "", address) is not None:
            service_addresses.refuse_taken(new["metadata"]["name"], address)
        made = ipaddresses.of(new, address)
        registry.stage_create(addresses, "", made, housekeeping(ctx.now))


def release(
    registry: Stages, kind: ServedKind, old: JsonObject, new: JsonObject, ctx: RequestContext
) -> None:
    """Delete the IPAddresses that a Service has no longer."""
    if kind.resource is not kinds.SERVICES or ctx.dry_run:
        return
    for address in ipaddresses.gained(old, new):
        _drop(registry, kinds.IPADDRESSES, "", address, ctx)


def gone(registry: Stages, kind: ServedKind, tree: JsonObject, ctx: RequestContext) -> None:
    """Delete what goes with a Service that was removed (`afterDelete` upstream)."""
    if kind.resource is kinds.SERVICES:
        meta = tree["metadata"]
        _drop(registry, kinds.ENDPOINTS, meta["namespace"], meta["name"], ctx)
        release(registry, kind, tree, {}, ctx)


def _drop(
    registry: Stages, resource: Resource, namespace: str, name: str, ctx: RequestContext
) -> None:
    kind = served.of(resource)
    if registry.store.head(kind.key, namespace, name) is not None:
        registry.stage_delete(kind, namespace, name, DeleteOptions(), housekeeping(ctx.now))
