"""Rules of environment variables and their sources (spec api-machinery, section 18)."""

import re

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid, invalid_each, not_supported, required
from kubeherd.cluster.api.validation.checks import each

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_SUBSCRIPTED = re.compile(r"metadata\.(annotations|labels)\['(.*)'\]", re.DOTALL)
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
            for field in ("key", "volumeName", "path"):
                if not source[name].get(field):
                    causes.append(required(f"{at}.{field}"))
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


def field_ref(reference: JsonObject, supported: tuple[str, ...], path: str) -> list[Cause]:
    """A reference to a field of the pod itself."""
    if not reference.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    field_path = reference.get("fieldPath", "")
    if not field_path:
        return [required(f"{path}.fieldPath")]
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
    if volume and not reference.get("containerName"):
        return [required(f"{path}.containerName")]
    name = reference.get("resource", "")
    if not name:
        return [required(f"{path}.resource")]
    if name in _RESOURCES or re.fullmatch(r"(requests|limits)\.hugepages-.+", name):
        return []
    return [not_supported(f"{path}.resource", name, _RESOURCES)]


def _key_ref(reference: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if not reference.get("name"):
        causes.append(required(f"{path}.name"))
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
            if not item[name].get("name"):
                causes.append(required(f"{at}.{name}.name"))
        if not given:
            detail = "must specify one of: `configMapRef` or `secretRef`"
            causes.append(invalid(path, "", detail))
        elif len(given) > 1:
            detail = "may not have more than one field specified at a time"
            causes.append(invalid(path, "", detail))
    return causes
