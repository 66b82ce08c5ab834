"""Whether a write that belongs to a leader's term may still be stored (`api.private.fence`).

Asked in the step of the event loop in which the write is staged, of the newest staged state of the
Lease: a takeover comes before the write or after it, never in between, however long the request
was on its way or waited for webhooks.
"""

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import LEASES, Resource
from kubeherd.cluster.api.private import fence
from kubeherd.cluster.apiserver.read.storedobjects import StoredObjects
from kubeherd.cluster.store.store import Store


def check(stored: StoredObjects, resource: Resource, name: str, header: str) -> None:
    """LeaseLost unless the Lease is held as the header says; BadRequest if that says nothing."""
    if not header:
        return
    try:
        term = fence.parse(header)
    except ValueError:
        raise errors.BadRequest(
            f"{fence.HEADER}: not <namespace>/<lease>/<holderIdentity>/<leaseTransitions>"
        ) from None
    held = stored.fact(LEASES, term.namespace, term.lease, _held)
    if held != (term.holder, term.transitions):
        raise errors.lease_lost(resource, name, header)


def hold(store: Store, header: str) -> None:
    """What is staged together with this is made only while the Lease is as `check` saw it."""
    if header:
        term = fence.parse(header)
        store.rest_on(LEASES.group_resource, term.namespace, term.lease)


def _held(lease: JsonObject) -> tuple[str, int]:
    """Who holds a Lease, and for the how manieth time it has changed hands."""
    spec = lease.get("spec") or {}
    return str(spec.get("holderIdentity") or ""), int(spec.get("leaseTransitions") or 0)
