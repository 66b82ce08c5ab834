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


_CAPACITY = Column("Capacity")
_MODES = Column("Access Modes")
_CLASS = Column("StorageClass")
_ATTRIBUTES = Column("VolumeAttributesClass")
_MODE = Column("VolumeMode", wide=True)

PERSISTENT_VOLUMES = Printer(
    (
        NAME,
        _CAPACITY,
        _MODES,
        Column("Reclaim Policy"),
        Column("Status"),
        Column("Claim"),
        _CLASS,
        _ATTRIBUTES,
        Column("Reason"),
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
        Column("Status"),
        Column("Volume"),
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
        Column("Provisioner"),
        Column("ReclaimPolicy"),
        Column("VolumeBindingMode"),
        Column("AllowVolumeExpansion"),
        AGE,
    ),
    _storage_class,
)


def _attributes_class(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), tree.get("driverName") or "", age(tree, now)]


VOLUME_ATTRIBUTES_CLASSES = Printer(
    (NAME, Column("DriverName"), AGE),
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
        Column("Attacher", format="name"),
        Column("PV"),
        Column("Node"),
        Column("Attached", "boolean"),
        AGE,
    ),
    _attachment,
)


def _csi_node(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), len(items(member(tree, "spec"), "drivers")), age(tree, now)]


CSI_NODES = Printer((NAME, Column("Drivers", "integer"), AGE), _csi_node)


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
        Column("AttachRequired", "boolean"),
        Column("PodInfoOnMount", "boolean"),
        Column("StorageCapacity", "boolean"),
        Column("TokenRequests"),
        Column("RequiresRepublish", "boolean"),
        Column("Modes"),
        AGE,
    ),
    _csi_driver,
)
