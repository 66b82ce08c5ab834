"""Validation of objects (spec api-machinery, sections 5 and 18; daemonset-controller, 12).

Objects are expected decoded and defaulted. The result is a list of causes in the order in which
Kubernetes reports them, at most `causes.MAX_CAUSES`; empty means valid. Kinds without rules of
their own get the rules of metadata and the ``required`` fields of their schema. The rules lie in
rooms by subject; a room is imported with the first object of its kinds.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.validation import objectmeta as metadata
from kubeherd.cluster.api.validation import required_fields
from kubeherd.cluster.api.validation.causes import collected
from kubeherd.cluster.api.validation.rules import Rules

_ROOM_OF: Mapping[str, str] = {
    "admissionregistration.k8s.io": "admission",
    "apps": "workloads",
    "autoscaling": "workloads",
    "batch": "workloads",
    "discovery.k8s.io": "networking",
    "endpoints": "networking",
    "networking.k8s.io": "networking",
    "persistentvolumeclaims": "storage",
    "persistentvolumes": "storage",
    "pods": "pods",
    "podtemplates": "workloads",
    "replicationcontrollers": "workloads",
    "services": "networking",
    "storage.k8s.io": "storage",
}
"""By group, in the core group by plural; what is not here is in ``cluster``."""


@cache
def _room(name: str) -> Mapping[str, Rules]:
    rules: Mapping[str, Rules] = import_module(f"{__name__}.{name}.kinds").RULES
    return rules


def _rules(resource: Resource) -> Rules | None:
    """The rules of a kind's own, or None."""
    room = _ROOM_OF.get(resource.group or resource.plural, "cluster")
    return _room(room).get(resource.group_resource)


_METADATA_LAST = frozenset({"events"})
"""Kinds whose own rules leave metadata to those of every kind, which are asked only if there is
nothing else to say."""


_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def _create_definition(resource: Resource, tree: JsonObject) -> list[Cause]:
    """The rules of CustomResourceDefinitions, which few clusters have."""
    from kubeherd.cluster.api.customresources import definitionrules  # noqa: PLC0415 - large

    return definitionrules.create(resource, tree)


def _update_definition(new: JsonObject, old: JsonObject, subresource: str) -> list[Cause]:
    from kubeherd.cluster.api.customresources import definitionrules  # noqa: PLC0415 - large

    return definitionrules.update(new, old, subresource)


def create(resource: Resource, tree: JsonObject) -> list[Cause]:
    """The causes for which a new object is refused."""
    return collected(lambda: _create_causes(resource, tree))


def _create_causes(resource: Resource, tree: JsonObject) -> list[Cause]:
    if resource.custom is not None:
        return resource.custom.create_causes(resource, tree)
    if resource.group_resource == _DEFINITIONS:
        return _create_definition(resource, tree)
    rules = _rules(resource)
    if resource.group_resource in _METADATA_LAST and rules is not None:
        return rules.create(tree) or metadata.create(resource, tree.get("metadata") or {})
    causes = metadata.create(resource, tree.get("metadata") or {})
    if rules is not None:
        return causes + rules.create(tree)
    return causes + required_fields.check(resource, tree)


def update(
    resource: Resource, new: JsonObject, old: JsonObject, subresource: str = ""
) -> list[Cause]:
    """The causes for which `new` may not replace `old`, through the object or a subresource."""
    return collected(lambda: _update_causes(resource, new, old, subresource))


def _update_causes(
    resource: Resource, new: JsonObject, old: JsonObject, subresource: str
) -> list[Cause]:
    if resource.custom is not None:
        return resource.custom.update_causes(new, old, subresource)
    if resource.group_resource == _DEFINITIONS:
        return _update_definition(new, old, subresource)
    causes = metadata.update(
        resource, new.get("metadata") or {}, old.get("metadata") or {}, subresource
    )
    if subresource:
        return causes + _part_causes(resource, new, old, subresource)
    rules = _rules(resource)
    if rules is None:
        return causes + required_fields.check(resource, new)
    return causes + (rules.update(new, old) if rules.update else rules.create(new))


def update_of_part(
    resource: Resource, new: JsonObject, old: JsonObject, subresource: str
) -> list[Cause]:
    """The causes of `update` through a subresource for an object whose metadata are what they were,
    and so valid."""
    return collected(lambda: _part_causes(resource, new, old, subresource))


def _part_causes(
    resource: Resource, new: JsonObject, old: JsonObject, subresource: str
) -> list[Cause]:
    rules = _rules(resource)
    rule = rules.subresources.get(subresource) if rules is not None else None
    return rule(new, old) if rule is not None else []
