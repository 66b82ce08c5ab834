"""Rules of the volumes of a pod spec (spec api-machinery, section 18)."""

from collections.abc import Callable

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import objectmeta as metadata
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    required,
)
from kubeherd.cluster.api.validation.checks import each
from kubeherd.cluster.api.validation.pods import volume_sources
from kubeherd.cluster.api.validation.pods.env import field_ref, resource_field_ref
from kubeherd.cluster.api.validation.pods.mounts import descending_path
from kubeherd.cluster.api.validation.storage.claims import claim_spec

_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_DOWNWARD_FIELDS = (
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
    "metadata.uid",
)  # fmt: skip
_MIN_TOKEN_S = 600
_MAX_TOKEN_S = 2**32


def volumes(items: list[JsonObject] | None, path: str) -> tuple[set[str], list[Cause]]:
    """The names of the valid volumes, and the causes against the others."""
    known: set[str] = set()
    causes: list[Cause] = []
    for at, volume in each(items, path):
        name = volume.get("name", "")
        own = _source(volume, at)
        if not name:
            own.append(required(f"{at}.name"))
        else:
            own += invalid_each(f"{at}.name", name, names.dns_label(name))
        if name in known:
            own.append(duplicate(f"{at}.name", name))
        if own:
            causes += own
        else:
            known.add(name)
    return known, causes


_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs",
    "iscsi", "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte",
    "downwardAPI", "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume",
    "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO",
    "csi", "ephemeral", "image",
)  # fmt: skip
"""In which Kubernetes looks for sources: the first is the volume's."""


def _source(volume: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    sources = sorted(volume.keys() - {"name"}, key=_ORDER.index)
    for index, key in enumerate(sources):
        at = f"{path}.{key}"
        if index:
            causes.append(volume_sources.more_than_one(at))
            continue
        causes += volume_sources.check(key, volume[key], at)
        rule = _RULES.get(key)
        if rule is not None:
            causes += rule(volume[key], at)
        for field in _REQUIRED.get(key, ()):
            if not volume[key].get(field):
                causes.append(required(f"{at}.{field}"))
    if not sources:
        causes.append(required(path, "must specify a volume type"))
    return causes


_REQUIRED: dict[str, tuple[str, ...]] = {
    "persistentVolumeClaim": ("claimName",),
    "secret": ("secretName",),
    "configMap": ("name",),
    "gitRepo": ("repository",),
    "ephemeral": ("volumeClaimTemplate",),
}


def _empty_dir(source: JsonObject, path: str) -> list[Cause]:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit).nanos < 0:
        detail = "SizeLimit field must be a valid resource quantity"
        return [forbidden(f"{path}.sizeLimit", detail)]
    return []


def _mode(holder: JsonObject, name: str, path: str) -> list[Cause]:
    mode = holder.get(name)
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [invalid(f"{path}.{name}", mode, _MODE_TEXT)]


def _keyed(source: JsonObject, path: str) -> list[Cause]:
    """A Secret or a ConfigMap: default mode and items."""
    causes = _mode(source, "defaultMode", path)
    for at, item in each(source.get("items"), f"{path}.items"):
        if not item.get("key"):
            causes.append(required(f"{at}.key"))
        causes += _file_path(item.get("path", ""), f"{at}.path")
        causes += _mode(item, "mode", at)
    return causes


def _file_path(value: str, path: str) -> list[Cause]:
    if not value:
        return [required(path)]
    causes = descending_path(value, path)
    if not causes and value.startswith(".."):
        causes.append(invalid(path, value, "must not start with '..'"))
    return causes


def _downward_items(source: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for at, item in each(source.get("items"), f"{path}.items"):
        causes += _file_path(item.get("path", ""), f"{at}.path")
        if item.get("fieldRef") is not None:
            causes += field_ref(item["fieldRef"], _DOWNWARD_FIELDS, f"{at}.fieldRef")
            if item.get("resourceFieldRef") is not None:
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                causes.append(invalid(at, "resource", detail))
        elif item.get("resourceFieldRef") is not None:
            reference = item["resourceFieldRef"]
            causes += resource_field_ref(reference, f"{at}.resourceFieldRef", volume=True)
        else:
            causes.append(required(at, "one of fieldRef and resourceFieldRef is required"))
        causes += _mode(item, "mode", at)
    return causes


def _downward_api(source: JsonObject, path: str) -> list[Cause]:
    return _mode(source, "defaultMode", path) + _downward_items(source, path)


def _projected(source: JsonObject, path: str) -> list[Cause]:
    causes = _mode(source, "defaultMode", path)
    taken: set[str] = set()
    for at, projection in each(source.get("sources"), f"{path}.sources"):
        given = [key for key in projection if projection[key] is not None]
        for index, key in enumerate(given):
            if index:
                detail = "may not specify more than 1 volume type per source"
                causes.append(forbidden(f"{at}.{key}", detail))
                continue
            causes += _projection(key, projection[key], f"{at}.{key}", taken)
        if not given:
            causes.append(required(at, "must specify a projected volume source type"))
    return causes


def _projection(key: str, source: JsonObject, path: str, taken: set[str]) -> list[Cause]:
    if key == "serviceAccountToken":
        return _token(source, path, taken)
    causes: list[Cause] = []
    if key in ("secret", "configMap"):
        if not source.get("name"):
            causes.append(required(f"{path}.name"))
        causes += _keyed(source, path)
    elif key == "downwardAPI":
        causes += _downward_items(source, path)
    for item in source.get("items") or ():
        causes += _path_once(item.get("path", ""), source.get("name", ""), path, taken)
    return causes


def _path_once(value: str, name: str, path: str, taken: set[str]) -> list[Cause]:
    if value and value in taken:
        return [invalid(path, name, f"conflicting duplicate paths: {value}")]
    taken.add(value)
    return []


def _token(source: JsonObject, path: str, taken: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    seconds = source.get("expirationSeconds", 3600)
    if seconds < _MIN_TOKEN_S:
        detail = "may not specify a duration less than 10 minutes"
        causes.append(invalid(f"{path}.expirationSeconds", seconds, detail))
    if seconds > _MAX_TOKEN_S:
        detail = "may not specify a duration larger than 2^32 seconds"
        causes.append(invalid(f"{path}.expirationSeconds", seconds, detail))
    causes += _file_path(source.get("path", ""), f"{path}.path")
    return causes + _path_once(source.get("path", ""), "", path, taken)


def _csi(source: JsonObject, path: str) -> list[Cause]:
    causes = volume_sources.csi_driver(source.get("driver", ""), f"{path}.driver")
    reference = source.get("nodePublishSecretRef")
    if reference is not None:
        name = reference.get("name", "")
        causes += invalid_each(f"{path}.name", name, names.dns_subdomain(name)) if name else [
            required(f"{path}.nodePublishSecretRef.name")
        ]  # fmt: skip
    return causes


def _git_repo(source: JsonObject, path: str) -> list[Cause]:
    return descending_path(source.get("directory", ""), f"{path}.directory")


def _ephemeral(source: JsonObject, path: str) -> list[Cause]:
    template, path = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if template is None:
        return []
    meta = template.get("metadata") or {}
    causes = metadata.annotations(meta.get("annotations"), f"{path}.metadata.annotations")
    causes += metadata.labels(meta.get("labels"), f"{path}.metadata.labels")
    causes += [
        forbidden(f"{path}.metadata.{field}", "cannot be set")
        for field in sorted(meta.keys() - {"annotations", "labels"})
    ]
    return causes + claim_spec(template.get("spec") or {}, f"{path}.spec")


_RULES: dict[str, Callable[[JsonObject, str], list[Cause]]] = {
    "emptyDir": _empty_dir,
    "secret": _keyed,
    "configMap": _keyed,
    "downwardAPI": _downward_api,
    "projected": _projected,
    "csi": _csi,
    "gitRepo": _git_repo,
    "ephemeral": _ephemeral,
    "cinder": volume_sources.secret_name,
    "storageos": volume_sources.secret_name,
}
