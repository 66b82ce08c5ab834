"""Rules of environment variables and their sources (spec api-machinery, section 18)."""

import re

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    invalid,
    invalid_each,
    not_found,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each
from kubeherd.cluster.api.validation.pods.mounts import no_backsteps

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_SUBSCRIPTED = re.compile(r"metadata\.(annotations|labels)\['(.*)'\]", re.DOTALL)
_HUGE_PAGES = ("requests.hugepages-", "limits.hugepages-")
_CPU_SIZES: tuple[str, ...] = ("1m", "1")
_SIZES = ("1", *(f"1{unit}" for unit in "kMGTPE"), *(f"1{unit}i" for unit in "KMGTPE"))
_SIZED = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
    "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip


def env_variables(items: list[JsonObject] | None, path: str) -> list[Cause]:
    """``env``: names, and a value or exactly one source."""
    causes: list[Cause] = []
    for at, variable in each(items, path):
        name = variable.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        else:
            causes += invalid_each(f"{at}.name", name, names.env_name(name))
        if variable.get("valueFrom") is not None:
            causes += _value_from(variable, f"{at}.valueFrom")
    return causes


def _value_from(variable: JsonObject, path: str) -> list[Cause]:
    source = variable["valueFrom"]
    given = [name for name in _SOURCES if source.get(name) is not None]
    causes: list[Cause] = []
    for name in given:
        at = f"{path}.{name}"
        if name == "fieldRef":
            causes += field_ref(source[name], _ENV_FIELDS, at)
        elif name == "resourceFieldRef":
            causes += resource_field_ref(source[name], at)
        elif name == "fileKeyRef":
            causes += _file_key(source[name], at)
        else:
            causes += _key_ref(source[name], at)
    if variable.get("value"):
        if given:
            causes.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        causes.append(invalid(path, "", "may not have more than one field specified at a time"))
    if not given:
        detail = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
            "`secretKeyRef` or `fileKeyRef`"
        )
        causes.append(invalid(path, "", detail))
    return causes


def _file_key(source: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field, rule in (("key", names.env_name), ("volumeName", names.dns_label)):
        value = source.get(field, "")
        causes += invalid_each(f"{path}.{field}", value, rule(value)) if value else [
            required(f"{path}.{field}")
        ]  # fmt: skip
    if not source.get("path"):
        return [*causes, required(f"{path}.path")]
    return causes + no_backsteps(source["path"], f"{path}.path")


def file_key_volumes(spec: JsonObject, path: str) -> list[Cause]:
    """A file with values of variables lies in a volume of the pod, an emptyDir."""
    causes: list[Cause] = []
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for at, container in each(spec.get(field), f"{path}.{field}"):
            if container.get("env"):
                causes += _file_keys(container["env"], spec, f"{at}.env")
    return causes


def _file_keys(variables: list[JsonObject], spec: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, variable in enumerate(variables):
        reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
        if reference is None:
            continue
        name, at = reference.get("volumeName", ""), f"{path}[{index}].valueFrom.fileKeyRef"
        sources = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
        if name not in sources:
            causes.append(not_found(f"{at}.volumeName", name))
        elif "emptyDir" not in sources[name]:
            detail = "referenced volume must be of type emptyDir"
            causes.append(invalid(f"{at}.volumeName", name, detail))
    return causes


def field_ref(reference: JsonObject, supported: tuple[str, ...], path: str) -> list[Cause]:
    """A reference to a field of the pod itself."""
    if not reference.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    field_path = reference.get("fieldPath", "")
    if not field_path:
        return [required(f"{path}.fieldPath")]
    if reference["apiVersion"] != "v1":
        version = reference["apiVersion"]
        detail = f"error converting fieldPath: unsupported pod version: {version}"
        return [invalid(f"{path}.fieldPath", field_path, detail)]
    subscripted = _SUBSCRIPTED.fullmatch(field_path)
    if subscripted is not None:
        key = subscripted[2]
        checked = key.lower() if subscripted[1] == "annotations" else key
        return invalid_each(path, key, names.qualified_name(checked))
    if field_path in supported:
        return []
    known = (*_ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy",
             "spec.schedulerName", "status.phase")  # fmt: skip
    if field_path in known:
        return [not_supported(f"{path}.fieldPath", field_path, sorted(supported))]
    detail = f"error converting fieldPath: field label not supported: {field_path}"
    return [invalid(f"{path}.fieldPath", field_path, detail)]


def resource_field_ref(reference: JsonObject, path: str, *, volume: bool = False) -> list[Cause]:
    """A reference to a container's limit or request."""
    name = reference.get("resource", "")
    causes: list[Cause] = []
    if volume and not reference.get("containerName"):
        causes.append(required(f"{path}.containerName"))
    elif not name:
        causes.append(required(f"{path}.resource"))
    elif name not in _RESOURCES and not name.startswith(_HUGE_PAGES):
        causes.append(not_supported(f"{path}.resource", name, _RESOURCES))
    return causes + _divisor(name, reference.get("divisor", "0"), f"{path}.divisor")


def _divisor(name: str, divisor: str, path: str) -> list[Cause]:
    parsed = quantity.parse(divisor)
    if not parsed.nanos:
        return []
    kind = name.partition(".")[2]
    if kind == "cpu":
        allowed, shown, what = _CPU_SIZES, "1m and 1", "cpu"
    elif kind in _SIZED or name.startswith(_HUGE_PAGES):
        allowed, shown = _SIZES, ", ".join(_SIZES)
        what = _SIZED.get(kind, "hugepages")
    else:
        return []
    if parsed.canonical() in allowed:
        return []
    detail = f"only divisor's values {shown} are supported with the {what} resource"
    return [invalid(path, name, detail)]


def _key_ref(reference: JsonObject, path: str) -> list[Cause]:
    name = reference.get("name", "")
    causes = invalid_each(f"{path}.name", name, names.dns_subdomain(name))
    key = reference.get("key", "")
    if not key:
        return [*causes, required(f"{path}.key")]
    return causes + invalid_each(f"{path}.key", key, names.config_map_key(key))


def env_sources(items: list[JsonObject] | None, path: str) -> list[Cause]:
    """``envFrom``: exactly one ConfigMap or Secret each."""
    causes: list[Cause] = []
    for at, item in each(items, path):
        prefix = item.get("prefix", "")
        if prefix:
            causes += invalid_each(f"{at}.prefix", prefix, names.env_name(prefix))
        given = [name for name in ("configMapRef", "secretRef") if item.get(name) is not None]
        for name in given:
            source = item[name].get("name", "")
            problems = names.dns_subdomain(source.removesuffix("-")) if source else []
            causes += invalid_each(f"{at}.{name}.name", source, problems) if source else [
                required(f"{at}.{name}.name")
            ]  # fmt: skip
        if not given:
            detail = "must specify one of: `configMapRef` or `secretRef`"
            causes.append(invalid(path, "", detail))
        elif len(given) > 1:
            detail = "may not have more than one field specified at a time"
            causes.append(invalid(path, "", detail))
    return causes
