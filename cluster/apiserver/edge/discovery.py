"""Discovery documents: which groups, versions and resources are served (spec api-machinery, 16).

All of them follow from `cluster.api.kinds.ALL`, which never changes while the server runs, and from
the CustomResourceDefinitions, which seldom do, so every document is made once and kept as bytes.
Paths that this module does not know get None: the caller answers with Kubernetes' plain 404.
"""

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import msgspec
import orjson

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource, Subresource
from kubeherd.cluster.api.memo import remembered
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.edge.negotiation import (
    Media,
    not_acceptable,
    transformed,
    untransformed,
)

Resources: TypeAlias = tuple[Resource, ...]

PREFERRED_VERSIONS = {"autoscaling": "v2"}
"""Groups whose preferred version is not the first that `kinds.ALL` lists."""


_AGGREGATED = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_LONGEST_PATH = 128
"""No document has a longer one; so the cache of them is bounded in bytes, too."""


@remembered(entries=64, longest=256)
def wanted(accept: str) -> tuple[Media, bool]:
    """The encoding of the answer, and whether it is the aggregated document of /api and /apis.

    That comes first, wherever the client names it; NotAcceptable (406) if he takes nothing.
    """
    aggregated = transformed(accept, "apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList")
    if aggregated is not None:
        return aggregated, True
    return legacy_media(accept), False


def legacy_media(accept: str) -> Media:
    """The encoding of a legacy document; NotAcceptable (406)."""
    media = untransformed(accept)
    if media is None:
        raise not_acceptable()
    return media


class Document(msgspec.Struct, frozen=True):
    """A finished answer: body, type, entity tag ("" for legacy documents) and Cache-Control
    ("": as for every other answer)."""

    body: bytes
    content_type: str
    etag: str = ""
    cache_control: str = ""

    def not_modified(self, if_none_match: str) -> bool:
        """Whether a client that sent this If-None-Match gets 304."""
        return bool(self.etag) and self.etag in (tag.strip() for tag in if_none_match.split(","))


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """What clients compare to see whether a resource's stored form may have changed."""
    digest = hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


@lru_cache(maxsize=2)
def groups(custom: Resources = ()) -> dict[str, tuple[str, ...]]:
    """The served groups other than core, in order, with their versions, preferred first."""
    found: dict[str, list[str]] = {}
    for resource in (*kinds.ALL, *kinds.COMPUTED, *custom):
        if resource.group:
            versions = found.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
    for group, preferred in PREFERRED_VERSIONS.items():
        if preferred in found.get(group, ()):
            found[group].sort(key=lambda version, first=preferred: version != first)  # type: ignore[misc]
    return {group: tuple(versions) for group, versions in found.items()}


def resources(group: str, version: str, custom: Resources = ()) -> tuple[Resource, ...]:
    """The resources of a group-version, in order; empty if it is not served."""
    everything = (*kinds.ALL, *kinds.COMPUTED, *custom)
    return tuple(r for r in everything if r.group == group and r.version == version)


def document(
    path: str, accept: str = "", server_address: str = "", custom: Resources = ()
) -> Document | None:
    """The discovery document at `path`, in the form that `accept` asks for; None if there is none.

    `custom` are the resources of CustomResourceDefinitions, which follow those of Kubernetes.
    `server_address` is ``host:port`` as clients reach the server. NotAcceptable (406) if the client
    takes nothing that is offered.
    """
    root = path.strip("/")
    if root in ("api", "apis"):
        media, aggregated = wanted(accept)
        made = _documents(custom)
        return (
            made.aggregated(root, media) if aggregated else made.legacy(path, server_address, media)
        )
    legacy = _documents(custom).legacy
    if len(path) > _LONGEST_PATH or legacy(path, server_address, Media.JSON) is None:
        return None
    return legacy(path, server_address, legacy_media(accept))


class _Documents(NamedTuple):
    """The documents with certain resources, made when they are asked for."""

    legacy: Callable[[str, str, Media], Document | None]
    aggregated: Callable[[str, Media], Document]


@lru_cache(maxsize=2)
def _documents(custom: Resources) -> _Documents:
    """Of resources that are no longer served nothing is kept: with each its definition would be,
    and that may be megabytes."""

    @lru_cache(maxsize=128)
    def legacy(path: str, server_address: str, media: Media) -> Document | None:
        return _legacy(path, server_address, media, custom)

    @lru_cache(maxsize=8)
    def aggregated(root: str, media: Media) -> Document:
        return _aggregated(root, media, custom)

    return _Documents(legacy, aggregated)


def _legacy(path: str, server_address: str, media: Media, custom: Resources) -> Document | None:
    parts = path.strip("/").split("/")
    tree: JsonObject | None = None
    if parts == ["api"]:
        tree = _api_versions(server_address)
    elif parts == ["apis"]:
        tree = {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups(custom)}
    elif len(parts) == 2 and parts[0] == "apis" and parts[1] in groups(custom):
        tree = {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], custom)}
    elif len(parts) == 2 and parts[0] == "api":
        tree = _resource_list("", parts[1], ())
    elif len(parts) == 3 and parts[0] == "apis" and parts[1]:
        tree = _resource_list(parts[1], parts[2], custom)
    return None if tree is None else Document(_encoded(tree, media), media.value)


def _encoded(tree: JsonObject, media: Media) -> bytes:
    if media is Media.PROTOBUF:
        return codecs.dumps_protobuf(tree)
    if media is Media.YAML:
        return codecs.dumps_yaml(tree)
    return codecs.dumps_msgpack(tree) if media is Media.MSGPACK else orjson.dumps(tree)


def _api_versions(server_address: str) -> JsonObject:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}
        ],
    }


def _groups(custom: Resources) -> list[JsonObject]:
    return [_group(name, custom) for name in groups(custom)]


def _group(name: str, custom: Resources) -> JsonObject:
    versions = [{"groupVersion": f"{name}/{v}", "version": v} for v in groups(custom)[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(group: str, version: str, custom: Resources) -> JsonObject | None:
    found = resources(group, version, custom)
    if not found:
        return None
    entries: list[JsonObject] = []
    for resource in found:
        entries.append(_resource_entry(resource))
        entries.extend(_subresource_entry(resource, sub) for sub in resource.subresources)
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),  # of old the core group's list has none
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }


def _resource_entry(resource: Resource) -> JsonObject:
    out: JsonObject = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _verbs(resource),
    }
    if resource.short_names:
        out["shortNames"] = list(resource.short_names)
    if resource.categories:
        out["categories"] = list(resource.categories)
    if "list" in resource.verbs and "create" in resource.verbs:
        out["storageVersionHash"] = _storage_hash(resource)
    return out


def _verbs(resource: Resource) -> list[str]:
    """What may be done; objects of a definition that is being deleted are not written."""
    if resource.custom is None or not resource.custom.terminating:
        return list(resource.verbs)
    return [verb for verb in resource.verbs if verb not in ("create", "update", "patch")]


def _storage_hash(resource: Resource) -> str:
    group, version = resource.group, resource.version
    if resource.custom is not None:
        version = resource.custom.storage_version
    elif resource.group == "events.k8s.io":
        group, version = "", "v1"  # stored as core events
    elif resource.group == "autoscaling":
        version = "v2"
    return storage_version_hash(group, version, resource.kind)


def _subresource_entry(resource: Resource, sub: Subresource) -> JsonObject:
    out: JsonObject = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if sub.version:
        out["group"] = sub.group
        out["version"] = sub.version
    out["kind"] = sub.kind
    out["verbs"] = list(sub.verbs)
    return out


def _aggregated(root: str, media: Media, custom: Resources) -> Document:
    items: list[JsonObject]
    if root == "api":
        items = [{"metadata": {}, "versions": [_aggregated_version("", "v1", ())]}]
    else:
        items = [
            {
                "metadata": {"name": group},
                "versions": [_aggregated_version(group, version, custom) for version in versions],
            }
            for group, versions in groups(custom).items()
        ]
    tree: JsonObject = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }
    etag = f'"{hashlib.sha512(orjson.dumps(tree)).hexdigest().upper()}"'
    return Document(_encoded(tree, media), media.value + _AGGREGATED, etag, "public")


def _aggregated_version(group: str, version: str, custom: Resources) -> JsonObject:
    return {
        "version": version,
        "resources": [_aggregated_resource(r) for r in resources(group, version, custom)],
        "freshness": "Current",
    }


def _aggregated_resource(resource: Resource) -> JsonObject:
    own = resource.custom
    group, version = (own.group, own.version) if own is not None else ("", "")
    out: JsonObject = {
        "resource": resource.plural,
        "responseKind": {"group": group, "version": version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": _verbs(resource),
    }
    if resource.short_names:
        out["shortNames"] = list(resource.short_names)
    if resource.categories:
        out["categories"] = list(resource.categories)
    if resource.subresources:
        out["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": sub.group or group,
                    "version": sub.version or version,
                    "kind": sub.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return out
