"""Fields that Kubernetes prints although nobody set them (`cluster.api.schemas.zeros`).

Clients see them, and managedFields lists them, so they are part of the stored object. Lists that
are always printed are null when they are empty, because Kubernetes stores objects as protobuf,
which does not tell the two apart. The walk over an object is compiled once per definition and
visits only what can hold such fields.
"""

from collections.abc import Callable
from functools import cache

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas import zeros
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

_CORE = "io.k8s.api.core.v1."
_REFUSED_WITHOUT = frozenset({
    "ConfigMapKeySelector", "ContainerPort", "ContainerResizePolicy", "EnvVar", "HTTPGetAction",
    "HTTPHeader", "KeyToPath", "NodeSelectorRequirement", "ObjectFieldSelector", "PodAffinityTerm",
    "SecretKeySelector", "TCPSocketAction", "TopologySpreadConstraint", "VolumeDevice",
    "VolumeMount",
})  # fmt: skip
"""Parts of a pod that print required scalars only, without which the pod is refused: they are not
entered, because pods are looked at on every write."""
_OF_EVERY_OBJECT = frozenset({
    ("io.k8s.api.core.v1.PodSpec", "containers"),
    ("io.k8s.api.core.v1.NodeSelector", "nodeSelectorTerms"),
    ("io.k8s.api.apps.v1.DaemonSetSpec", "selector"),
    ("io.k8s.api.apps.v1.DeploymentSpec", "selector"),
    ("io.k8s.api.apps.v1.ReplicaSetSpec", "selector"),
    ("io.k8s.api.apps.v1.StatefulSetSpec", "selector"),
})  # fmt: skip
"""Fields without which an object is refused: nobody sees their null."""

_Filler = Callable[[JsonObject], None]


def fill(resource: Resource, tree: JsonObject) -> None:
    """Add the fields that Kubernetes always prints, in place; custom resources have none."""
    if resource.custom is not None:
        return
    filler = _filler(schemas.key_of(resource.group, resource.version, resource.kind))
    if filler is not None:
        filler(tree)


def fill_status(resource: Resource, tree: JsonObject) -> None:
    """`fill` of the metadata and the status only; both are there afterwards."""
    properties = schemas.definition(resource.group, resource.version, resource.kind).properties
    for name in ("metadata", "status"):
        part = tree.get(name)
        if part is None:
            part = tree[name] = {}
        filler = _filler(properties[name].definition_key)
        if filler is not None:
            filler(part)


def zero_status(resource: Resource) -> JsonObject:
    """The status of an object of which nothing has been observed yet, as Kubernetes prints it."""
    if resource.custom is not None:
        return {}
    definition = schemas.definition(resource.group, resource.version, resource.kind)
    field = definition.field("status")
    status: JsonObject = {}
    filler = _filler(field.definition_key) if field is not None else None
    if filler is not None:
        filler(status)
    return status


@cache
def _filler(key: str) -> _Filler | None:
    """The compiled filler of a definition, or None where there is nothing to fill in."""
    if not _needs_filling(key, frozenset()):
        return None
    properties = schemas.by_key(key).properties
    template = tuple(
        (name, value)
        for name, value in zeros.printed(key).items()
        if (key, name) not in _OF_EVERY_OBJECT
    )
    lists = tuple(
        name
        for name, value in template
        if value is None and properties[name].type is FieldType.LIST
    )
    inner: dict[str, tuple[bool, _Filler]] = {}

    def fill_own(tree: JsonObject) -> None:
        for name, value in template:
            if name not in tree:
                tree[name] = {} if value.__class__ is dict else value  # no two objects share one
        for name in lists:
            if not tree[name]:
                tree[name] = None

    def fill_object(tree: JsonObject) -> None:
        fill_own(tree)
        for name, (single, filler) in inner.items():
            value = tree.get(name)
            if value is None:
                continue
            if single:
                filler(value)
                continue
            for item in value.values() if value.__class__ is dict else value:
                filler(item)

    for name, field in properties.items():
        target = _target(field)
        filler = fill_object if target == key else _filler(target) if target else None
        if filler is not None:
            inner[name] = (field.type is FieldType.OBJECT, filler)
    return fill_object if inner else fill_own


def _target(field: Field) -> str:
    """The definition that a field, its items or its values are of."""
    inner = field.items or field.additional or field
    return inner.definition_key


def _has_zeros(key: str) -> bool:
    """Whether a definition prints zeros that somebody may see."""
    return bool(zeros.printed(key)) and key.removeprefix(_CORE) not in _REFUSED_WITHOUT


@cache
def _needs_filling(key: str, above: frozenset[str]) -> bool:
    if _has_zeros(key):
        return True
    above |= {key}
    return any(
        _needs_filling(target, above)
        for field in schemas.by_key(key).properties.values()
        if (target := _target(field)) and target not in above
    )
