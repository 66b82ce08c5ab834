"""Rules of PersistentVolumeClaims (pkg/apis/core/validation, v1.36)."""

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
from kubeherd.cluster.api.validation.checks import (
    NOT_NEGATIVE,
    POSITIVE,
    immutable,
    label_selector,
)
from kubeherd.cluster.api.validation.internaltypes import difference
from kubeherd.cluster.api.validation.storage.persistentvolumes import (
    access_modes,
    class_name,
    volume_mode,
)

_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_RESIZE_STATES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
    "NodeResizeInfeasible", "NodeResizePending",
)  # fmt: skip


def create_claim(tree: JsonObject) -> list[Cause]:
    """A new claim."""
    return claim_spec(tree.get("spec") or {}, "spec")


def claim_spec(spec: JsonObject, path: str) -> list[Cause]:
    """The spec of a claim, or of the template of one."""
    causes: list[Cause] = []
    if not spec.get("accessModes"):
        detail = "at least 1 access mode is required"
        causes.append(required(f"{path}.accessModes", detail))
    causes += label_selector(spec.get("selector"), f"{path}.selector")
    causes += access_modes(spec, path)
    at = f"{path}.resources[storage]"
    size = _storage(spec.get("resources"))
    if size is None:
        causes.append(required(at))
    elif quantity.parse(size).nanos <= 0:
        causes.append(invalid(at, quantity.parse(size).canonical(), POSITIVE))
    causes += class_name(spec, "storageClassName", path)
    causes += volume_mode(spec, path)
    for field in ("dataSource", "dataSourceRef"):
        if spec.get(field) is not None:
            causes += _data_source(spec[field], f"{path}.{field}")
    causes += _both_sources(spec, path)
    return causes + class_name(spec, "volumeAttributesClassName", path)


def _storage(resources: JsonObject | None) -> str | None:
    size: str | None = ((resources or {}).get("requests") or {}).get("storage")
    return size


def _data_source(source: JsonObject, path: str) -> list[Cause]:
    causes = [required(f"{path}.{field}") for field in ("name", "kind") if not source.get(field)]
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    if not group and kind != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        causes.append(invalid(path, kind, detail))
    if group:
        causes += invalid_each(f"{path}.apiGroup", group, names.dns_subdomain(group))
    if namespace := source.get("namespace"):
        causes += invalid_each(f"{path}.namespace", namespace, names.dns_label(namespace))
    return causes


def _both_sources(spec: JsonObject, path: str) -> list[Cause]:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is None or reference is None:
        return []
    shown = f"{path}.dataSource"
    if reference.get("namespace"):
        detail = "may not be specified when dataSourceRef.namespace is specified"
        return [invalid(path, shown, detail)]
    fields = ("apiGroup", "kind", "name")
    if any(source.get(field) != reference.get(field) for field in fields):
        return [invalid(path, shown, "must match dataSourceRef")]
    return []


def update_claim(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed claim: only what a bound one asks for may change, and the volume be set once."""
    causes = create_claim(new)
    after, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    if not before.get("volumeName") and "volumeName" in after:
        before["volumeName"] = after["volumeName"]
    causes += _class_change(new, old, after)
    if (new.get("status") or {}).get("phase") == "Bound":
        _put_back(after, before)
    if _comparable(after) != _comparable(before):
        text = difference("PersistentVolumeClaimSpec", before, after)
        detail = (
            "spec is immutable after creation except resources.requests and "
            f"volumeAttributesClassName for bound claims\n{text}"
        )
        causes.append(forbidden("spec", detail))
    causes += _size_change(new, old)
    mode = "volumeMode"
    causes += immutable((new.get("spec") or {}).get(mode), before.get(mode), mode)
    return causes + _attributes_change(new, old)


def _comparable(spec: JsonObject) -> JsonObject:
    """Without empty lists and maps, which Kubernetes takes for absent ones."""
    resources = {key: value for key, value in (spec.get("resources") or {}).items() if value}
    return {key: value for key, value in {**spec, "resources": resources}.items() if value != []}


def _put_back(after: JsonObject, before: JsonObject) -> None:
    resources = after.get("resources") or {}
    if resources.get("requests"):
        size = _storage(before.get("resources"))
        after["resources"] = {**resources, "requests": {**resources["requests"], "storage": size}}
    after["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if after["volumeAttributesClassName"] is None:
        del after["volumeAttributesClassName"]


def _class_change(new: JsonObject, old: JsonObject, after: JsonObject) -> list[Cause]:
    """The class may come from its old annotation, or be set where there was none."""
    was = ((old.get("metadata") or {}).get("annotations") or {}).get(_CLASS_ANNOTATION)
    now = ((new.get("metadata") or {}).get("annotations") or {}).get(_CLASS_ANNOTATION)
    chosen, before = after.get("storageClassName"), (old.get("spec") or {}).get("storageClassName")
    unset = before is None and chosen is not None and was in (None, chosen)
    if unset:
        after.pop("storageClassName")
    if unset and was is not None and now in (None, was):
        return []
    at = f"metadata.annotations.{_CLASS_ANNOTATION}"
    return immutable(now or "", was or "", at)


def _size_change(new: JsonObject, old: JsonObject) -> list[Cause]:
    size, before = (
        quantity.parse(_storage((tree.get("spec") or {}).get("resources")) or "0")
        for tree in (new, old)
    )
    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if size >= before or size > quantity.parse(capacity):
        return []
    detail = "field can not be less than status.capacity"
    return [forbidden("spec.resources.requests.storage", detail)]


def _attributes_change(new: JsonObject, old: JsonObject) -> list[Cause]:
    name = "volumeAttributesClassName"
    after, before = ((tree.get("spec") or {}).get(name) for tree in (new, old))
    current = (old.get("status") or {}).get("currentVolumeAttributesClassName")
    if after or after == before or current is None:
        return []
    what = "nil" if after is None else "empty string"
    detail = (
        f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
    )
    return [forbidden(f"spec.{name}", detail)]


def update_claim_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """Capacity and the progress of a resize."""
    status = new.get("status") or {}
    causes = []
    if not (new.get("spec") or {}).get("accessModes"):
        causes.append(required("Spec.accessModes"))
    for field in ("capacity", "allocatedResources"):
        for name, text in (status.get(field) or {}).items():
            wrong = _resource_key(name, f"status.{field}") if field != "capacity" else []
            if not wrong and quantity.parse(text).nanos < 0:
                shown = quantity.parse(text).canonical()
                wrong = [invalid(f"status.{field}[{name}]", shown, NOT_NEGATIVE)]
            causes += wrong
    path = "status.allocatedResourceStatuses"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        causes += _resource_key(name, path)
        if state not in _RESIZE_STATES:
            causes.append(not_supported(path, name, sorted(_RESIZE_STATES)))
    return causes


def _resource_key(name: str, path: str) -> list[Cause]:
    causes = invalid_each(path, name, names.qualified_name(name))
    native = "/" not in name or name.partition("/")[0].endswith("kubernetes.io")
    if not causes and native and name != "storage":
        causes.append(not_supported(path, name, ("storage",)))
    return causes
