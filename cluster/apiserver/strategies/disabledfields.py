"""Fields of features that are off by default: dropped, unless the old object has them already.

Source: pkg/api/pod/util.go (dropDisabledFields), pkg/registry/apps/statefulset and pkg/features,
v1.36: GenericWorkload, ContainerStopSignals, ClusterTrustBundleProjection, PodCertificateRequest
and MaxUnavailableStatefulSet.
"""

from collections.abc import Iterator

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.warnings import TEMPLATES

_STATEFUL_SETS = "statefulsets.apps"
_MAX_UNAVAILABLE = "maxUnavailable"
_GROUP = "schedulingGroup"
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_PROJECTIONS = ("clusterTrustBundle", "podCertificate")


def drop(group_resource: str, new: JsonObject, old: JsonObject) -> None:
    """Take them out of `new`, an object of any kind. `old`: what it replaces."""
    if group_resource == _STATEFUL_SETS and _MAX_UNAVAILABLE not in _rolling_update(old):
        _rolling_update(new).pop(_MAX_UNAVAILABLE, None)
    if group_resource != "pods" and group_resource not in TEMPLATES:
        return
    spec, before = (_pod_spec(group_resource, tree) for tree in (new, old))
    if _GROUP in spec and _GROUP not in before:
        del spec[_GROUP]
    for holder in list(_stop_signals(spec)) if not any(_stop_signals(before)) else ():
        del holder["lifecycle"]["stopSignal"]
        if not holder["lifecycle"]:
            del holder["lifecycle"]
    for name in _PROJECTIONS:
        for source in list(_sources(spec, name)) if not any(_sources(before, name)) else ():
            del source[name]


def _rolling_update(tree: JsonObject) -> JsonObject:
    """The parameters of a StatefulSet's rolling update."""
    return ((tree.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}


def _pod_spec(group_resource: str, tree: JsonObject) -> JsonObject:
    for name in TEMPLATES.get(group_resource, ()):
        tree = tree.get(name) or {}
    return tree.get("spec") or {}


def _stop_signals(spec: JsonObject) -> Iterator[JsonObject]:
    """The containers that name one."""
    for field in _CONTAINERS:
        for container in spec.get(field) or ():
            if "stopSignal" in (container.get("lifecycle") or {}):
                yield container


def _sources(spec: JsonObject, name: str) -> Iterator[JsonObject]:
    """The projected sources of a kind."""
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if name in source:
                yield source
