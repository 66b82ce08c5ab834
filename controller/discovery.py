"""Which kinds there are: what the server offers to list, watch and delete.

Read from discovery, so that custom resources and whatever an unknown server has are covered. Each
group counts in its preferred version only: the same object in two versions would be two watches.
"""

from collections.abc import Mapping
from contextlib import suppress

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import ALL, EVENTS, EVENTS_V1, Resource, find
from kubeherd.cluster.client.client import ApiClient

NEEDED_VERBS = frozenset({"delete", "list", "watch"})
_BUILT_IN_GROUPS = frozenset(resource.group for resource in ALL)
IGNORED = frozenset({EVENTS.group_resource, EVENTS_V1.group_resource})
"""Events are never collected, and there are too many to watch them for nothing."""


class Kinds:
    """The kinds of the server, and the group list that says when to look again."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._groups: JsonObject | None = None
        self._custom: dict[str, JsonObject] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self.preferred: tuple[Resource, ...] = ()
        """Every resource that the server has, in its group's preferred version."""
        self.failures: tuple[str, ...] = ()
        """Group versions that the server could not describe, with the reason."""

    @property
    def collectable(self) -> list[Resource]:
        """The kinds that a garbage collector must watch."""
        return [
            resource
            for resource in self.preferred
            if set(resource.verbs) >= NEEDED_VERBS and resource.group_resource not in IGNORED
        ]

    def for_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource behind an owner reference; None if the server does not serve it."""
        return self._by_kind.get((api_version, kind))

    async def refresh(self) -> bool:
        """Ask again; returns whether anything may have changed.

        One request if nothing has, and one for each group version of custom resources: a new
        definition may add to a group that is there.
        """
        groups = await self._client.request("GET", "/apis")
        custom = await self._custom_documents(groups)
        if groups == self._groups and custom == self._custom:
            return False
        self._custom = custom
        found: list[Resource] = await self._of("", "v1", preferred=True)
        failures: list[str] = []
        for group in groups.get("groups") or ():
            preferred = (group.get("preferredVersion") or {}).get("version")
            for version in group.get("versions") or ():
                name = version.get("version", "")
                try:
                    found += await self._of(group["name"], name, preferred=name == preferred)
                except ApiError as error:  # an extension server is down: the others still count
                    failures.append(f"{group['name']}/{name}: {error.message}")
        self.preferred = tuple(found)
        self.failures = tuple(failures)
        self._groups = None if failures else groups
        return True

    async def _custom_documents(self, groups: JsonObject) -> dict[str, JsonObject]:
        out: dict[str, JsonObject] = {}
        for group in groups.get("groups") or ():
            if group["name"] not in _BUILT_IN_GROUPS:
                for version in group.get("versions") or ():
                    path = f"/apis/{group['name']}/{version.get('version', '')}"
                    with suppress(ApiError):  # told when all kinds are learnt
                        out[path] = await self._client.request("GET", path)
        return out

    async def _of(self, group: str, version: str, *, preferred: bool) -> list[Resource]:
        """Learn the kinds of one group version; returns them if it is preferred."""
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        document = await self._client.request("GET", root)
        out: list[Resource] = []
        for entry in document.get("resources") or ():
            if "/" in entry["name"]:
                continue
            resource = find(group, version, entry["name"]) or _resource(group, version, entry)
            self._by_kind[resource.api_version, resource.kind] = resource
            if preferred:
                out.append(resource)
        return out


def _resource(group: str, version: str, entry: Mapping[str, object]) -> Resource:
    """A kind that Kubernetes itself does not have."""
    verbs = entry.get("verbs")
    return Resource(
        group=group,
        version=version,
        plural=str(entry["name"]),
        singular=str(entry.get("singularName") or ""),
        kind=str(entry["kind"]),
        namespaced=bool(entry.get("namespaced")),
        verbs=tuple(str(verb) for verb in verbs) if isinstance(verbs, list) else (),
    )
