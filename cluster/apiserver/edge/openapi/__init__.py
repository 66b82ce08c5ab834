"""OpenAPI documents (spec api-machinery, 16): version 3 per group-version, version 2 as one.

They are made when first asked for, because most processes never are, and then kept as bytes. The
index gives each document's URL a hash, so that clients may keep it for ever; the hash names the
schemas' source and this package's format rather than the bytes, so that the index costs nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import orjson

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.version import KUBERNETES_VERSION
from kubeherd.cluster.apiserver.edge.discovery import Document, Resources
from kubeherd.cluster.apiserver.edge.negotiation import clauses, not_acceptable
from kubeherd.cluster.apiserver.edge.openapi import definitions, paths, protobuf, protobuf3

__all__ = ["document"]

_FORMAT = "1"
"""Changes whenever the documents change for other reasons than new schemas."""
_INFO = {"title": "Kubernetes", "version": KUBERNETES_VERSION}
_NEVER_CHANGES = "public, immutable"
_JSON_TYPES = frozenset({"application/json", "application/*", "*/*"})


def document(
    path: str, query: Mapping[str, str], accept: str = "", custom: Resources = ()
) -> Document | None:
    """The document at ``/openapi/v2``, ``/openapi/v3`` or ``/openapi/v3/<group-version>``.

    `custom` are the resources of CustomResourceDefinitions.

    None if there is none; NotAcceptable (406) if the client takes no form that there is. With a
    ``hash`` in `query` that is not the current one the answer must not be cached for ever.
    """
    if path == "/openapi/v2":
        for clause in clauses(accept):
            if clause.media_type in protobuf.MEDIA_TYPES:
                return _v2_protobuf(custom)
            if clause.media_type in _JSON_TYPES:
                return _v2(custom)
        raise not_acceptable()
    if path.rstrip("/") == "/openapi/v3":
        return _index(custom)
    name = path.removeprefix("/openapi/v3/")
    if name == path:
        return None
    if name in _group_versions():
        found = _v3_protobuf(name) if _asks_for_protobuf(accept) else _v3(name)
        current = _hash(name)
    elif name in (documents := _custom_v3(custom)):
        found = documents[name]
        current = found.etag.strip('"')
    else:
        return None
    if query.get("hash") == current:
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


@lru_cache(maxsize=2)
def _index(custom: Resources) -> Document:
    hashes = {name: _hash(name) for name in _group_versions()}
    if custom:
        hashes |= {name: doc.etag.strip('"') for name, doc in _custom_v3(custom).items()}
    body = orjson.dumps(
        {
            "paths": {
                name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={hashes[name]}"}
                for name in sorted(hashes)
            }
        }
    )
    tag = _digest(body) if custom else _hash("")
    return Document(body, "text/plain; charset=utf-8", f'"{tag}"')


def _digest(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


@lru_cache(maxsize=2)
def _custom_v3(custom: Resources) -> dict[str, Document]:
    """The documents of the group-versions that only CustomResourceDefinitions have."""
    if not custom:
        return {}
    from kubeherd.cluster.apiserver.customresources import openapi  # noqa: PLC0415 - seldom

    served: dict[str, list[Resource]] = {}
    for resource in custom:
        served.setdefault(resource.root.removeprefix("/"), []).append(resource)
    out = {}
    for name, resources in served.items():
        body = orjson.dumps(_v3_tree(resources, openapi.components(resources)))
        out[name] = Document(body, "application/json", f'"{_digest(body)}"')
    return out


@cache
def _v3(name: str) -> Document:
    return Document(orjson.dumps(_built_in(name)), "application/json", f'"{_hash(name)}"')


@cache
def _v3_protobuf(name: str) -> Document:
    body = protobuf3.encode(_built_in(name))
    return Document(body, protobuf3.MEDIA_TYPES[1], f'"{_hash(name)}"')


def _built_in(name: str) -> JsonObject:
    group, version = _group_versions()[name]
    return _v3_tree([r for r in kinds.ALL if (r.group, r.version) == (group, version)], {})


def _v3_tree(served: Sequence[Resource], custom: Mapping[str, JsonObject]) -> JsonObject:
    operations: JsonObject = {}
    for resource in served:
        operations.update(paths.resource_paths(resource))
    keys = [paths.META + kind for kind in ("DeleteOptions", "Status", "Patch", "WatchEvent")]
    for resource in served:
        group, version = resource.group, resource.version
        wanted = [(group, version, resource.kind), (group, version, f"{resource.kind}List")]
        wanted += [(s.group, s.version, s.kind) for s in resource.subresources if s.version]
        keys += [key for gvk in wanted if (key := paths.key_of(*gvk)) is not None]
    if custom:
        keys += [paths.META + kind for kind in ("ObjectMeta", "ListMeta")]
    shown = {key: definitions.v3(key) for key in definitions.closure(keys)}
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": operations,
        "components": {"schemas": {**shown, **custom}},
    }


def _v2_tree(custom: Resources) -> JsonObject:
    shown = {key: definitions.v2(key) for key in sorted(schemas.keys())}
    if custom:
        from kubeherd.cluster.apiserver.customresources import openapi  # noqa: PLC0415 - seldom

        shown.update(openapi.definitions(custom))
    return {"swagger": "2.0", "info": _INFO, "paths": {}, "definitions": shown}


@lru_cache(maxsize=1)
def _v2(custom: Resources) -> Document:
    body = orjson.dumps(_v2_tree(custom))
    return Document(body, "application/json", f'"{_digest(body) if custom else _hash("v2")}"')


@lru_cache(maxsize=1)
def _v2_protobuf(custom: Resources) -> Document:
    body = protobuf.encode(_v2_tree(custom))
    tag = _digest(body) if custom else _hash("v2-protobuf")
    return Document(body, protobuf.MEDIA_TYPES[1], f'"{tag}"')
