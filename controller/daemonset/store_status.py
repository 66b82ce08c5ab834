"""Writes the status of a DaemonSet (spec section 10): one PUT, and one more after a live GET."""

import msgspec

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.api.objects import DaemonSet
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.daemonset.model import StatusNumbers
from kubeherd.controller.daemonset.status import status_tree
from kubeherd.controller.worker import ReconcileError


async def store_status(
    client: ApiClient, daemonset: DaemonSet, numbers: StatusNumbers, observed_generation: int
) -> str:
    """Write the numbers; returns the new resourceVersion. ReconcileError if it failed twice."""
    prefix = f"error storing status for daemon set {_shown(daemonset)}: "
    try:
        return await _put(client, daemonset, numbers, observed_generation)
    except (ApiError, TransportError):
        pass  # the object is most likely newer: look at it, then try once more
    name, namespace = daemonset.metadata.name, daemonset.metadata.namespace
    try:
        live = await client.get(DAEMONSETS, DaemonSet, name, namespace)
        return await _put(client, live, numbers, observed_generation)
    except (ApiError, TransportError) as error:
        raise ReconcileError(f"{prefix}{error}") from error


async def _put(
    client: ApiClient, daemonset: DaemonSet, numbers: StatusNumbers, observed_generation: int
) -> str:
    tree: JsonObject = {
        **msgspec.to_builtins(daemonset),
        "apiVersion": DAEMONSETS.api_version,
        "kind": DAEMONSETS.kind,
        "status": status_tree(numbers, daemonset.status, observed_generation),
    }
    stored = await client.update(DAEMONSETS, tree, subresource="status")
    return str(stored["metadata"].get("resourceVersion") or "")


def _shown(daemonset: DaemonSet) -> str:
    return f"{daemonset.metadata.namespace}/{daemonset.metadata.name}"
