"""Rules of a container's volume mounts and devices (spec api-machinery, section 18)."""

from collections.abc import Container as Contains

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    invalid,
    not_found,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")


def volume_mounts(container: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``volumeMounts``: of volumes that exist, at paths that are used once."""
    causes: list[Cause] = []
    mounted: set[str] = set()
    devices = {item.get("name") for item in container.get("volumeDevices") or ()}
    for at, mount in each(container.get("volumeMounts"), path):
        name = mount.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        if name not in volumes:
            causes.append(not_found(f"{at}.name", name))
        mount_path = mount.get("mountPath", "")
        if not mount_path:
            causes.append(required(f"{at}.mountPath"))
        if mount_path in mounted:
            causes.append(invalid(f"{at}.mountPath", mount_path, "must be unique"))
        mounted.add(mount_path)
        if name in devices:
            detail = "must not already exist in volumeDevices"
            causes.append(invalid(f"{at}.name", name, detail))
        causes += _sub_path(mount, at)
        propagation = mount.get("mountPropagation")
        if propagation is not None and propagation not in _PROPAGATION:
            causes.append(not_supported(f"{at}.mountPropagation", propagation, _PROPAGATION))
    return causes


def _sub_path(mount: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in ("subPath", "subPathExpr"):
        if mount.get(name):
            causes += descending_path(mount[name], f"{path}.{name}")
    if mount.get("subPath") and mount.get("subPathExpr"):
        detail = "subPathExpr and subPath are mutually exclusive"
        causes.append(invalid(f"{path}.subPathExpr", mount["subPathExpr"], detail))
    return causes


def descending_path(value: str, path: str) -> list[Cause]:
    """A relative path without ``..``."""
    causes = []
    if value.startswith("/"):
        causes.append(invalid(path, value, "must be a relative path"))
    return causes + no_backsteps(value, path)


def no_backsteps(value: str, path: str) -> list[Cause]:
    """A path without a ``..`` part."""
    if ".." in value.split("/"):
        return [invalid(path, value, "must not contain '..'")]
    return []


def volume_devices(container: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``volumeDevices``: of volumes that exist, each volume and path once."""
    causes: list[Cause] = []
    paths: set[str] = set()
    used: set[str] = set()
    for at, device in each(container.get("volumeDevices"), path):
        name, device_path = device.get("name", ""), device.get("devicePath", "")
        if not name:
            causes.append(required(f"{at}.name"))
        if name in used:
            causes.append(duplicate(f"{at}.name", name))
        if name not in volumes:
            causes.append(not_found(f"{at}.name", name))
        if not device_path:
            causes.append(required(f"{at}.devicePath"))
        if device_path in paths:
            causes.append(invalid(f"{at}.devicePath", device_path, "must be unique"))
        causes += no_backsteps(device_path, f"{at}.devicePath")
        used.add(name)
        paths.add(device_path)
    return causes
