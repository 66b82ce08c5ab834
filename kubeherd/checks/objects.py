"""What checkers ask about API objects: JSON trees (dicts and lists), as they were written.

Whatever is absent counts as empty: a tree may come from any server.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from math import ceil, floor
from typing import Any, Final

from kubeherd.history.records import Object, Request, Told, Write

CLOCK_GRAIN_S: Final = 2.0
"""Timestamps have whole seconds, and two clocks differ."""


def at(tree: Object, *path: str) -> Any:
    """What is at a path; None if there is nothing."""
    found: Any = tree
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def part(tree: Object, *path: str) -> Object:
    """The map at a path; empty if there is none."""
    found = at(tree, *path)
    return found if isinstance(found, dict) else {}


def items(tree: Object, *path: str) -> Sequence[Object]:
    """The maps in the list at a path; empty if there is none."""
    found = at(tree, *path)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else ()


def words(tree: Object, *path: str) -> Sequence[str]:
    """The strings in the list at a path; empty if there is none."""
    found = at(tree, *path)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else ()


def text(tree: Object, *path: str) -> str:
    """The string at a path; empty if there is none."""
    found = at(tree, *path)
    return found if isinstance(found, str) else ""


def number(tree: Object, *path: str, default: int = 0) -> int:
    """The whole number at a path."""
    found = at(tree, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def _of_metadata(tree: Object, name: str) -> str:
    """`text` of what is asked about every object."""
    metadata = tree.get("metadata")
    found = metadata.get(name) if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else ""


def name_of(tree: Object) -> str:
    """``metadata.name``."""
    return text(tree, "metadata", "name")


def uid_of(tree: Object) -> str:
    """``metadata.uid``."""
    return _of_metadata(tree, "uid")


def labels(tree: Object) -> Object:
    """``metadata.labels``."""
    return part(tree, "metadata", "labels")


def key(namespace: str, name: str) -> str:
    """``namespace/name``, or the name of what has no namespace."""
    return f"{namespace}/{name}" if namespace else name


def about(record: Write | Request | Told) -> str:
    """``resource namespace/name``: the object that a record is about, as a violation names it."""
    return f"{record.resource} {key(record.namespace, record.name)}"


def going(tree: Object) -> bool:
    """Whether it is being deleted."""
    return bool(_of_metadata(tree, "deletionTimestamp"))


def controller_of(tree: Object) -> Object:
    """The owner reference of its controller; empty if it has none."""
    for owner in items(tree, "metadata", "ownerReferences"):
        if owner.get("controller") is True:
            return owner
    return {}


def owner_uid(tree: Object, kind: str) -> str:
    """The uid of its controller if that is of this kind."""
    owner = controller_of(tree)
    return text(owner, "uid") if owner.get("kind") == kind else ""


def seconds(timestamp: object) -> float:
    """A timestamp of the API as seconds since the epoch; 0 if it is none."""
    if not isinstance(timestamp, str) or not timestamp:
        return 0.0
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0


def condition(tree: Object, type_: str) -> Object:
    """A condition of its status; empty if it has none of this type."""
    for one in items(tree, "status", "conditions"):
        if one.get("type") == type_:
            return one
    return {}


def ready(tree: Object) -> bool:
    """Whether its condition Ready is True."""
    return condition(tree, "Ready").get("status") == "True"


def ended(pod: Object) -> bool:
    """Whether a pod's phase is a last one."""
    return text(pod, "status", "phase") in ("Succeeded", "Failed")


def target_node(pod: Object) -> str:
    """The node that a pod is bound to or, as daemon pods are, made for."""
    bound = text(pod, "spec", "nodeName")
    if bound:
        return bound
    required = part(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
    )
    for term in items(required, "nodeSelectorTerms"):
        for field in items(term, "matchFields"):
            values = words(field, "values")
            if (field.get("key"), field.get("operator")) == ("metadata.name", "In") and values:
                return str(values[0]) if len(values) == 1 else ""
    return ""


def scaled(value: object, total: int, *, up: bool) -> int:
    """A number, or a percentage of `total` rounded up or down."""
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value[:-1].isdecimal() and value.endswith("%"):
        exact = int(value[:-1]) * total / 100
        return ceil(exact) if up else floor(exact)
    return 0


def selects(selector: Object, of: Object) -> bool:
    """Whether a label selector (``matchLabels``, ``matchExpressions``) takes these labels."""
    return all(of.get(k) == v for k, v in part(selector, "matchLabels").items()) and all(
        _holds(one, of) for one in items(selector, "matchExpressions")
    )


def _holds(requirement: Object, of: Object) -> bool:
    has, values = requirement.get("key") in of, words(requirement, "values")
    value = of.get(requirement.get("key", ""))
    match requirement.get("operator"):
        case "In":
            return has and value in values
        case "NotIn":
            return not has or value not in values
        case "Exists":
            return has
        case "DoesNotExist":
            return not has
        case _:
            return False


def names(trees: Iterator[Object]) -> str:
    """The names of objects, for people."""
    return ", ".join(sorted(name_of(tree) for tree in trees))
