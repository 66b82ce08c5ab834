"""The two kinds of mutations: an apply configuration, which is merged, and a JSON patch.

Source: Kubernetes v1.36, plugin/policy/mutating/patch (smd.go, json_patch.go).
"""

from collections.abc import Iterator
from typing import Any, Final

from kubeherd.cluster.api.cel.interpreter.datatypes import ObjectValue
from kubeherd.cluster.api.cel.policies import objects
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields import typed
from kubeherd.cluster.api.managedfields.fieldtypes import (
    ATOM,
    Granular,
    Keyed,
    Node,
    Struct,
    struct,
)
from kubeherd.cluster.api.managedfields.merging import merge
from kubeherd.cluster.api.patches.jsonpatch import json_patch
from kubeherd.cluster.api.patches.problems import FailedTest, NotApplicable
from kubeherd.cluster.api.schemas.definitions import key_of

_MISSING: Final = {
    "add": 'doc is missing path: "{path}"',
    "remove": 'doc is missing path: "{path}"',
    "replace": "doc is missing key: {path}",
    "move": "doc is missing from path: {source}",
    "copy": "doc is missing from path: {source}",
    "test": "is missing path: {path}",
}


class NotPatched(Exception):
    """A mutation cannot be applied. The text says why."""


def applied(resource: Resource, tree: JsonObject, value: Any) -> JsonObject:
    """An object with an apply configuration merged in, an evaluated ``Object{..}``."""
    wrong = list(objects.mismatches(value, objects.OBJECT.name))
    if wrong:
        raise NotPatched("type mismatch: " + "\n".join(wrong))
    patch = objects.plain(value)
    assert isinstance(patch, dict)  # noqa: S101 - it is an Object
    patch = {"apiVersion": resource.api_version, "kind": resource.kind, **patch}
    if problem := typed.problem(resource, patch):
        raise NotPatched(
            f"error applying patch: failed to convert patch object to typed object: {problem}"
        )
    root = _root(resource)
    if atomics := list(_atomics(root, patch, "")):
        raise NotPatched(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps "
            f"or structs: {', '.join(atomics)}"
        )
    return merge(root, tree, patch)


def _root(resource: Resource) -> Struct:
    if resource.custom is not None:
        return resource.custom.owned
    return struct(key_of(resource.group, resource.version, resource.kind))


def _atomics(node: Node, value: JsonValue, path: str) -> Iterator[str]:
    """Where a configuration would replace a whole that it may know only a part of."""
    if not isinstance(value, dict | list):
        return
    if node is ATOM:
        yield path
    elif isinstance(value, dict) and isinstance(node, Struct):
        for name, inner in value.items():
            yield from _atomics(node.member(name).node, inner, f"{path}.{name}")
    elif isinstance(value, list) and isinstance(node, Keyed):
        for index, inner in enumerate(value):
            yield from _atomics(node.node, inner, f"{path}[{index}]")
    elif not isinstance(node, Granular):
        return


def patched(tree: JsonObject, value: Any) -> JsonObject:
    """An object with a JSON patch applied, an evaluated list of ``JSONPatch{..}``. A patch whose
    test fails changes nothing."""
    operations = [_operation(one) for one in value]
    try:
        return json_patch(tree, operations)
    except FailedTest:
        return tree
    except NotApplicable as error:
        raise NotPatched(f"JSON Patch: {_inapplicable(error.operation or {})}") from None
    except ApiError as error:
        raise NotPatched(f"JSON Patch: {error.message}") from None


def _inapplicable(operation: JsonObject) -> str:
    """What the library that Kubernetes uses says most often of an operation that does not fit."""
    name, path, source = (operation.get(key, "") for key in ("op", "path", "from"))
    if name not in _MISSING:
        return f"Unexpected kind: {name}"
    place = _MISSING[name].format(path=path, source=source)
    return f"{name} operation does not apply: {place}: missing value"


def _operation(value: Any) -> JsonObject:
    inner = value.get("value")
    if isinstance(inner, ObjectValue):
        wrong = list(objects.mismatches(inner, inner.type.name))
        if wrong:
            raise NotPatched("type mismatch: " + "\n".join(wrong))
    found = objects.plain(value)
    assert isinstance(found, dict)  # noqa: S101 - it is a JSONPatch
    return found
