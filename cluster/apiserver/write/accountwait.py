"""The moment between a new namespace and its account `default`.

A controller makes the account; who creates a namespace and at once pods in it would be refused.
So a create of a pod waits, before it reads anything, until the account is there. In a namespace
that is older its account is missing because somebody has taken it away, and nobody waits for that.
"""

from datetime import datetime

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.apiserver.admission import service_account
from kubeherd.cluster.store.store import Store
from kubeherd.cluster.store.watch.deliveries import WatchFilter

TIMEOUT_S = 5.0
"""How long after a namespace its account is waited for: real seconds, for it is another process
that makes it. Kubernetes (v1.36, plugin/pkg/admission/serviceaccount) looks ten times, 100 to
200 ms apart, however old the namespace; here the controller manager may have been started just
before, and has to win its lease first."""

_ACCOUNTS = kinds.SERVICEACCOUNTS.group_resource


async def default_account(store: Store, namespace: str, pod: JsonObject, now: datetime) -> None:
    """Return when the account that a new pod needs exists, or need not be waited for."""
    if store.head(_ACCOUNTS, namespace, service_account.DEFAULT) is not None:
        return
    name = (pod.get("spec") or {}).get("serviceAccountName") or service_account.DEFAULT
    if name != service_account.DEFAULT or service_account.is_mirror(pod):
        return
    record = store.head(kinds.NAMESPACES.group_resource, "", namespace)
    meta = {} if record is None else record.load()["metadata"]
    if record is None or meta.get("deletionTimestamp"):
        return
    age_s = (now - parse_time(meta["creationTimestamp"])).total_seconds()
    if age_s < TIMEOUT_S:
        left_s = TIMEOUT_S - max(0.0, age_s)
        await store.hub.wait(WatchFilter(_ACCOUNTS, namespace, name=name), timeout_s=left_s)
