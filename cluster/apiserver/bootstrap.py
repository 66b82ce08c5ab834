"""What exists from the start: system namespaces, priority classes, roles and bindings,
the Service `kubernetes`, ConfigMaps about authentication, and the accounts without which no pod is
admitted in a system namespace.

Source: spec api-machinery, sections 8 and 20; scheduler, section 6. Created where missing, never
overwritten, so that a person's changes survive a restart. Decision: the accounts `default`, which
in Kubernetes a controller makes here as in any namespace, are here at once, so that a pod created
right after the start need not wait for the controller manager.
"""

from kubeherd.cluster.api import defaults, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.access.authz import policy
from kubeherd.cluster.apiserver.access.authz.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
)
from kubeherd.cluster.apiserver.admission import service_account
from kubeherd.cluster.apiserver.admission.service_addresses import CLUSTER_RANGE, SERVICES
from kubeherd.cluster.apiserver.apiservices import APISERVICES, local_services
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.registry import Pending, Registry
from kubeherd.cluster.runtime.clock import Clock

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
_PRIORITY_CLASSES = {
    "system-node-critical": (
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another "
        "node if necessary.",
    ),
}


async def ensure_system_objects(registry: Registry, clock: Clock, client_ca: str = "") -> None:
    """Create what is missing of all of it. `client_ca` (PEM) signs the certificates of clients."""
    wanted: list[tuple[Resource, JsonObject]] = [
        *((kinds.NAMESPACES, {"metadata": {"name": name}}) for name in SYSTEM_NAMESPACES),
        *((kinds.SERVICEACCOUNTS, _account(name)) for name in SYSTEM_NAMESPACES),
        *((kinds.PRIORITYCLASSES, tree) for tree in _priority_classes()),
        *((resource, tree) for resource, trees in _roles() for tree in trees),
        (SERVICES, _kubernetes_service()),
        *((APISERVICES, tree) for tree in local_services(format_time(clock.now()))),
    ]
    if client_ca:
        wanted += [
            (kinds.CONFIGMAPS, _authentication(client_ca)),
            (kinds.CONFIGMAPS, _token_tracking(clock)),
        ]
    await _ensure(registry, clock, wanted)


async def ensure_system_namespaces(registry: Registry, clock: Clock) -> None:
    """Bring back a system namespace that somebody removed."""
    await _ensure(
        registry,
        clock,
        [(kinds.NAMESPACES, {"metadata": {"name": name}}) for name in SYSTEM_NAMESPACES],
    )


async def _ensure(
    registry: Registry, clock: Clock, wanted: list[tuple[Resource, JsonObject]]
) -> None:
    staged: list[tuple[Resource, Pending]] = []
    for resource, tree in wanted:
        kind = served.of(resource)
        namespace = tree["metadata"].get("namespace", "")
        if registry.store.head(kind.key, namespace, tree["metadata"]["name"]) is not None:
            continue
        whole = {"kind": resource.kind, "apiVersion": resource.api_version, **tree}
        defaults.apply(resource, whole)
        ctx = RequestContext(
            user=SERVER, now=clock.now(), field_manager="kube-apiserver", asked=True
        )
        staged.append((resource, registry.stage_create(kind, namespace, whole, ctx)))
    for resource, pending in staged:
        await registry.commit_all(served.of(resource), [pending])


def _roles() -> list[tuple[Resource, list[JsonObject]]]:
    objects = policy.objects()
    return [
        (CLUSTER_ROLES, objects["clusterRoles"]),
        (CLUSTER_ROLE_BINDINGS, objects["clusterRoleBindings"]),
        (ROLES, objects["roles"]),
        (ROLE_BINDINGS, objects["roleBindings"]),
    ]


def _authentication(client_ca: str) -> JsonObject:
    """How clients are authenticated, for servers that do as this one
    (pkg/controlplane/controller/clusterauthenticationtrust)."""
    return {
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": client_ca},
    }


def _token_tracking(clock: Clock) -> JsonObject:
    """Since when the use of tokens in Secrets is looked at
    (pkg/controlplane/controller/legacytokentracking)."""
    return {
        "metadata": {
            "name": "kube-apiserver-legacy-service-account-token-tracking",
            "namespace": "kube-system",
        },
        "data": {"since": clock.now().date().isoformat()},
    }


def _account(namespace: str) -> JsonObject:
    return {"metadata": {"name": service_account.DEFAULT, "namespace": namespace}}


def _kubernetes_service() -> JsonObject:
    """The Service of the API server itself, at the first address of the range."""
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {"clusterIP": str(CLUSTER_RANGE[1]), "ports": [port]},
    }


def _priority_classes() -> list[JsonObject]:
    return [
        {
            "metadata": {"name": name},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, (value, description) in _PRIORITY_CLASSES.items()
    ]
