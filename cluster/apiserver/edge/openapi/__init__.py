"""OpenAPI documents (spec api-machinery, 16): version 3 per group-version, version 2 as one.

They are made when first asked for, because most processes never are, and then kept as bytes. The
index gives each document's URL a hash, so that clients may keep it for ever; the hash names the
schemas' source and this package's format rather than the bytes, so that the index costs nothing.
"""

import hashlib
from collections.abc import Mapping
from functools import cache

import orjson

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.version import KUBERNETES_VERSION
from kubeherd.cluster.apiserver.edge.discovery import Document
from kubeherd.cluster.apiserver.edge.negotiation import clauses, not_acceptable
from kubeherd.cluster.apiserver.edge.openapi import definitions, paths, protobuf, protobuf3

__all__ = ["document"]

_FORMAT = "1"
"""Changes whenever the documents change for other reasons than new schemas."""
_INFO = {"title": "Kubernetes", "version": KUBERNETES_VERSION}
_NEVER_CHANGES = "public, immutable"
_JSON_TYPES = frozenset({"application/json", "application/*", "*/*"})


def document(path: str, query: Mapping[str, str], accept: str = "") -> Document | None:
    """The document at ``/openapi/v2``, ``/openapi/v3`` or ``/openapi/v3/<group-version>``.

    None if there is none; NotAcceptable (406) if the client takes no form that there is. With a
    ``hash`` in `query` that is not the current one the answer must not be cached for ever.
    """
    if path == "/openapi/v2":
        for clause in clauses(accept):
            if clause.media_type in protobuf.MEDIA_TYPES:
                return _v2_protobuf()
            if clause.media_type in _JSON_TYPES:
                return _v2()
        raise not_acceptable()
    if path.rstrip("/") == "/openapi/v3":
        return _index()
    name = path.removeprefix("/openapi/v3/")
    if name == path or name not in _group_versions():
        return None
    found = _v3_protobuf(name) if _asks_for_protobuf(accept) else _v3(name)
    if query.get("hash") == _hash(name):
        return Document(found.body, found.content_type, found.etag, _NEVER_CHANGES)
    return found


def _asks_for_protobuf(accept: str) -> bool:
    """Whether a version 3 document is to be in protobuf: named before anything that is JSON."""
    for clause in clauses(accept):
        if clause.media_type in protobuf3.MEDIA_TYPES:
            return True
        if clause.media_type in _JSON_TYPES:
            return False
    return False


@cache
def _group_versions() -> dict[str, tuple[str, str]]:
    """``apis/apps/v1`` -> group and version."""
    return {r.root.removeprefix("/"): (r.group, r.version) for r in kinds.ALL}


def _hash(name: str) -> str:
    text = f"{_FORMAT}:{schemas.source()}:{KUBERNETES_VERSION}:{name}"
    return hashlib.sha512(text.encode()).hexdigest().upper()


@cache
def _index() -> Document:
    body = orjson.dumps(
        {
            "paths": {
                name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_hash(name)}"}
                for name in sorted(_group_versions())
            }
        }
    )
    return Document(body, "text/plain; charset=utf-8", f'"{_hash("")}"')


@cache
def _v3(name: str) -> Document:
    return Document(orjson.dumps(_v3_tree(name)), "application/json", f'"{_hash(name)}"')


@cache
def _v3_protobuf(name: str) -> Document:
    body = protobuf3.encode(_v3_tree(name))
    return Document(body, protobuf3.MEDIA_TYPES[1], f'"{_hash(name)}"')


def _v3_tree(name: str) -> JsonObject:
    group, version = _group_versions()[name]
    served = [r for r in kinds.ALL if (r.group, r.version) == (group, version)]
    operations: JsonObject = {}
    for resource in served:
        operations.update(paths.resource_paths(resource))
    keys = [paths.META + kind for kind in ("DeleteOptions", "Status", "Patch", "WatchEvent")]
    for resource in served:
        wanted = [(group, version, resource.kind), (group, version, f"{resource.kind}List")]
        wanted += [(s.group, s.version, s.kind) for s in resource.subresources if s.version]
        keys += [key for gvk in wanted if (key := paths.key_of(*gvk)) is not None]
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": operations,
        "components": {"schemas": {key: definitions.v3(key) for key in definitions.closure(keys)}},
    }


def _v2_tree() -> JsonObject:
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {},
        "definitions": {key: definitions.v2(key) for key in sorted(schemas.keys())},
    }


@cache
def _v2() -> Document:
    return Document(orjson.dumps(_v2_tree()), "application/json", f'"{_hash("v2")}"')


@cache
def _v2_protobuf() -> Document:
    body = protobuf.encode(_v2_tree())
    return Document(body, protobuf.MEDIA_TYPES[1], f'"{_hash("v2-protobuf")}"')
