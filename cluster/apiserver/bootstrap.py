"""What exists from the start: system namespaces, priority classes, roles and bindings, the range of
cluster IPs, the Service `kubernetes` with its endpoints, ConfigMaps about authentication, and the
accounts without which no pod is admitted in a system namespace.

Source: spec api-machinery, sections 8 and 20; scheduler, section 6. Created where missing, not
overwritten, so that a person's changes survive a restart; what roles and bindings lack of it they
are given (`reconciling`). Decision: the accounts `default`, which
in Kubernetes a controller makes here as in any namespace, are here at once, so that a pod created
right after the start need not wait for the controller manager.
"""

from datetime import datetime

from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver import reconciling, served
from kubeherd.cluster.apiserver.access.authz import policy
from kubeherd.cluster.apiserver.access.authz.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
)
from kubeherd.cluster.apiserver.admission import service_account
from kubeherd.cluster.apiserver.admission.service_addresses import CLUSTER_RANGE
from kubeherd.cluster.apiserver.apiservices import APISERVICES, local_services
from kubeherd.cluster.apiserver.write import ipaddresses
from kubeherd.cluster.apiserver.write.context import housekeeping
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.pending import Pending
from kubeherd.cluster.apiserver.write.registry import Registry
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
    wanted = system_objects(clock.now())
    if client_ca:
        wanted += [
            (kinds.CONFIGMAPS, _authentication(client_ca)),
            (kinds.CONFIGMAPS, _token_tracking(clock)),
        ]
    there = await _ensure(registry, clock, wanted, are_valid=True)
    await reconciling.reconcile(registry, clock, there)
    await _ensure_addresses(registry, clock)


def warm_up(now: datetime) -> None:
    """Load what the first object of each kind that is here loads: schemas, defaults, rules."""
    for resource, tree in dict(system_objects(now)).items():
        validation.create(resource, whole(resource, tree))


def system_objects(now: datetime) -> list[tuple[Resource, JsonObject]]:
    """What every cluster has, without kind and defaults. Tests show that it is valid: a server that
    starts does not ask again."""
    time = format_time(now)
    return [
        *((kinds.NAMESPACES, {"metadata": {"name": name}}) for name in SYSTEM_NAMESPACES),
        *((kinds.SERVICEACCOUNTS, _account(name)) for name in SYSTEM_NAMESPACES),
        *((kinds.PRIORITYCLASSES, tree) for tree in _priority_classes()),
        *((resource, tree) for resource, trees in _roles() for tree in trees),
        (kinds.SERVICECIDRS, _service_cidr(time)),
        *_server_service(),
        *((APISERVICES, tree) for tree in local_services(time)),
    ]


async def ensure_restored(registry: Registry, clock: Clock) -> None:
    """Bring back what the server does not let go: system namespaces, the range of addresses and its
    own Service; IPAddresses fit their Services again."""
    namespaces = [(kinds.NAMESPACES, {"metadata": {"name": name}}) for name in SYSTEM_NAMESPACES]
    cidr = (kinds.SERVICECIDRS, _service_cidr(format_time(clock.now())))
    await _ensure(registry, clock, [*namespaces, cidr, *_server_service()])
    await _ensure_addresses(registry, clock)


async def _ensure_addresses(registry: Registry, clock: Clock) -> None:
    missing = ipaddresses.missing(registry.store)
    await _ensure(registry, clock, [(kinds.IPADDRESSES, tree) for tree in missing])
    kind, ctx = served.of(kinds.IPADDRESSES), housekeeping(clock.now())
    left_over = ipaddresses.left_over(registry.store)
    options = DeleteOptions()
    gone = [registry.stage_delete(kind, "", name, options, ctx) for name in left_over]
    await registry.outcomes.commit_all(kind, gone)


async def _ensure(
    registry: Registry,
    clock: Clock,
    wanted: list[tuple[Resource, JsonObject]],
    *,
    are_valid: bool = False,
) -> list[tuple[Resource, JsonObject]]:
    """Create what is missing; returns the others of `wanted`. What another server makes at the same
    time is as good."""
    staged: list[tuple[Resource, Pending]] = []
    there: list[tuple[Resource, JsonObject]] = []
    for resource, tree in wanted:
        kind = served.of(resource)
        namespace = tree["metadata"].get("namespace", "")
        if registry.store.head(kind.key, namespace, tree["metadata"]["name"]) is not None:
            there.append((resource, tree))
            continue
        ctx = housekeeping(clock.now())
        ctx.is_valid = are_valid
        pending = registry.stage_create(kind, namespace, whole(resource, tree), ctx)
        staged.append((resource, pending))
    for resource, pending in staged:
        await registry.outcomes.commit_all(served.of(resource), [pending])
    return there


def whole(resource: Resource, tree: JsonObject) -> JsonObject:
    """An object of this kind with its defaults."""
    whole = {"kind": resource.kind, "apiVersion": resource.api_version, **tree}
    defaults.apply(resource, whole)
    return whole


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
        "metadata": {"name": reconciling.AUTHENTICATION, "namespace": "kube-system"},
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


def _service_cidr(now: str) -> JsonObject:
    """The range that the server is started with
    (pkg/controlplane/controller/defaultservicecidr)."""
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    return {
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [str(CLUSTER_RANGE)]},
        "status": {"conditions": [ready]},
    }


def _server_service() -> list[tuple[Resource, JsonObject]]:
    return [
        (kinds.SERVICES, _kubernetes_service()),
        (kinds.ENDPOINTS, _kubernetes_endpoints()),
        (kinds.ENDPOINTSLICES, _kubernetes_slice()),
    ]


_SERVER_ADDRESS = "10.0.0.2"
"""An address of the network of the nodes that none of them has: loopback ones are no endpoints."""
_SERVER_PORT = 6443


def _kubernetes_endpoints() -> JsonObject:
    """Where the API server is. It makes these and the slice itself, and no mirror is wanted
    (pkg/controlplane/reconcilers)."""
    port = {"name": "https", "port": _SERVER_PORT, "protocol": "TCP"}
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": _SERVER_ADDRESS}], "ports": [port]}],
    }


def _kubernetes_slice() -> JsonObject:
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [_SERVER_ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": _SERVER_PORT, "protocol": "TCP"}],
    }


def _kubernetes_service() -> JsonObject:
    """The Service of the API server itself, at the first address of the range."""
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": _SERVER_PORT}
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
