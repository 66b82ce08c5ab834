"""The API client: typed reads, tree writes, errors as exceptions.

Speaks plain Kubernetes JSON to any API server. To a kubeherd server it changes over to msgpack as
soon as that server has answered in msgpack once: every read accepts both, so no request ever fails
for it. How requests are sent, and what becomes of them, is in `cluster.client.sending`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Generic, TypeVar, cast

import msgspec
import structlog

from kubeherd.cluster.api.errors import Expired, InternalError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.sending import Sender, Write, is_msgpack
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    TransportError,
    TransportResponse,
)
from kubeherd.cluster.client.wire import Page, decode_page, decoder_for

T = TypeVar("T")

PAGE_SIZE = 500
FIRST_PAGE = {"limit": str(PAGE_SIZE)}
"""The query with which a list begins."""

_log = structlog.get_logger(__name__)


class PatchKind(StrEnum):
    """The patch types of Kubernetes (spec api-machinery, section 10), by media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """A whole list, all pages of it, as of one revision."""

    items: list[T]
    resource_version: str


class ApiClient(Sender):
    """A client for one identity; without `private_features` only what any Kubernetes knows."""

    async def get(self, resource: Resource, into: type[T], name: str, namespace: str = "") -> T:
        """One object, decoded as `into`; NotFound if there is none."""
        return self.decode(await self.send("GET", resource.path(namespace, name)), into)

    async def list(
        self,
        resource: Resource,
        into: type[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        nodes: str = "",
    ) -> Listed[T]:
        """All objects of a collection, read in pages of 500 that belong to one revision; at once,
        as client-go does it, if that is compacted before the last page was read.

        `nodes`: only of these (`api.private.nodeset`); a server that is not kubeherd's sends all.
        """
        query = selectors(label_selector, field_selector)
        if nodes and self._private_features:
            query["nodes"] = nodes
        path, paging = resource.path(namespace), dict(FIRST_PAGE)
        items: list[T] = []
        while True:
            try:
                answer = await self.send("GET", path, query={**query, **paging})
            except Expired:
                if "continue" not in paging:
                    raise
                items, paging = [], {}
                continue
            page = self.page(resource, answer, into)
            items += page.items or ()
            if not page.metadata.continue_:
                return Listed(items, page.metadata.resource_version)
            paging["continue"] = page.metadata.continue_

    async def create(self, resource: Resource, obj: JsonObject, namespace: str = "") -> JsonObject:
        """Create; `namespace` empty: the object's own. Returns the object as stored."""
        namespace = namespace or str((obj.get("metadata") or {}).get("namespace") or "")
        return await self.request("POST", resource.path(namespace), body=obj)

    async def update(
        self, resource: Resource, obj: JsonObject, *, subresource: str = ""
    ) -> JsonObject:
        """Replace an object, or its subresource; Conflict if its resourceVersion is stale."""
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace") or "", metadata["name"], subresource)
        return await self.request("PUT", path, body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: JsonObject | Sequence[JsonObject],
        namespace: str = "",
        *,
        kind: PatchKind = PatchKind.STRATEGIC,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """Patch an object or its subresource; returns the object as stored.

        Server-side apply (`PatchKind.APPLY`) needs ``fieldManager`` in `query`.
        """
        answer = await self.send(
            "PATCH",
            resource.path(namespace, name, subresource),
            query=query,
            body=msgspec.json.encode(patch),
            content_type=kind.value,
        )
        return self.decode_tree(answer)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period_s: int | None = None,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "",
    ) -> None:
        """Delete an object; Conflict if the UID or resourceVersion given is not its own.

        `propagation`: Background, Foreground or Orphan; empty: the server's default.
        """
        write = self.deletion(
            resource,
            name,
            namespace,
            grace_period_s=grace_period_s,
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
        )
        await self.send(write.method, write.path, body=write.body, content_type=write.content_type)

    def deletion(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period_s: int | None = None,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "",
    ) -> Write:
        """What `delete` sends, for `send_all`."""
        options: JsonObject = {}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if given := {key: value for key, value in preconditions.items() if value}:
            options["preconditions"] = given
        if propagation:
            options["propagationPolicy"] = propagation
        if options:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        path = resource.path(namespace, name)
        body, content_type = self.encode(options) if options else (None, "")
        return Write("DELETE", path, body, content_type)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> JsonObject:
        """Any other request; returns the answer's tree (an empty one for an empty body)."""
        data, content_type = (None, "") if body is None else self.encode(body)
        answer = await self.send(
            method, path, query=query, body=data, content_type=content_type, timeout_s=timeout_s
        )
        return self.decode_tree(answer)

    def decode(self, response: TransportResponse, into: type[T]) -> T:
        """Decode a body straight into a struct; InternalError if it is something else."""
        decoder = decoder_for(into, msgpack=is_msgpack(response))
        try:
            return cast("T", decoder.decode(response.body))
        except msgspec.ValidationError as error:
            raise InternalError(f"unexpected answer of the server: {error}") from error
        except msgspec.DecodeError as error:
            raise TransportError(f"the server's answer is damaged: {error}") from error

    def page(self, resource: Resource, response: TransportResponse, into: type[T]) -> Page[T]:
        """Decode one page of a list; what does not fit its struct is logged and left out."""
        try:
            page, skipped = decode_page(response.body, into, msgpack=is_msgpack(response))
        except msgspec.DecodeError as error:
            raise InternalError(f"unexpected answer of the server: {error}") from error
        for bad in skipped:
            _log.error(
                "object_undecodable", resource=resource.plural, name=bad.name, error=bad.error
            )
        return page

    def decode_tree(self, response: TransportResponse) -> JsonObject:
        """Decode a body as a JSON tree."""
        if not response.body:
            return {}
        tree: JsonObject = self.decode(response, dict)
        return tree


def selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    """The query parameters for selectors, without the empty ones."""
    query = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in query.items() if value}
