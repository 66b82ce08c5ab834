"""Which resources a server has, and which of them are to be watched."""

from collections.abc import Callable, Iterable
from typing import Final

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.client import ApiClient

_TWINS: Final = frozenset({"events.events.k8s.io"})
"""The same objects as another resource's."""
EVERYTHING: Final = "*"
"""In place of names: every resource."""


async def watchable(
    client: ApiClient, *, silent: Callable[[str, ApiError], object] = lambda _group, _error: None
) -> list[Resource]:
    """Every resource that can be listed and watched, in the version that the server prefers.
    Groups whose server does not answer are left out; `silent` is told their names."""
    found = resources_of("", "v1", await client.request("GET", "/api/v1"))
    for group in (await client.request("GET", "/apis"))["groups"]:
        preferred = group["preferredVersion"]
        try:
            answer = await client.request("GET", f"/apis/{preferred['groupVersion']}")
        except ApiError as error:
            silent(group["name"], error)
            continue
        found += resources_of(group["name"], preferred["version"], answer)
    return found


def resources_of(group: str, version: str, answer: JsonObject) -> list[Resource]:
    """The watchable resources of an APIResourceList."""
    return [
        resource
        for one in answer.get("resources") or ()
        if "/" not in one["name"] and {"list", "watch"} <= set(one.get("verbs") or ())
        if (resource := _resource(group, version, one)).group_resource not in _TWINS
    ]


def _resource(group: str, version: str, one: JsonObject) -> Resource:
    return Resource(
        group, version, one["name"], one.get("singularName") or "", one["kind"],
        bool(one["namespaced"]), tuple(one["verbs"]),
    )  # fmt: skip


def wanted(all_: Iterable[Resource], needs: frozenset[str]) -> list[Resource]:
    """Those that are needed, by name."""
    return [one for one in all_ if EVERYTHING in needs or one.group_resource in needs]
