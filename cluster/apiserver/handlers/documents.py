"""GET of what is no object: versions, the list of paths, discovery, OpenAPI, how tokens are checked
(spec api-machinery, section 16)."""

from collections.abc import Callable, Iterable

import orjson

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.edge import discovery, routing
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.edge.negotiation import Media, accepts, clauses, unavailable
from kubeherd.cluster.apiserver.handlers.health import version

_JSON_ONLY = (Media.JSON.value, "*/*")
_KEY_SET = "/openid/v1/jwks"
_TOKEN_DOCUMENTS = {
    "/.well-known/openid-configuration": "application/json",
    _KEY_SET: "application/jwk-set+json",
}
"""By path, the type of the answer."""
NOT_FOUND = ApiResponse(404, b"404 page not found\n", "text/plain; charset=utf-8")


class Documents:
    """What one server has of them; `custom` are the custom resources that it serves now."""

    def __init__(self, tokens: TokenIssuer, custom: Callable[[], tuple[Resource, ...]]) -> None:
        self._tokens = tokens
        self._custom = custom

    def found(self, request: ApiRequest, server_address: str) -> ApiResponse | None:
        """The document at the request's path; None if there is none."""
        path, accept = request.path, request.headers.get("accept", "")
        if path in ("/version", "/version/"):
            if all(clause.media_type not in _JSON_ONLY for clause in clauses(accept)):
                raise unavailable((Media.JSON.value,))
            return ApiResponse(200, version())
        if path == "/":
            return _paths((*kinds.ALL, *kinds.COMPUTED, *self._custom()))
        if path in _TOKEN_DOCUMENTS:
            return self._token_document(request, server_address)
        accept = request.headers.get("accept", "")
        if path.startswith("/openapi/"):
            from kubeherd.cluster.apiserver.edge import openapi  # noqa: PLC0415 - large, and seldom asked for

            found = openapi.document(path, request.query, accept, self._custom())
        else:
            custom = self._custom()
            found = discovery.document(path, accept, server_address, custom)
        if found is None:
            return None
        headers = {"Vary": "Accept"}
        if found.etag:
            headers["ETag"] = found.etag
        if found.cache_control:
            headers["Cache-Control"] = found.cache_control
        if found.not_modified(request.headers.get("if-none-match", "")):
            return ApiResponse(304, b"", found.content_type, headers)
        return ApiResponse(200, found.body, found.content_type, headers)

    def _token_document(self, request: ApiRequest, server_address: str) -> ApiResponse:
        """What others need in order to check the cluster's tokens."""
        content_type = _TOKEN_DOCUMENTS[request.path]
        if not accepts(request.headers.get("accept", ""), content_type):
            raise errors.NotAcceptable(
                f"406: Not Acceptable\n\nAvailable representations: {content_type}", details={}
            )
        if request.path == _KEY_SET:
            body = self._tokens.key_set()
        else:
            body = self._tokens.configuration(f"https://{server_address}{_KEY_SET}")
        return ApiResponse(200, body, content_type, {"Cache-Control": "public, max-age=3600"})


def missing(path: str) -> ApiResponse:
    """404 for a path without a document: a Status below a served group, else plain text."""
    if path.startswith("/openapi/v3/"):
        return ApiResponse(404, b"", "")
    first, second = [*path.split("/")[1:3], "", ""][:2]
    if first == "api" or (first == "apis" and second in discovery.groups()):
        raise errors.NotFound(routing.NOT_FOUND_TEXT, details={})
    return NOT_FOUND


def _paths(served_resources: Iterable[Resource]) -> ApiResponse:
    found = tuple(served_resources)
    roots = sorted({resource.root for resource in found})
    groups = sorted({f"/apis/{resource.group}" for resource in found if resource.group})
    paths = sorted({
        "/api", "/apis", "/healthz", "/livez", "/readyz", "/metrics", "/openapi/v2",
        "/openapi/v3", "/version", *_TOKEN_DOCUMENTS, *roots, *groups,
    })  # fmt: skip
    return ApiResponse(200, orjson.dumps({"paths": paths}, option=orjson.OPT_INDENT_2))
