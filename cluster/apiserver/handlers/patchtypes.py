"""Which kind of patch a request is, and which kind of object it is for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.handlers.services import Call

if TYPE_CHECKING:
    from kubeherd.cluster.api.customresources.kind import CustomKind

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_WITHOUT_STRATEGIC = (JSON_PATCH, MERGE_PATCH, APPLY)
"""What custom resources take: a strategic patch needs to know how the lists of a kind merge."""
_UNSUPPORTED = "the body of the request was in an unknown format - accepted media types include: "


class Target(msgspec.Struct, frozen=True):
    """The kind that a patch is for: the resource's, or that of a subresource such as Scale."""

    group: str
    version: str
    kind: str
    custom: "CustomKind | None" = None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def of_resource(resource: Resource) -> Target:
    """The target of a patch of the object itself."""
    return Target(resource.group, resource.version, resource.kind, resource.custom)


def patch_type(call: Call) -> str:
    """The media type of the call's patch; UnsupportedMediaType as Kubernetes' router says it, 422
    for options that this kind of patch does not take."""
    media_type = codecs.media_type(call.request.headers.get("content-type", ""))
    if call.kind.resource.custom is not None and media_type not in _WITHOUT_STRATEGIC:
        raise errors.UnsupportedMediaType(_UNSUPPORTED + ", ".join(_WITHOUT_STRATEGIC))
    if media_type not in (*_WITHOUT_STRATEGIC, STRATEGIC):
        raise errors.UnsupportedMediaType("415: Unsupported Media Type", details={})
    _check_options(call.request.query, media_type == APPLY)
    return media_type


def _check_options(query: Mapping[str, str], applying: bool) -> None:
    if applying and not query.get("fieldManager"):
        cause = Cause(
            "FieldValueRequired",
            "Required value: is required for apply patch",
            "fieldManager",
        )
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [cause])
    if not applying and "force" in query:
        cause = Cause(
            "FieldValueForbidden",
            "Forbidden: may not be specified for non-apply patch",
            "force",
        )
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [cause])
