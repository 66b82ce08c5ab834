"""The columns of volumes, claims and storage classes."""

from datetime import datetime

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    UNSET,
    Cell,
    Column,
    Printer,
    age,
    deleting,
    items,
    member,
    name_of,
)

_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def _modes(tree: JsonObject) -> str:
    found = set(items(tree, "accessModes"))
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in found)


def _class(tree: JsonObject) -> str:
    beta = member(tree, "metadata", "annotations").get(_BETA_CLASS)
    return str(beta or member(tree, "spec").get("storageClassName") or "")


def _phase(tree: JsonObject) -> str:
    return "Terminating" if deleting(tree) else str(member(tree, "status").get("phase") or "")


def _volume(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    claim = member(spec, "claimRef")
    return [
        name_of(tree),
        member(spec, "capacity").get("storage") or "",
        _modes(spec),
        spec.get("persistentVolumeReclaimPolicy") or "",
        _phase(tree),
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        _class(tree),
        spec.get("volumeAttributesClassName") or UNSET,
        member(tree, "status").get("reason") or "",
        age(tree, now),
        spec.get("volumeMode") or UNSET,
    ]


_CAPACITY = Column("Capacity", description="Size of the volume")
_MODES = Column("Access Modes", description="Ways in which it can be mounted")
_CLASS = Column("StorageClass", description="Storage class")
_ATTRIBUTES = Column("VolumeAttributesClass", description="Volume attributes class")
_MODE = Column("VolumeMode", description="Filesystem or Block", wide=True)

PERSISTENT_VOLUMES = Printer(
    (
        NAME,
        _CAPACITY,
        _MODES,
        Column("Reclaim Policy", description="What happens when it is released"),
        Column("Status", description="Phase of the volume"),
        Column("Claim", description="Claim to which it is bound"),
        _CLASS,
        _ATTRIBUTES,
        Column("Reason", description="Why it is in this phase"),
        AGE,
        _MODE,
    ),
    _volume,
)


def _claim(tree: JsonObject, now: datetime) -> list[Cell]:
    spec, status = member(tree, "spec"), member(tree, "status")
    bound = bool(spec.get("volumeName"))
    return [
        name_of(tree),
        _phase(tree),
        spec.get("volumeName") or "",
        (member(status, "capacity").get("storage") or "") if bound else "",
        _modes(status) if bound else "",
        _class(tree),
        spec.get("volumeAttributesClassName") or UNSET,
        age(tree, now),
        spec.get("volumeMode") or UNSET,
    ]


PERSISTENT_VOLUME_CLAIMS = Printer(
    (
        NAME,
        Column("Status", description="Phase of the claim"),
        Column("Volume", description="Volume to which it is bound"),
        _CAPACITY,
        _MODES,
        _CLASS,
        _ATTRIBUTES,
        AGE,
        _MODE,
    ),
    _claim,
)


def _storage_class(tree: JsonObject, now: datetime) -> list[Cell]:
    annotations = member(tree, "metadata", "annotations")
    default = "true" in (annotations.get(_DEFAULT_CLASS), annotations.get(_BETA_DEFAULT_CLASS))
    return [
        f"{name_of(tree)} (default)" if default else name_of(tree),
        tree.get("provisioner") or "",
        tree.get("reclaimPolicy") or "Delete",
        tree.get("volumeBindingMode") or "Immediate",
        bool(tree.get("allowVolumeExpansion")),
        age(tree, now),
    ]


STORAGE_CLASSES = Printer(
    (
        NAME,
        Column("Provisioner", description="Who makes the volumes"),
        Column("ReclaimPolicy", description="What happens to released volumes"),
        Column("VolumeBindingMode", description="When volumes are made and bound"),
        Column("AllowVolumeExpansion", description="Whether volumes can grow"),
        AGE,
    ),
    _storage_class,
)


def _attributes_class(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), tree.get("driverName") or "", age(tree, now)]


VOLUME_ATTRIBUTES_CLASSES = Printer(
    (NAME, Column("DriverName", description="Driver that knows the attributes"), AGE),
    _attributes_class,
)


def _attachment(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    return [
        name_of(tree),
        spec.get("attacher") or "",
        member(spec, "source").get("persistentVolumeName") or "",
        spec.get("nodeName") or "",
        bool(member(tree, "status").get("attached")),
        age(tree, now),
    ]


VOLUME_ATTACHMENTS = Printer(
    (
        NAME,
        Column("Attacher", description="Driver that attaches it", format="name"),
        Column("PV", description="Volume"),
        Column("Node", description="Node"),
        Column("Attached", "boolean", "Whether it is attached"),
        AGE,
    ),
    _attachment,
)


def _csi_node(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), len(items(member(tree, "spec"), "drivers")), age(tree, now)]


CSI_NODES = Printer((NAME, Column("Drivers", "integer", "Drivers on the node"), AGE), _csi_node)


def _csi_driver(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    tokens = [token.get("audience", "") for token in items(spec, "tokenRequests")]
    attach = spec.get("attachRequired")
    return [
        name_of(tree),
        True if attach is None else bool(attach),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        ",".join(tokens) or UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(items(spec, "volumeLifecycleModes")) or "<none>",
        age(tree, now),
    ]


CSI_DRIVERS = Printer(
    (
        NAME,
        Column("AttachRequired", "boolean", "Whether volumes must be attached"),
        Column("PodInfoOnMount", "boolean", "Whether the driver wants to know the pod"),
        Column("StorageCapacity", "boolean", "Whether scheduling looks at capacity"),
        Column("TokenRequests", description="Audiences of the tokens it needs"),
        Column("RequiresRepublish", "boolean", "Whether volumes are republished"),
        Column("Modes", description="Kinds of volumes that it makes"),
        AGE,
    ),
    _csi_driver,
)


def _capacity(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), tree.get("storageClassName") or "", tree.get("capacity") or UNSET]


CSI_STORAGE_CAPACITIES = Printer(
    (NAME, Column("StorageClassName", description="Storage class"), _CAPACITY), _capacity
)
