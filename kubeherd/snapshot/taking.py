"""The state of a running cluster, read through its API: ours, or any Kubernetes.

All lists are of one revision (`resourceVersionMatch=Exact`), so the snapshot is the cluster as it
was at one moment, however busy it is. Everything that is stored is shown by the API to somebody who
may read everything. If what is needed of the past is forgotten meanwhile, or kinds come and go, it
begins again.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from kubeherd.cluster.api.errors import (
    ApiError,
    Expired,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NAMESPACES, Resource, resource
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.discovery import watchable
from kubeherd.snapshot.model import Entry, Origin, Snapshot, SnapshotError, entry_of

PAGE_LIMIT: Final = 500
ATTEMPTS: Final = 3
_APISERVICES: Final = resource("apiregistration.k8s.io", "v1", "apiservices")
_DEFINITIONS: Final = resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")

Progress = Callable[[str], object]


class _Moved(Exception):
    """What is served changed while it was read."""


async def take(
    client: ApiClient, origin: Origin, *, progress: Progress = lambda _resource: None
) -> Snapshot:
    """All objects of a cluster at one revision. `progress` hears of each resource.

    SnapshotError if we may not read something, or the cluster changes too fast; ApiError and
    TransportError as the client.
    """
    why = ""
    for _ in range(ATTEMPTS):
        try:
            return await _attempt(client, origin, progress)
        except (_Moved, Expired, NotFound) as error:
            why = str(error)
        except (Forbidden, Unauthorized) as error:
            raise SnapshotError(
                f"a snapshot needs the right to read everything: {error.message}"
            ) from None
    raise SnapshotError(f"the cluster changed too much while it was read ({why}): try again")


async def _attempt(client: ApiClient, origin: Origin, progress: Progress) -> Snapshot:
    silent: list[str] = []
    found = await watchable(client, silent=lambda group, error: silent.append(f"{group}: {error}"))
    first = await client.request("GET", NAMESPACES.path(), query={"limit": "1"})
    reader = _Reader(client, str(first["metadata"]["resourceVersion"]))
    remote = await reader.remote_groups(found)
    lost = [line for line in silent if line.partition(":")[0] not in remote]
    if lost:
        raise SnapshotError(f"the API server does not tell what is in the group {lost[0]}")
    definitions = await reader.read(_DEFINITIONS)
    wanted = [one for one in found if one.group not in remote]
    entries: list[Entry] = []
    for one in _as_stored(wanted, definitions):
        progress(one.group_resource)
        entries += definitions if one.group_resource == _DEFINITIONS.group_resource else (
            await reader.read(one)
        )  # fmt: skip
    entries.sort(key=lambda entry: (entry.resource, entry.namespace, entry.name))
    return Snapshot(
        origin=origin,
        revision=reader.revision,
        entries=entries,
        notes=[f"the group {group} is served and kept by another server" for group in remote],
    )


def _as_stored(found: Sequence[Resource], definitions: Sequence[Entry]) -> list[Resource]:
    """The resources to read; custom ones in the version in which they are stored, if that is
    served. _Moved if there is a definition whose resource was not found."""
    stored: dict[str, str] = {}
    for definition in definitions:
        tree = definition.tree()
        if not _is_established(tree):
            continue
        spec = tree["spec"]
        served = [version["name"] for version in spec["versions"] if version.get("served")]
        kept = [version["name"] for version in spec["versions"] if version.get("storage")]
        stored[definition.name] = next((name for name in kept if name in served), "")
        if not served:
            raise SnapshotError(
                f"no version of {definition.name} is served, so nobody can read its objects"
            )
    missing = stored.keys() - {one.group_resource for one in found}
    if missing:
        raise _Moved(f"{min(missing)} is new")
    return [
        msgspec.structs.replace(one, version=stored.get(one.group_resource) or one.version)
        for one in found
    ]


def _is_established(definition: JsonObject) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


class _Reader:
    """Reads lists as they were at one revision."""

    def __init__(self, client: ApiClient, revision: str) -> None:
        self._client = client
        self._text = revision
        try:
            self.revision = int(revision)
        except ValueError:
            raise SnapshotError(
                f"this API server counts no revisions: {revision!r} is none"
            ) from None

    async def remote_groups(self, found: Sequence[Resource]) -> list[str]:
        """The groups that other API servers serve, which keep their objects themselves."""
        if all(one.group != _APISERVICES.group for one in found):
            return []
        services = [entry.tree() for entry in await self.read(_APISERVICES)]
        remote = {
            str(one["spec"].get("group") or "") for one in services if one["spec"].get("service")
        }
        return sorted(remote)

    async def read(self, resource: Resource) -> list[Entry]:
        """All objects of a resource, as the API shows them in its version."""
        entries: list[Entry] = []
        query = {
            "resourceVersion": self._text,
            "resourceVersionMatch": "Exact",
            "limit": str(PAGE_LIMIT),
        }
        while True:
            page = await self._page(resource, query)
            metadata = page.get("metadata") or {}
            if metadata.get("resourceVersion") != self._text:
                raise _Moved(f"{resource.group_resource} is shown at another revision")
            entries += [_entry(resource, item) for item in page.get("items") or ()]
            token = metadata.get("continue")
            if not token:
                return entries
            query = {"continue": str(token), "limit": str(PAGE_LIMIT)}

    async def _page(self, resource: Resource, query: dict[str, str]) -> JsonObject:
        try:
            return await self._client.request("GET", resource.path(), query=query)
        except MethodNotAllowed as error:
            raise NotFound(error.message) from None
        except (Expired, NotFound, Forbidden, Unauthorized):
            raise
        except ApiError as error:
            raise SnapshotError(
                f"{resource.group_resource} cannot be read: {error.message}"
            ) from error


def _entry(resource: Resource, item: JsonObject) -> Entry:
    whole = {"kind": resource.kind, "apiVersion": resource.api_version, **item}
    return entry_of(resource.group_resource, whole)
