"""Rules of PersistentVolumes (pkg/apis/core/validation: ValidatePersistentVolume, v1.36)."""

import posixpath

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import NOT_NEGATIVE, POSITIVE, immutable
from kubeherd.cluster.api.validation.internaltypes import difference
from kubeherd.cluster.api.validation.pods import volume_sources
from kubeherd.cluster.api.validation.pods.affinity import node_selector

_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_RECLAIM = ("Delete", "Recycle", "Retain")
_MODES = ("Block", "Filesystem")
_SOURCES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd",
    "quobyte", "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume",
    "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
"""In the order in which Kubernetes looks for them: the first is the volume's source."""
_SPELT = {"gcePersistentDisk": "persistentDisk"}
_WITH_NAMESPACE = ("cinder", "storageos")
_MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_MOUNTABLE = frozenset({
    "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi",
    "cinder", "cephfs", "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk",
})  # fmt: skip
_CSI_SECRETS = (
    "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef",
    "nodeExpandSecretRef",
)  # fmt: skip


def create_persistent_volume(tree: JsonObject) -> list[Cause]:
    """A new PersistentVolume."""
    return _volume(tree) + _mount_options(tree)


def _volume(tree: JsonObject) -> list[Cause]:
    spec = tree.get("spec") or {}
    causes = access_modes(spec, "spec") if spec.get("accessModes") else [
        required("spec.accessModes")
    ]  # fmt: skip
    causes += _capacity(spec)
    policy = spec.get("persistentVolumeReclaimPolicy", "")
    if policy and policy not in _RECLAIM:
        causes.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM))
    affinity = spec.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        detail = "must specify required node constraints"
        causes.append(required("spec.nodeAffinity.required", detail))
    elif affinity is not None:
        causes += node_selector(affinity["required"], "spec.nodeAffinity.required")
    causes += _sources(spec, (tree.get("metadata") or {}).get("name", ""), "spec")
    causes += _recycled_root(spec, "spec")
    causes += class_name(spec, "storageClassName", "spec")
    causes += volume_mode(spec, "spec")
    return causes + _attributes_class(spec)


def inline_volume(spec: JsonObject, path: str) -> list[Cause]:
    """The spec of a volume that has no PersistentVolume of its own (of a VolumeAttachment)."""
    within = "in the context of inline volumes"
    causes = [
        forbidden(f"{path}.{name}", f"may not be specified {within}")
        for name in ("claimRef", "capacity")
        if spec.get(name) or (name == "claimRef" and spec.get(name) is not None)
    ]
    if spec.get("csi") is None:
        causes.append(required(f"{path}.csi", f"has to be specified {within}"))
    if not spec.get("accessModes"):
        causes.append(required(f"{path}.accessModes"))
    causes += access_modes(spec, path)
    if spec.get("persistentVolumeReclaimPolicy", "Retain") not in ("", "Retain"):
        at = f"{path}.persistentVolumeReclaimPolicy"
        causes.append(forbidden(at, f"may only be Retain {within}"))
    if spec.get("nodeAffinity") is not None:
        causes.append(forbidden(f"{path}.nodeAffinity", f"may not be specified {within}"))
    causes += _sources(spec, "", path, inline=True) + _recycled_root(spec, path)
    if spec.get("storageClassName"):
        causes.append(forbidden(f"{path}.storageClassName", f"may not be specified {within}"))
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        detail = f"may not specify volumeMode other than Filesystem {within}"
        causes.append(forbidden(f"{path}.volumeMode", detail))
    return causes


def _recycled_root(spec: JsonObject, path: str) -> list[Cause]:
    host_path = (spec.get("hostPath") or {}).get("path", "")
    recycled = spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    if not recycled or posixpath.normpath(host_path) not in ("/", "//"):
        return []
    detail = "may not be 'recycle' for a hostPath mount of '/'"
    return [forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)]


def access_modes(spec: JsonObject, path: str) -> list[Cause]:
    """The access modes of a volume or a claim; their absence is told by each in its own words."""
    modes, path = spec.get("accessModes") or (), f"{path}.accessModes"
    causes = [
        not_supported(path, mode, _ACCESS_MODES) for mode in modes if mode not in _ACCESS_MODES
    ]
    others = {mode for mode in modes if mode in _ACCESS_MODES and mode != "ReadWriteOncePod"}
    if "ReadWriteOncePod" in modes and others:
        detail = "may not use ReadWriteOncePod with other access modes"
        causes.append(forbidden(path, detail))
    return causes


def class_name(spec: JsonObject, field: str, path: str) -> list[Cause]:
    """The name of a StorageClass or VolumeAttributesClass."""
    name = spec.get(field)
    return invalid_each(f"{path}.{field}", name, names.dns_subdomain(name)) if name else []


def volume_mode(spec: JsonObject, path: str) -> list[Cause]:
    """Block or file system."""
    mode = spec.get("volumeMode")
    if mode is None or mode in _MODES:
        return []
    return [not_supported(f"{path}.volumeMode", mode, _MODES)]


def _capacity(spec: JsonObject) -> list[Cause]:
    capacity, path = spec.get("capacity"), "spec.capacity"
    causes: list[Cause] = [] if capacity else [required(path)]
    if set(capacity or ()) != {"storage"}:
        causes.append(not_supported(path, capacity, ("storage",)))
    for name, text in (capacity or {}).items():
        amount = quantity.parse(text)
        if amount.nanos < 0:
            causes.append(invalid(f"{path}[{name}]", amount.canonical(), NOT_NEGATIVE))
        if amount.nanos <= 0:
            causes.append(invalid(f"{path}[{name}]", amount.canonical(), POSITIVE))
    return causes


def _sources(spec: JsonObject, name: str, path: str, *, inline: bool = False) -> list[Cause]:
    given = [key for key in _SOURCES if spec.get(key) is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    first, *others = given
    at = f"{path}.{_SPELT.get(first, first)}"
    causes = volume_sources.check(first, spec[first], at) + _persistent(spec, first, name, at)
    if first == "local" and (inline or spec.get("nodeAffinity") is None):
        detail = "Local volume requires node affinity"
        causes.append(required(f"{path}.nodeAffinity", detail))
    for key in others:
        if key == "flexVolume":  # Kubernetes counts it and looks into it all the same
            causes += volume_sources.check(key, spec[key], f"{path}.{key}")
        else:
            spelt = "cephFS" if key == "cephfs" else key
            causes.append(volume_sources.more_than_one(f"{path}.{spelt}"))
    return causes


def _persistent(spec: JsonObject, key: str, name: str, path: str) -> list[Cause]:
    """What a source has only in a PersistentVolume: references with namespaces."""
    source = spec[key]
    if key == "csi":
        return _csi(source, path)
    if key == "local":
        return volume_sources.host_path({"path": source.get("path")}, path)
    causes = volume_sources.secret_name(source, path) if key in ("iscsi", *_WITH_NAMESPACE) else []
    if key in _WITH_NAMESPACE and source.get("secretRef") is not None:
        if not source["secretRef"].get("namespace"):
            causes.append(required(f"{path}.secretRef.namespace"))
    elif key == "azureFile" and source.get("secretNamespace") == "":
        causes.append(required(f"{path}.secretNamespace"))
    elif key == "glusterfs" and source.get("endpointsNamespace") is not None:
        causes += _endpoints_namespace(source["endpointsNamespace"], path)
    elif key == "iscsi" and source.get("initiatorName") is not None:
        portal = source.get("targetPortal", "")
        if len(f"{name}:{portal}") > 64:
            detail = (
                "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
                "iscsi.initiatorName is specified."
            )
            causes.append(invalid(f"{path}.targetportal", portal, detail))
    return causes


def _endpoints_namespace(namespace: str, path: str) -> list[Cause]:
    at = f"{path}.endpointsNamespace"
    if not namespace:
        detail = "if the endpointnamespace is set, it must be a valid namespace name"
        return [invalid(at, namespace, detail)]
    return invalid_each(at, namespace, names.dns_label(namespace))


def _csi(source: JsonObject, path: str) -> list[Cause]:
    causes = volume_sources.csi_driver(source.get("driver", ""), f"{path}.driver")
    if not source.get("volumeHandle"):
        causes.append(required(f"{path}.volumeHandle"))
    for field in _CSI_SECRETS:
        if source.get(field) is None:
            continue
        for part in ("name", "namespace"):
            text, at = source[field].get(part, ""), f"{path}.{field}.{part}"
            rule = names.dns_subdomain if part == "name" else names.dns_label
            causes += invalid_each(at, text, rule(text)) if text else [required(at)]
    return causes


def _attributes_class(spec: JsonObject) -> list[Cause]:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return []
    path = "spec.volumeAttributesClassName"
    causes = class_name(spec, "volumeAttributesClassName", "spec") if name else [
        required(path, "an empty string is disallowed")
    ]  # fmt: skip
    if spec.get("csi") is None:
        detail = "has to be specified when using volumeAttributesClassName"
        causes.append(required("spec.csi", detail))
    return causes


def _mount_options(tree: JsonObject) -> list[Cause]:
    if _MOUNT_OPTIONS not in ((tree.get("metadata") or {}).get("annotations") or {}):
        return []
    if not _MOUNTABLE.isdisjoint(tree.get("spec") or {}):
        return []
    detail = "may not specify mount options for this volume type"
    return [forbidden(f"metadata.annotations.{_MOUNT_OPTIONS}", detail)]


def update_persistent_volume(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed PersistentVolume: the source and the mode stay. Its own rules are checked twice
    (as the strategy does), so each cause comes twice."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    causes = _volume(new) * 2 + _mount_options(new)
    sources, previous = _source_of(after), _source_of(before)
    expand = "controllerExpandSecretRef"
    if "csi" in sources and "csi" in previous and expand not in previous["csi"]:
        sources["csi"] = {key: value for key, value in sources["csi"].items() if key != expand}
    if sources != previous:
        text = difference("PersistentVolumeSource", previous, sources)
        detail = f"spec.persistentvolumesource is immutable after creation\n{text}"
        causes.append(forbidden("spec.persistentvolumesource", detail))
    causes += immutable(after.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    name = "volumeAttributesClassName"
    if before.get(name) is not None and after.get(name) is None:
        causes.append(forbidden(f"spec.{name}", "update from non-nil value to nil is forbidden"))
    return causes


def _source_of(spec: JsonObject) -> JsonObject:
    return {key: spec[key] for key in _SOURCES if key in spec}
