"""The scale subresource of a custom resource: where its numbers are, and what they may be.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource (validator.go, etcd.go).
"""

from kubeherd.cluster.api.customresources.jsonpath import simple
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import invalid

_MAX = 2**31 - 1


def at(tree: JsonObject, path: str) -> JsonValue:
    """The value at a path in dot notation; None if there is none."""
    value: JsonValue = tree
    for name in simple(path):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def put(tree: JsonObject, path: str, value: JsonValue) -> None:
    """Set the value at a path in dot notation, making the objects on the way."""
    *parents, last = simple(path)
    for name in parents:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            inner = tree[name] = {}
        tree = inner
    tree[last] = value


def replicas(tree: JsonObject, path: str) -> int:
    """The count at a path; 0 where there is none."""
    value = at(tree, path)
    return value if isinstance(value, int) else 0


def check(scale: JsonObject | None, tree: JsonObject) -> list[Cause]:
    """The counts of spec and status, and the selector, must be what they are called."""
    if scale is None:
        return []
    return _count(tree, scale["specReplicasPath"]) + check_status(scale, tree)


def check_status(scale: JsonObject | None, tree: JsonObject) -> list[Cause]:
    """The same for what a write to the status may change."""
    if scale is None:
        return []
    causes = _count(tree, scale["statusReplicasPath"])
    path = scale.get("labelSelectorPath") or ""
    selector = at(tree, path) if path else None
    if selector is not None and not isinstance(selector, str):
        causes.append(invalid(path, "", _wrong(path, selector, "string")))
    return causes


def _wrong(path: str, value: JsonValue, expected: str) -> str:
    go_type = {bool: "bool", int: "int64", float: "float64", str: "string"}.get(
        type(value), "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
    )
    return f"{path} accessor error: {value} is of the type {go_type}, expected {expected}"


def _count(tree: JsonObject, path: str) -> list[Cause]:
    value = at(tree, path)
    if value is None:
        return []
    if not isinstance(value, int) or isinstance(value, bool):
        return [invalid(path, 0, _wrong(path, value, "int64"))]
    if value < 0:
        return [invalid(path, value, "should be a non-negative integer")]
    if value > _MAX:
        return [invalid(path, value, f"should be less than or equal to {_MAX}")]
    return []


def view(scale: JsonObject, tree: JsonObject) -> JsonObject:
    """spec and status of the autoscaling/v1 Scale that an object shows."""
    selector = at(tree, scale["labelSelectorPath"]) if scale.get("labelSelectorPath") else None
    status: JsonObject = {"replicas": replicas(tree, scale["statusReplicasPath"])}
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    wanted = replicas(tree, scale["specReplicasPath"])
    return {"spec": {"replicas": wanted} if wanted else {}, "status": status}
