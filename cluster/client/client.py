"""The API client: typed reads, tree writes, errors as exceptions.

Speaks plain Kubernetes JSON to any API server. To a kubeherd server it changes over to msgpack as
soon as that server has answered in msgpack once: every read accepts both, so no request ever fails
for it. Invariants: an `ApiError` subclass for every refusal, `TransportError` when there was no
answer; a write is never repeated unless the server said that it did not carry it out; the absence
of the server is logged once until it is over, for all who use this client.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Generic, TypeVar, cast

import msgspec
import structlog

from kubeherd.cluster.api.errors import InternalError, LeaseLost, UnsupportedMediaType
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS, Resource
from kubeherd.cluster.client.fence import Fence
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    JSON,
    MSGPACK,
    Transport,
    TransportError,
    TransportResponse,
    error_of,
)
from kubeherd.cluster.client.wire import Page, decode_page, decoder_for
from kubeherd.cluster.runtime.clock import Clock

T = TypeVar("T")

PAGE_SIZE = 500
FIRST_PAGE = {"limit": str(PAGE_SIZE)}
"""The query with which a list begins."""
MAX_RETRIES = 10
MAX_RETRY_AFTER_S = 30

_BOTH = f"{MSGPACK}, {JSON};q=0.9"
_RETRIED = (429, 500, 503, 504)

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


class ApiClient:
    """A client for one identity; without `private_features` only what any Kubernetes knows."""

    def __init__(
        self, transport: Transport, clock: Clock, *, private_features: bool = True
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._private_features = private_features
        self._server_speaks_msgpack = False
        self.unreachable = False
        """The last request got no answer. It has been logged: nobody else need say so."""
        self.fence: Fence | None = None
        """The term under which this client writes, if it acts for a leader: its manager puts it."""

    @property
    def transport(self) -> Transport:
        """The way to the server; its owner closes it."""
        return self._transport

    @property
    def private(self) -> bool:
        """Whether msgpack bodies and long-polls may be used with this server, as far as known."""
        return self._private_features and self._server_speaks_msgpack

    def renounce_private_features(self) -> None:
        """The server turned out not to know them: JSON and streams from now on."""
        self._private_features = False

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
    ) -> Listed[T]:
        """All objects of a collection, read in pages of 500 that belong to one revision.

        Expired (410) when the revision of the first page was compacted before the last was read.
        """
        query = selectors(label_selector, field_selector)
        query |= FIRST_PAGE
        items: list[T] = []
        while True:
            answer = await self.send("GET", resource.path(namespace), query=query)
            page = self.page(resource, answer, into)
            items += page.items or ()
            if not page.metadata.continue_:
                return Listed(items, page.metadata.resource_version)
            query["continue"] = page.metadata.continue_

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
        await self.send("DELETE", path, body=body, content_type=content_type)

    async def bind(self, pod_namespace: str, pod_name: str, pod_uid: str, node_name: str) -> None:
        """Bind a pod to a node, as a scheduler does; Conflict if it is bound or another pod."""
        binding: JsonObject = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": pod_namespace, "name": pod_name, "uid": pod_uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }
        body, content_type = self.encode(binding)
        path = PODS.path(pod_namespace, pod_name, "binding")
        await self.send("POST", path, body=body, content_type=content_type)

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

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        """One request with encoded body; ApiError for an error status.

        As client-go, waits and repeats up to 10 times when the answer says Retry-After.
        """
        accept = _BOTH if self._private_features else JSON
        fence = self._fence_header(method)
        for attempt in range(MAX_RETRIES + 1):
            try:
                response = await self._transport.request(
                    method,
                    path,
                    query=query,
                    body=body,
                    content_type=content_type,
                    accept=accept,
                    fence=fence,
                    timeout_s=timeout_s,
                )
            except TransportError as lost:
                self._lost(lost)
                raise
            self._found()
            if response.status < 300:
                self._learn(response)
                return response
            error = error_of(response)
            retry_after = response.headers.get("retry-after", "")
            if (
                response.status not in _RETRIED
                or not retry_after.isdigit()
                or attempt == MAX_RETRIES
            ):
                break
            await self._clock.sleep(min(int(retry_after), MAX_RETRY_AFTER_S))
        if self.fence is not None and isinstance(error, LeaseLost):
            self.fence.refuse(fence)
        if isinstance(error, UnsupportedMediaType) and content_type == MSGPACK:
            return await self._send_as_json(method, path, query, cast("bytes", body), timeout_s)
        raise error

    def _fence_header(self, method: str) -> str:
        if self.fence is None or method == "GET" or not self._private_features:
            return ""
        return self.fence.header

    def _lost(self, error: TransportError) -> None:
        if not self.unreachable:
            self.unreachable = True
            _log.warning("server_unreachable", error=str(error))

    def _found(self) -> None:
        if self.unreachable:
            self.unreachable = False
            _log.info("server_reachable")

    async def _send_as_json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes,
        timeout_s: float,
    ) -> TransportResponse:
        """The server that took msgpack was replaced by one that does not (415: nothing done)."""
        self.renounce_private_features()
        data = msgspec.json.encode(msgspec.msgpack.decode(body))
        return await self.send(
            method, path, query=query, body=data, content_type=JSON, timeout_s=timeout_s
        )

    def _learn(self, response: TransportResponse) -> None:
        if is_msgpack(response):
            self._server_speaks_msgpack = True

    def encode(self, tree: JsonObject) -> tuple[bytes, str]:
        """A request body and its content type, msgpack if the server knows it."""
        if self.private:
            return msgspec.msgpack.encode(tree), MSGPACK
        return msgspec.json.encode(tree), JSON

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


def is_msgpack(response: TransportResponse) -> bool:
    """Whether a body is msgpack (otherwise it is JSON)."""
    return response.content_type.startswith(MSGPACK)
