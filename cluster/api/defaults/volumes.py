"""Defaults of the volumes of a pod spec (spec api-machinery, section 17)."""

from collections.abc import Callable

from kubeherd.cluster.api.defaults.amounts import round_resources
from kubeherd.cluster.api.defaults.images import pull_policy
from kubeherd.cluster.api.jsontypes import JsonObject

_MODE = 0o644


def default_volume(volume: JsonObject) -> None:
    """Defaults of one volume; a volume that names no source is an emptyDir."""
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}
    default_source(volume)


def default_source(holder: JsonObject) -> None:
    """Defaults of the sources of a volume or of the spec of a PersistentVolume."""
    for key in holder:
        defaulter = _SOURCES.get(key)
        if defaulter is not None:
            defaulter(holder[key])


def _with_mode(source: JsonObject) -> None:
    source.setdefault("defaultMode", _MODE)


def _downward_api(source: JsonObject) -> None:
    _with_mode(source)
    _field_refs(source)


def _field_refs(source: JsonObject) -> None:
    for item in source.get("items", ()):
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
        if "resourceFieldRef" in item:
            item["resourceFieldRef"].setdefault("divisor", "0")


def _projected(source: JsonObject) -> None:
    _with_mode(source)
    for projection in source.get("sources") or ():
        if "serviceAccountToken" in projection:
            projection["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        if "downwardAPI" in projection:
            _field_refs(projection["downwardAPI"])


def _host_path(source: JsonObject) -> None:
    source.setdefault("type", "")


def _ephemeral(source: JsonObject) -> None:
    template = source.get("volumeClaimTemplate")
    if template is not None:
        spec = template.setdefault("spec", {})
        spec.setdefault("volumeMode", "Filesystem")
        round_resources(spec.get("resources"))


def _image(source: JsonObject) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference", ""))


def _iscsi(source: JsonObject) -> None:
    source.setdefault("iscsiInterface", "default")


def _rbd(source: JsonObject) -> None:
    source.setdefault("pool", "rbd")
    source.setdefault("user", "admin")
    source.setdefault("keyring", "/etc/ceph/keyring")


def _azure_disk(source: JsonObject) -> None:
    source.setdefault("cachingMode", "ReadWrite")
    source.setdefault("kind", "Shared")
    source.setdefault("fsType", "ext4")
    source.setdefault("readOnly", False)


def _scale_io(source: JsonObject) -> None:
    source.setdefault("storageMode", "ThinProvisioned")
    source.setdefault("fsType", "xfs")


_SOURCES: dict[str, Callable[[JsonObject], None]] = {
    "secret": _with_mode,
    "configMap": _with_mode,
    "downwardAPI": _downward_api,
    "projected": _projected,
    "hostPath": _host_path,
    "ephemeral": _ephemeral,
    "image": _image,
    "iscsi": _iscsi,
    "rbd": _rbd,
    "azureDisk": _azure_disk,
    "scaleIO": _scale_io,
}
