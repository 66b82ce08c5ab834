"""Records of requests for resources: what was asked, and what was answered. Pure.

Answers in JSON and msgpack are looked into for revisions; others (protobuf, YAML, tables) are
recorded without.
"""

import gzip
from collections.abc import Mapping

import msgspec
from msgspec import field

from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Dropped,
    Response,
    UpgradeResponse,
)
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.history import Actor, Request

NO_ANSWER = 0
_CHOOSING = ("labelSelector", "fieldSelector", "continue", "nodes")
"""Parameters of a list that is not of the whole collection."""


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    version: str = field(default="", name="resourceVersion")
    token: str = field(default="", name="continue")

    @property
    def revision(self) -> int:
        return int(self.version) if self.version.isdigit() else 0

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class _Item(msgspec.Struct):
    metadata: _Meta = field(default_factory=_Meta)


class _Details(msgspec.Struct):
    uid: str = ""


class _Tree(msgspec.Struct):
    """What is looked for in a body: of an object, a list, a Status or a poll."""

    metadata: _Meta = field(default_factory=_Meta)
    items: list[_Item] | None = None
    reason: str = ""
    details: _Details | None = None
    version: str = field(default="", name="resourceVersion")


_NOTHING = _Tree()
_json = msgspec.json.Decoder(_Tree)
_msgpack = msgspec.msgpack.Decoder(_Tree)


def _tree(body: bytes, content_type: str, encoding: str) -> _Tree:
    media = content_type.partition(";")[0].strip()
    if media not in ("application/json", "application/msgpack") or not body:
        return _NOTHING
    try:
        plain = gzip.decompress(body) if encoding == "gzip" else body
        return _json.decode(plain) if media == "application/json" else _msgpack.decode(plain)
    except (msgspec.DecodeError, OSError, EOFError):
        return _NOTHING


def asked_revision(request: ApiRequest) -> int:
    """The resourceVersion in the query, or in the object that is sent."""
    asked = request.query.get("resourceVersion", "")
    if asked.isdigit():
        return int(asked)
    sent = _tree(request.body, request.headers.get("content-type", ""), "")
    return sent.metadata.revision


def of(
    request: ApiRequest,
    route: Route,
    actor: Actor,
    response: Response | None,
    times: tuple[float, float],
) -> Request:
    """A request and its answer, None for none; `times`: when it came and was answered, in seconds
    since the epoch."""
    part = f"/{route.subresource_name}" if route.subresource is not None else ""
    tree, headers = _NOTHING, {}
    if isinstance(response, ApiResponse):
        headers = {name.lower(): value for name, value in response.headers.items()}
        encoding = headers.get("content-encoding", "")
        tree = _tree(response.body, response.content_type, encoding)
    status = _status(response)
    refused = status >= 400
    return Request(
        at=times[0],
        until=times[1],
        client=f"{actor.user} {actor.user_agent}".strip(),
        actor=actor,
        verb=route.verb,
        resource=_stored_as(route) + part,
        namespace=route.namespace,
        name=route.name or ("" if refused or tree.items is not None else tree.metadata.name),
        status=status,
        revision=tree.metadata.revision or (int(tree.version) if tree.version.isdigit() else 0),
        asked_revision=asked_revision(request),
        uid=tree.metadata.uid or (tree.details.uid if tree.details is not None else ""),
        objects=_objects(tree),
        reason=tree.reason if refused else "",
        stale=route.verb in ("get", "list") and _takes_older(request.query),
        partial=route.verb == "list" and _is_part(request.query, tree),
    )


def _takes_older(query: Mapping[str, str]) -> bool:
    """Whether any state is good enough, or one that is no older than a minimum (spec api-machinery,
    3)."""
    asked, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    exact = match == "Exact" or (not match and asked != "0" and bool(query.get("limit")))
    return bool(asked) and not exact


def _is_part(query: Mapping[str, str], tree: _Tree) -> bool:
    return any(query.get(key) for key in _CHOOSING) or bool(tree.metadata.token)


def _stored_as(route: Route) -> str:
    """The resource by which writes are recorded: one kind may be served by several groups."""
    resource = route.resource
    return resource.group_resource if resource.custom is not None else served.of(resource).key


def _status(response: Response | None) -> int:
    if response is None or isinstance(response, Dropped):
        return NO_ANSWER
    if isinstance(response, ApiResponse):
        return response.status
    return 101 if isinstance(response, UpgradeResponse) else 200


def _objects(tree: _Tree) -> Mapping[str, int] | None:
    if tree.items is None:
        return None
    return {item.metadata.key: item.metadata.revision for item in tree.items}
