"""Who may ask a kubelet's server: the API server is asked, as a kubelet with webhook modes does.

Source: Kubernetes v1.36, pkg/kubelet/server/auth.go and server.go (InstallAuthFilter). A client is
known by a certificate of the cluster's authority or by a token (TokenReview); whether it may do
what it asks is a SubjectAccessReview on the Node. Invariant: nobody is answered without both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from kubeherd.cluster.api.errors import Forbidden, Unauthorized
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.client import ApiClient

_AUTHENTICATION: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_BEARER: Final = "Bearer "
_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class Caller(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    groups: Sequence[str] = ()
    uid: str = ""


async def caller(
    client: ApiClient, certificate: Mapping[str, Any] | None, authorization: str
) -> Caller:
    """Who holds this certificate (as `ssl` tells it, verified) or token; Unauthorized if nobody."""
    if certificate:
        subject = [pair for part in certificate.get("subject") or () for pair in part]
        names = [value for key, value in subject if key == "commonName"]
        groups = [value for key, value in subject if key == "organizationName"]
        if names:
            return Caller(names[-1], groups)
    if authorization.startswith(_BEARER):
        token = authorization.removeprefix(_BEARER).strip()
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        status = (await client.request("POST", _AUTHENTICATION, body=review)).get("status") or {}
        if status.get("authenticated"):
            user = status.get("user") or {}
            return Caller(
                str(user.get("username")), user.get("groups") or (), str(user.get("uid") or "")
            )
    raise Unauthorized("Unauthorized")


async def check(client: ApiClient, who: Caller, method: str, path: str, node: str) -> None:
    """Forbidden, in a kubelet's words, for a caller who may not do this on the Node."""
    verb = _VERBS.get(method, "")
    subresources = _subresources(path)
    for subresource in subresources:
        attributes = {
            "verb": verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": subresource,
            "name": node,
        }
        review: JsonObject = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": who.name,
                "groups": list(who.groups),
                "uid": who.uid,
                "resourceAttributes": attributes,
            },
        }
        answer = await client.request("POST", _AUTHORIZATION, body=review)
        if (answer.get("status") or {}).get("allowed"):
            return
    raise Forbidden(
        f"Forbidden (user={who.name}, verb={verb}, resource=nodes, "
        f"subresource(s)=[{' '.join(subresources)}])"
    )


def _subresources(path: str) -> tuple[str, ...]:
    return ("healthz", "proxy") if path.split("/")[1] == "healthz" else ("proxy",)
