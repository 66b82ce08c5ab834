"""Validation of objects (spec api-machinery, sections 5 and 18; daemonset-controller, 12).

Objects are expected decoded and defaulted. The result is a list of causes in the order in which
Kubernetes reports them; empty means valid. Kinds without rules of their own get the rules of
metadata and the ``required`` fields of their schema.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cluster.api import metadata
from cluster.api.errors import Cause
from cluster.api.jsontypes import JsonObject
from cluster.api.kinds import Resource
from cluster.api.validation import required_fields
from cluster.api.validation.daemonset import (
    create_daemon_set,
    update_daemon_set,
    update_daemon_set_status,
)


@dataclass(frozen=True)
class _Rules:
    """The rules of a kind beyond its metadata; `status` are those of its status subresource."""

    create: Callable[[JsonObject], list[Cause]]
    update: Callable[[JsonObject, JsonObject], list[Cause]]
    status: Callable[[JsonObject, JsonObject], list[Cause]] | None = None


_RULES: dict[str, _Rules] = {
    "daemonsets.apps": _Rules(create_daemon_set, update_daemon_set, update_daemon_set_status),
}


def create(resource: Resource, tree: JsonObject) -> list[Cause]:
    """The causes for which a new object is refused."""
    causes = metadata.create(resource, tree.get("metadata") or {})
    rules = _RULES.get(resource.group_resource)
    if rules is not None:
        return causes + rules.create(tree)
    return causes + required_fields.check(resource, tree)


def update(
    resource: Resource, new: JsonObject, old: JsonObject, subresource: str = ""
) -> list[Cause]:
    """The causes for which `new` may not replace `old`, through the object or a subresource."""
    causes = metadata.update(new.get("metadata") or {}, old.get("metadata") or {})
    rules = _RULES.get(resource.group_resource)
    if subresource == "status":
        return causes + (rules.status(new, old) if rules and rules.status else [])
    if rules is not None:
        return causes + rules.update(new, old)
    return causes + required_fields.check(resource, new)
