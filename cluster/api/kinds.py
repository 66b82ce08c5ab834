"""The kinds of Kubernetes 1.36 as data: group, version, names, scope, verbs, subresources.

`kinds.json` holds what a real v1.36 control plane answers to aggregated discovery. Invariants: a
`Resource` is immutable and there is one per (group, version, plural); `ALL` keeps the order in
which Kubernetes lists its groups, so that discovery documents can be made from it directly.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from kubeherd.cluster.api.customresources.kind import CustomKind


class Subresource(msgspec.Struct, frozen=True):
    """One subresource such as ``status`` or ``binding``; empty group and version: the parent's."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


class Resource(msgspec.Struct, frozen=True, dict=True):
    """A REST resource (``daemonsets`` of ``apps/v1``) together with the kind that it serves."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    custom: "CustomKind | None" = None
    """What the CustomResourceDefinition says of its objects; None for the kinds of Kubernetes."""

    def __hash__(self) -> int:
        """By its names alone: caches are asked by resource all the time."""
        return hash((self.group, self.version, self.plural))

    def __repr__(self) -> str:
        """Its names: what a definition says of its objects is long."""
        return f"Resource({self.api_version}, {self.plural})"

    @cached_property
    def api_version(self) -> str:
        """``v1`` for the core group, else ``group/version``: the value of ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def group_resource(self) -> str:
        """``daemonsets.apps`` (``pods`` for the core group): how errors and the store name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def root(self) -> str:
        """``/apis/apps/v1`` or ``/api/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of a collection, an item or an item's subresource (spec api-machinery, 1).

        ``namespace`` empty for a namespaced resource means the collection over all namespaces.
        """
        parts = [self.root]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def subresource(self, name: str) -> Subresource | None:
        """The subresource called ``name``, or None."""
        return next((sub for sub in self.subresources if sub.name == name), None)


def _resource(entry: dict[str, Any]) -> Resource:
    return Resource(
        group=entry["group"],
        version=entry["version"],
        plural=entry["resource"],
        singular=entry["singular"],
        kind=entry["kind"],
        namespaced=entry["scope"] == "Namespaced",
        verbs=tuple(entry["verbs"]),
        short_names=tuple(entry.get("shortNames", ())),
        categories=tuple(entry.get("categories", ())),
        subresources=tuple(
            Subresource(
                name=sub["name"],
                group=sub.get("group", ""),
                version=sub.get("version", ""),
                kind=sub["kind"],
                verbs=tuple(sub["verbs"]),
            )
            for sub in entry.get("subresources", ())
        ),
    )


ALL: tuple[Resource, ...] = tuple(
    _resource(entry)
    for entry in msgspec.json.decode(Path(__file__).with_name("kinds.json").read_bytes())[
        "resources"
    ]
)
_BY_PLURAL = {(r.group, r.version, r.plural): r for r in ALL}
_BY_KIND = {(r.api_version, r.kind): r for r in ALL}


def resource(group: str, version: str, plural: str) -> Resource:
    """The resource with these names; KeyError if Kubernetes 1.36 does not serve it."""
    return _BY_PLURAL[group, version, plural]


def find(group: str, version: str, plural: str) -> Resource | None:
    """Like `resource`, but None if there is none."""
    return _BY_PLURAL.get((group, version, plural))


def for_kind(api_version: str, kind: str) -> Resource | None:
    """The resource that serves ``kind`` of ``api_version``, or None."""
    return _BY_KIND.get((api_version, kind))


METRICS_GROUP = "metrics.k8s.io"


def _metrics(plural: str, kind: str, namespaced: bool) -> Resource:
    return Resource(METRICS_GROUP, "v1beta1", plural, "", kind, namespaced, ("get", "list"))


NODE_METRICS = _metrics("nodes", "NodeMetrics", namespaced=False)
POD_METRICS = _metrics("pods", "PodMetrics", namespaced=True)
COMPUTED = (NODE_METRICS, POD_METRICS)
"""What is served beside `ALL` and stored nowhere: of Kubernetes' metrics-server, not of its own."""

PODS = resource("", "v1", "pods")
SIGNINGREQUESTS = resource("certificates.k8s.io", "v1", "certificatesigningrequests")
NODES = resource("", "v1", "nodes")
NAMESPACES = resource("", "v1", "namespaces")
EVENTS = resource("", "v1", "events")
EVENTS_V1 = resource("events.k8s.io", "v1", "events")
CONFIGMAPS = resource("", "v1", "configmaps")
SECRETS = resource("", "v1", "secrets")
SERVICEACCOUNTS = resource("", "v1", "serviceaccounts")
RESOURCEQUOTAS = resource("", "v1", "resourcequotas")
DAEMONSETS = resource("apps", "v1", "daemonsets")
CONTROLLERREVISIONS = resource("apps", "v1", "controllerrevisions")
LEASES = resource("coordination.k8s.io", "v1", "leases")
PRIORITYCLASSES = resource("scheduling.k8s.io", "v1", "priorityclasses")
PODDISRUPTIONBUDGETS = resource("policy", "v1", "poddisruptionbudgets")
REPLICASETS = resource("apps", "v1", "replicasets")
DEPLOYMENTS = resource("apps", "v1", "deployments")
STATEFULSETS = resource("apps", "v1", "statefulsets")
REPLICATIONCONTROLLERS = resource("", "v1", "replicationcontrollers")
JOBS = resource("batch", "v1", "jobs")
CRONJOBS = resource("batch", "v1", "cronjobs")
SERVICES = resource("", "v1", "services")
ENDPOINTS = resource("", "v1", "endpoints")
ENDPOINTSLICES = resource("discovery.k8s.io", "v1", "endpointslices")
IPADDRESSES = resource("networking.k8s.io", "v1", "ipaddresses")
SERVICECIDRS = resource("networking.k8s.io", "v1", "servicecidrs")
PERSISTENTVOLUMES = resource("", "v1", "persistentvolumes")
PERSISTENTVOLUMECLAIMS = resource("", "v1", "persistentvolumeclaims")
STORAGECLASSES = resource("storage.k8s.io", "v1", "storageclasses")
HORIZONTALPODAUTOSCALERS = resource("autoscaling", "v2", "horizontalpodautoscalers")
