"""What an event says of a request and its answer. Pure."""

import zlib
from typing import Any

import orjson

from kubeherd.cluster.api.auditpolicy import API_VERSION, Level, Verdict, without_managed_fields
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.access.authz import Attributes
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse

_MAX_AGENT = 1024
_GZIP_WINDOW = 31


def beginning(
    request: ApiRequest, asked: Attributes, verdict: Verdict, audit_id: str, uri: str
) -> JsonObject:
    """All that is known when a request arrives (audit.LogRequestMetadata)."""
    agent = request.headers.get("user-agent", "")
    if len(agent) > _MAX_AGENT:
        agent = agent[:_MAX_AGENT] + "...TRUNCATED"
    event: JsonObject = {
        "kind": "Event",
        "apiVersion": API_VERSION,
        "level": verdict.level.label,
        "auditID": audit_id,
        "stage": "",
        "requestURI": uri,
        "verb": asked.verb,
        "user": request.user.to_json(),
        "sourceIPs": [request.peer],
    }
    if agent:
        event["userAgent"] = agent
    if asked.resource:
        reference = {
            "resource": asked.resource,
            "namespace": asked.namespace,
            "name": asked.name,
            "apiGroup": asked.group,
            "apiVersion": asked.version,
            "subresource": asked.subresource,
        }
        event["objectRef"] = {key: value for key, value in reference.items() if value}
    return event


def complete_reference(event: JsonObject, sent: JsonObject) -> None:
    """Take from the object in a request what its path does not tell."""
    reference, meta = event.get("objectRef"), sent.get("metadata")
    if reference is None or not isinstance(meta, dict):
        return
    for key in ("namespace", "name", "uid", "resourceVersion"):
        if not reference.get(key) and isinstance(value := meta.get(key), str) and value:
            reference[key] = value


def tree_of(content_type: str, body: bytes, encoding: str = "") -> JsonValue:
    """A body as JSON; None for what is no object, such as a log."""
    if encoding == "gzip":
        body = zlib.decompress(body, _GZIP_WINDOW)
    kind = codecs.media_type(content_type)
    if not body or kind.startswith("text/"):
        return None
    try:
        if kind.endswith("json") or not kind:
            return codecs.loads_json(body)
        if kind.endswith("+yaml"):
            kind = "application/yaml"
        return codecs.decode_body(kind, body).tree
    except ApiError:
        return None


def shown(tree: JsonValue, verdict: Verdict) -> JsonValue:
    """An object as the policy wants it."""
    if verdict.omit_managed_fields and isinstance(tree, dict):
        return without_managed_fields(tree)
    return tree


def add_answer(event: JsonObject, response: ApiResponse, verdict: Verdict) -> None:
    """The status of an answer and, if the level is that high, its object (LogResponseObject)."""
    wants = verdict.level >= Level.REQUEST_RESPONSE
    failed = response.status >= 400
    tree: Any = None
    if wants or failed:
        encoding = response.headers.get("Content-Encoding", "")
        tree = tree_of(response.content_type, response.body, encoding)
    status: JsonObject = {"metadata": {}}
    if isinstance(tree, dict) and tree.get("kind") == "Status":
        told = ("status", "message", "reason", "details")
        status |= {key: tree[key] for key in told if key in tree}
    status["code"] = response.status
    event["responseStatus"] = status
    if wants and tree is not None and "objectRef" in event:
        event["responseObject"] = shown(tree, verdict)


def line(event: JsonObject) -> bytes:
    """The event in the order of Kubernetes, with its newline."""
    ordered = {key: event[key] for key in _ORDER if key in event}
    return orjson.dumps(ordered, option=orjson.OPT_APPEND_NEWLINE)


_ORDER = (
    "kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user",
    "impersonatedUser", "sourceIPs", "userAgent", "objectRef", "responseStatus", "requestObject",
    "responseObject", "requestReceivedTimestamp", "stageTimestamp", "annotations",
)  # fmt: skip
