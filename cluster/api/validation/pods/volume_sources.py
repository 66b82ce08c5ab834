"""Rules of the sources that pods' volumes and PersistentVolumes have in common.

Pure data where a rule only demands a field; the rest as functions of (source, path). Source:
pkg/apis/core/validation (validateNFSVolumeSource and so on), v1.36.
"""

import re
from collections.abc import Callable

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)
from kubeherd.cluster.api.validation.checks import range_text
from kubeherd.cluster.api.validation.pods.mounts import no_backsteps

SourceRule = Callable[[JsonObject, str], list[Cause]]

REQUIRED: dict[str, tuple[str, ...]] = {
    "nfs": ("server", "path"),
    "awsElasticBlockStore": ("volumeID",),
    "gcePersistentDisk": ("pdName",),
    "glusterfs": ("endpoints", "path"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "rbd": ("monitors", "image"),
    "iscsi": ("targetPortal", "iqn"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"),
    "storageos": ("volumeName",),
    "quobyte": ("volume",),
    "flexVolume": ("driver",),
}
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip
_INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([\w.-]+)(:[\w.:-]+)?", re.ASCII),
    "eui": re.compile(r"eui\.[0-9A-Fa-f]{16}"),
    "naa": re.compile(r"naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})"),
}
_PAIRS = "must be a host:port pair or multiple pairs separated by commas"
_MAX_DRIVER = 63


def check(key: str, source: JsonObject, path: str) -> list[Cause]:
    """The causes against one source, whatever may have such a one."""
    causes = [
        required(f"{path}.{field}") for field in REQUIRED.get(key, ()) if not source.get(field)
    ]
    rule = _RULES.get(key)
    return causes + rule(source, path) if rule is not None else causes


def secret_name(source: JsonObject, path: str) -> list[Cause]:
    """A reference to a Secret of the pod's own namespace."""
    reference = source.get("secretRef")
    if reference is None or reference.get("name"):
        return []
    return [required(f"{path}.secretRef.name")]


def csi_driver(name: str, path: str) -> list[Cause]:
    """The name of a CSI driver: a subdomain in any case, at most 63 characters."""
    if not name:
        return [required(path)]
    causes = [too_long(path, _MAX_DRIVER)] if len(name) > _MAX_DRIVER else []
    return causes + invalid_each(path, name, names.dns_subdomain(name.lower()))


def host_path(source: JsonObject, path: str) -> list[Cause]:
    """A path without ``..`` and what is to be there."""
    if not source.get("path"):
        return [required(f"{path}.path")]
    causes = no_backsteps(source["path"], f"{path}.path")
    kind = source.get("type")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        causes.append(not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))
    return causes


def _nfs(source: JsonObject, path: str) -> list[Cause]:
    if source.get("path", "").startswith("/"):
        return []
    return [invalid(f"{path}.path", source.get("path", ""), "must be an absolute path")]


def _partition(source: JsonObject, path: str) -> list[Cause]:
    number = source.get("partition", 0)
    return [] if 0 <= number <= 255 else [invalid(f"{path}.partition", number, range_text(0, 255))]


def _lun(number: int, path: str) -> list[Cause]:
    return [] if 0 <= number <= 255 else [invalid(f"{path}.lun", number, range_text(0, 255))]


def _iscsi(source: JsonObject, path: str) -> list[Cause]:
    causes = _initiator(source["iqn"], f"{path}.iqn") if source.get("iqn") else []
    causes += _lun(source.get("lun", 0), path)
    chap = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if chap and source.get("secretRef") is None:
        causes.append(required(f"{path}.secretRef"))
    if source.get("initiatorName") is not None:
        causes += _initiator(source["initiatorName"], f"{path}.initiatorname")
    return causes


def _initiator(name: str, path: str) -> list[Cause]:
    pattern = _INITIATORS.get(name[:3])
    if pattern is None:
        detail = "must be valid format starting with iqn, eui, or naa"
        return [invalid(path, name, detail)]
    return [] if pattern.fullmatch(name) else [invalid(path, name, "must be valid format")]


def _fc(source: JsonObject, path: str) -> list[Cause]:
    targets, ids = source.get("targetWWNs"), source.get("wwids")
    if not targets and not ids:
        detail = "must specify either targetWWNs or wwids, but not both"
        return [required(f"{path}.targetWWNs", detail)]
    causes = []
    if targets and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        causes.append(invalid(f"{path}.targetWWNs", targets, detail))
    if targets and source.get("lun") is None:
        causes.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif targets:
        causes += _lun(source["lun"], path)
    return causes


def _flocker(source: JsonObject, path: str) -> list[Cause]:
    name, uuid = source.get("datasetName", ""), source.get("datasetUUID", "")
    causes = []
    if not name and not uuid:
        causes.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        detail = "datasetName and datasetUUID can not be specified simultaneously"
        causes.append(invalid(path, "resource", detail))
    if "/" in name:
        causes.append(invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return causes


def _quobyte(source: JsonObject, path: str) -> list[Cause]:
    registry = source.get("registry", "")
    if not registry:
        return [required(f"{path}.registry", _PAIRS)]
    if len(source.get("tenant", "")) >= 65:
        detail = "must be a UUID and may not exceed a length of 64 characters"
        return [required(f"{path}.tenant", detail)]
    return [
        invalid(f"{path}.registry", registry, _PAIRS)
        for pair in registry.split(",")
        if not re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*", pair)
    ]


def _flex(source: JsonObject, path: str) -> list[Cause]:
    return [
        invalid(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")
        for key in source.get("options") or ()
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io"))
    ]


_CACHING, _DISKS = ("None", "ReadOnly", "ReadWrite"), ("Dedicated", "Managed", "Shared")
_MANAGED_URI = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
    "{disk-id}"
)
_BLOB_URI = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _azure_disk(source: JsonObject, path: str) -> list[Cause]:
    mode, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI", "")
    causes = []
    if mode is not None and mode not in _CACHING:
        causes.append(not_supported(f"{path}.cachingMode", mode, _CACHING))
    if kind is not None and kind not in _DISKS:
        causes.append(not_supported(f"{path}.kind", kind, _DISKS))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        causes.append(not_supported(f"{path}.diskURI", uri, (_MANAGED_URI,)))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        causes.append(not_supported(f"{path}.diskURI", uri, (_BLOB_URI,)))
    return causes


def _storage_os(source: JsonObject, path: str) -> list[Cause]:
    return [
        cause
        for field in ("volumeName", "volumeNamespace")
        if source.get(field)
        for cause in invalid_each(f"{path}.{field}", source[field], names.dns_label(source[field]))
    ]


_RULES: dict[str, SourceRule] = {
    "hostPath": host_path,
    "nfs": _nfs,
    "awsElasticBlockStore": _partition,
    "gcePersistentDisk": _partition,
    "iscsi": _iscsi,
    "fc": _fc,
    "flocker": _flocker,
    "quobyte": _quobyte,
    "flexVolume": _flex,
    "azureDisk": _azure_disk,
    "storageos": _storage_os,
}


def more_than_one(path: str) -> Cause:
    """A second source in a volume."""
    return forbidden(path, "may not specify more than 1 volume type")
