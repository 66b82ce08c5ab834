"""The scale of any workload, through its subresource: of kinds of Kubernetes and custom ones.

Source: Kubernetes v1.36, client-go/scale and apimachinery's RESTMapper, whose errors it words.
Invariant: at most `KINDS_LIMIT` custom kinds are remembered, and one that does not answer is looked
up anew the next time.
"""

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.client import ApiClient

KINDS_LIMIT = 256


class Scale(msgspec.Struct, frozen=True):
    """An autoscaling/v1 Scale: `replicas` wanted, and there are (`current`), and of which pods."""

    tree: JsonObject
    uid: str
    replicas: int
    current: int
    selector: str


class NoSuchKind(Exception):
    """The server does not serve the kind."""

    def __init__(self, group: str, kind: str) -> None:
        super().__init__(f"no matches for kind {quoted(kind)} in group {quoted(group)}")


class NotScalable(Exception):
    """The kind has no scale subresource."""

    def __init__(self, resource: Resource) -> None:
        name = resource.group_resource
        super().__init__(f"{name} does not implement the scale subresource")


class _Kind(msgspec.Struct, frozen=True):
    resource: Resource
    scalable: bool


class Scales:
    """Reads and sets scales; the kinds it has met are remembered."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._custom: dict[tuple[str, str], _Kind] = {}

    async def get(self, group: str, kind: str, namespace: str, name: str) -> Scale:
        """The scale of an object; NoSuchKind, NotScalable, ApiError, TransportError."""
        found = await self._kind(group, kind)
        try:
            path = found.resource.path(namespace, name, "scale")
            return _scale(await self._client.request("GET", path))
        except NotFound:
            self._custom.pop((group, kind), None)
            if not (await self._kind(group, kind)).scalable:
                raise NotScalable(found.resource) from None
            raise

    async def put(self, group: str, kind: str, namespace: str, scale: Scale, replicas: int) -> None:
        """Set the replicas, against the version of the scale that was read; as `get`."""
        found = await self._kind(group, kind)
        tree = {**scale.tree, "spec": {**(scale.tree.get("spec") or {}), "replicas": replicas}}
        path = found.resource.path(namespace, scale.tree["metadata"]["name"], "scale")
        await self._client.request("PUT", path, body=tree)

    async def _kind(self, group: str, kind: str) -> _Kind:
        for resource in kinds.ALL:
            if (resource.group, resource.kind) == (group, kind):
                return _Kind(resource, resource.subresource("scale") is not None)
        if (group, kind) not in self._custom:
            if len(self._custom) >= KINDS_LIMIT:
                self._custom.clear()
            self._custom[group, kind] = await self._discovered(group, kind)
        return self._custom[group, kind]

    async def _discovered(self, group: str, kind: str) -> _Kind:
        """What discovery says of a kind, in the version that its group prefers."""
        try:
            found = await self._client.request("GET", f"/apis/{group}")
            version = found["preferredVersion"]["version"]
            document = await self._client.request("GET", f"/apis/{group}/{version}")
        except NotFound:
            raise NoSuchKind(group, kind) from None
        entries = document.get("resources") or ()
        names = {str(entry["name"]) for entry in entries}
        for entry in entries:
            if entry["kind"] == kind and "/" not in entry["name"]:
                plural = str(entry["name"])
                namespaced = bool(entry.get("namespaced"))
                resource = Resource(group, version, plural, "", kind, namespaced, ("get",))
                return _Kind(resource, f"{plural}/scale" in names)
        raise NoSuchKind(group, kind)


def group_of(api_version: str) -> str:
    """The group of an ``apiVersion``: "" for the core one."""
    return api_version.rpartition("/")[0]


def _scale(tree: JsonObject) -> Scale:
    status = tree.get("status") or {}
    return Scale(
        tree,
        str(tree["metadata"].get("uid") or ""),
        int((tree.get("spec") or {}).get("replicas") or 0),
        int(status.get("replicas") or 0),
        str(status.get("selector") or ""),
    )
