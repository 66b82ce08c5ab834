"""Keys in etcd, as Kubernetes v1.36 makes them: ``/registry/<resource>/[namespace/]name``.

The resource of a kind of Kubernetes stands without its group, but for two of its own servers; that
of a custom resource stands behind it. Some have kept the names of their first days (a node is a
minion). Sources: `SpecialDefaultResourcePrefixes` (pkg/kubeapiserver), `ResourcePrefix` of
apiextensions-apiserver and kube-aggregator, test/integration/etcd/data.go.
"""

from typing import NamedTuple

from kubeherd.cluster.api import kinds

REGISTRY = "/registry/"
"""What every object's key begins with (kube-apiserver's default for ``--etcd-prefix``)."""

_SPECIAL = {
    "replicationcontrollers": "controllers",
    "endpoints": "services/endpoints",
    "nodes": "minions",
    "services": "services/specs",
    "ingresses.networking.k8s.io": "ingress",
    "apiservices.apiregistration.k8s.io": "apiregistration.k8s.io/apiservices",
    "customresourcedefinitions.apiextensions.k8s.io": (
        "apiextensions.k8s.io/customresourcedefinitions"
    ),
}


class ObjectKey(NamedTuple):
    """One object: its `Resource.group_resource`, its namespace ("" if it has none), its name."""

    resource_key: str
    namespace: str
    name: str


class _Place(NamedTuple):
    resource_key: str
    namespaced: bool


def _stored() -> dict[str, _Place]:
    """Where the objects of each kind are. Events are shown by two APIs and kept for the first."""
    places: dict[str, _Place] = {}
    for resource in kinds.ALL:
        if "create" in resource.verbs and "get" in resource.verbs:
            name = resource.group_resource
            place = _Place(name, resource.namespaced)
            places.setdefault(_SPECIAL.get(name, resource.plural), place)
    return places


_PLACES = _stored()
_PREFIXES = {place.resource_key: prefix for prefix, place in _PLACES.items()}


def prefix(resource_key: str) -> str:
    """What the keys of all objects of a resource begin with, up to a slash."""
    known = _PREFIXES.get(resource_key)
    if known is None:
        plural, _, group = resource_key.partition(".")
        known = f"{group}/{plural}" if group else plural
    return f"{REGISTRY}{known}/"


def encode(key: ObjectKey) -> bytes:
    """The key of an object in etcd."""
    start = prefix(key.resource_key)
    text = f"{start}{key.namespace}/{key.name}" if key.namespace else start + key.name
    return text.encode()


def decode(key: bytes) -> ObjectKey | None:
    """The object that a key of etcd is of; None for what is none of ours: a real API server's own
    notes (``ranges``, ``masterleases``) and kinds that are not served."""
    parts = key.decode(errors="replace").split("/")
    if len(parts) < 4 or parts[0] or parts[1] != "registry" or not all(parts[2:]):
        return None
    place, rest = _PLACES.get(parts[2]), parts[3:]
    if place is None and len(parts) > 4:
        place, rest = _PLACES.get(f"{parts[2]}/{parts[3]}"), parts[4:]
        if place is None and "." in parts[2]:  # every group of custom resources has a dot
            place = _Place(f"{parts[3]}.{parts[2]}", len(rest) == 2)
    if place is None or len(rest) != 1 + place.namespaced:
        return None
    return ObjectKey(place.resource_key, rest[0] if place.namespaced else "", rest[-1])
