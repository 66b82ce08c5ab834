"""The same objects as other resources: a kind in its other versions and groups."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeAlias

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.served import ServedKind

Custom: TypeAlias = Mapping[int, ServedKind]
"""The custom kinds that are served, by the identity of their resources."""


def equivalents(resource: Resource, custom: Custom) -> Sequence[Resource]:
    """The resources, without this one, whose objects are the same as those of `resource`."""
    if resource.custom is None:
        return _built_in(resource)
    key, version = resource.group_resource, resource.version
    return [
        one.resource
        for one in custom.values()
        if one.key == key and one.resource.version != version
    ]


@cache
def _built_in(resource: Resource) -> Sequence[Resource]:
    key = served.of(resource).key
    return tuple(
        one
        for one in kinds.ALL
        if one is not resource and one.plural == resource.plural and served.of(one).key == key
    )


def kind_of(resource: Resource, custom: Custom) -> ServedKind | None:
    """How a resource is served; None for a custom one that no longer is."""
    return served.of(resource) if resource.custom is None else custom.get(id(resource))


def converted(tree: JsonObject, resource: Resource, wanted: Resource, custom: Custom) -> JsonObject:
    """An object of one resource as one of `wanted`, an equivalent one. `Unconverted` if a webhook
    has to be asked first."""
    if wanted is resource:
        return tree
    into, from_ = kind_of(wanted, custom), kind_of(resource, custom)
    if into is None or from_ is None:
        return {**tree, "apiVersion": wanted.api_version}
    return into.served(from_.stored(tree))
