"""Objects that exist from the start are brought up to date when a server finds an older store.

Source: Kubernetes v1.36, pkg/registry/rbac/rest/storage_rbac.go (`EnsureRBACPolicy`) and
pkg/controlplane/controller/clusterauthenticationtrust. Roles and bindings are given what they lack
(`access.authz.reconciliation`), the ConfigMap about authentication the authority of now; a role
that is given to nobody any more goes. All other objects are a person's once they are there.
"""

from collections.abc import Callable, Iterable
from functools import partial

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authz import policy, reconciliation
from kubeherd.cluster.apiserver.access.authz.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
)
from kubeherd.cluster.apiserver.write.context import housekeeping
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.runtime.clock import Clock

AUTHENTICATION = "extension-apiserver-authentication"
"""The ConfigMap in kube-system that says how clients are authenticated."""
_CLIENT_CA = "client-ca-file"


_complete: dict[tuple[str, str, str], bytes] = {}
"""Roles and bindings that lack nothing, as they are stored: what they should have is the same as
long as the process lives, and simulated servers begin many lives in one. One entry for each."""


async def reconcile(
    registry: Registry, clock: Clock, expected: Iterable[tuple[Resource, JsonObject]]
) -> None:
    """Bring objects that are there up to date; `expected` says how they would be made now."""
    for resource, tree in expected:
        if resource.group == GROUP:
            wanted = partial(reconciliation.reconciled, expected=tree)
        elif resource is kinds.CONFIGMAPS and tree["metadata"]["name"] == AUTHENTICATION:
            wanted = partial(_with_authority, expected=tree)
        else:
            continue
        meta = tree["metadata"]
        await _bring(registry, clock, resource, meta.get("namespace", ""), meta["name"], wanted)
    for resource in (CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES):
        kind = served.of(resource)
        if registry.store.head(kind.key, "", policy.RETIRED) is not None:
            ctx = housekeeping(clock.now())
            await registry.delete(kind, "", policy.RETIRED, DeleteOptions(), ctx)


async def _bring(
    registry: Registry,
    clock: Clock,
    resource: Resource,
    namespace: str,
    name: str,
    wanted: Callable[[JsonObject], JsonObject],
) -> None:
    kind = served.of(resource)
    record = registry.store.head(kind.key, namespace, name)
    if record is None:
        return
    place = (kind.key, namespace, name)
    if _complete.get(place) == record.json:
        return
    existing = record.load()
    tree, ctx = wanted(existing), housekeeping(clock.now())
    if tree == existing:
        if resource.group == GROUP:
            _complete[place] = record.json
        return
    if tree.get("roleRef") != existing.get("roleRef"):  # which no update may change
        await registry.delete(kind, namespace, name, DeleteOptions(), ctx)
        whole = {"kind": resource.kind, "apiVersion": resource.api_version, **tree}
        await registry.create(kind, namespace, whole, housekeeping(clock.now()))
    else:
        await registry.update(kind, namespace, name, wanted, ctx)


def _with_authority(existing: JsonObject, expected: JsonObject) -> JsonObject:
    """With the authority of now; others are left, for they may be another server's."""
    known = (existing.get("data") or {}).get(_CLIENT_CA, "")
    own = expected["data"][_CLIENT_CA]
    if own.strip() in known:
        return existing
    texts = (text.rstrip("\n") for text in (known, own) if text)
    data = {**(existing.get("data") or {}), _CLIENT_CA: "\n".join(texts) + "\n"}
    return {**existing, "data": data}
