"""Which requests for certificates are approved without a person, and which are signed. Pure.

Source: Kubernetes v1.36, pkg/controller/certificates/{approver/sarapprove,signer/signer}.go,
pkg/controller/certificates/cleaner/cleaner.go, pkg/apis/certificates/helpers.go.
"""

from collections.abc import Callable
from typing import NamedTuple

from kubeherd.cluster.api.helpers.signingrequest import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    Subject,
)
from kubeherd.cluster.api.jsontypes import JsonObject

SIGNERS = frozenset({CLIENT, KUBELET_CLIENT, KUBELET_SERVING})
"""Whose certificates the cluster signs."""
_LONGEST_S, _SHORTEST_S = 8760 * 3600, 600
_ANSWERED_S, _UNANSWERED_S = 3600.0, 24 * 3600.0
"""How long a request is kept after its last decision, answered by then or not."""
_CLIENT_USAGES = frozenset({"digital signature", "key encipherment", "client auth"})
_SERVING_USAGES = frozenset({"digital signature", "key encipherment", "server auth"})

_NODES, _NOT_NODES = ("system:nodes",), "subject organization is not system:nodes"


class Permission(NamedTuple):
    """A right that approves: to create this subresource of CertificateSigningRequests."""

    subresource: str
    message: str


_SELF = Permission(
    "selfnodeclient",
    "Auto approving self kubelet client certificate after SubjectAccessReview.",
)
_ANY = Permission(
    "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."
)


def is_decided(tree: JsonObject) -> bool:
    """Whether somebody has approved or denied a request, or it has its certificate."""
    return _has(tree, "Approved") or _has(tree, "Denied") or _is_signed(tree)


def wants_signature(tree: JsonObject) -> bool:
    """Whether a request is approved, for a signer of the cluster, and not answered yet."""
    return (
        tree["spec"].get("signerName") in SIGNERS
        and _has(tree, "Approved")
        and not _has(tree, "Denied")
        and not _has(tree, "Failed")
        and not _is_signed(tree)
    )


def _is_signed(tree: JsonObject) -> bool:
    return bool((tree.get("status") or {}).get("certificate"))


def _has(tree: JsonObject, kind: str) -> bool:
    conditions = (tree.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == kind and one.get("status") == "True" for one in conditions)


def is_old(tree: JsonObject, age_s: Callable[[str], float]) -> bool:
    """Whether a request was decided, or made in vain, so long ago that nobody needs it."""
    conditions = (tree.get("status") or {}).get("conditions") or ()
    if not conditions:
        return age_s(tree["metadata"]["creationTimestamp"]) > _UNANSWERED_S
    for condition in conditions:
        waits = condition.get("type") == "Approved" and not _is_signed(tree)
        limit_s = _UNANSWERED_S if waits else _ANSWERED_S
        decided = condition.get("type") in ("Approved", "Denied", "Failed")
        if decided and (at := condition.get("lastUpdateTime")) and age_s(at) > limit_s:
            return True
    return False


def permissions(spec: JsonObject, subject: Subject) -> list[Permission]:
    """The rights of which one approves a request, in the order in which they are asked for; none
    if it is not for a kubelet's client certificate."""
    if spec.get("signerName") != KUBELET_CLIENT or problem(spec, subject):
        return []
    return [_SELF, _ANY] if spec.get("username") == subject.common_name else [_ANY]


def review(spec: JsonObject, permission: Permission) -> JsonObject:
    """The SubjectAccessReview that asks whether he who made a request has a right."""
    asked: JsonObject = {
        "user": spec.get("username", ""),
        "resourceAttributes": {
            "group": "certificates.k8s.io",
            "resource": "certificatesigningrequests",
            "verb": "create",
            "subresource": permission.subresource,
            "version": "*",
        },
    }
    asked |= {key: spec[key] for key in ("uid", "groups", "extra") if spec.get(key)}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": asked,
    }


def approved(tree: JsonObject, permission: Permission) -> JsonObject:
    """The request with the condition that approves it."""
    return _with_condition(tree, "Approved", "AutoApproved", permission.message)


def failed(tree: JsonObject, why: str) -> JsonObject:
    """The request with the condition that it can never be signed."""
    return _with_condition(tree, "Failed", "SignerValidationFailure", why)


def signed(tree: JsonObject, certificate: str) -> JsonObject:
    """The request with its certificate (PEM in base64)."""
    return {**tree, "status": {**(tree.get("status") or {}), "certificate": certificate}}


def _with_condition(tree: JsonObject, kind: str, reason: str, message: str) -> JsonObject:
    status = tree.get("status") or {}
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    conditions = [*(status.get("conditions") or ()), condition]
    return {**tree, "status": {**status, "conditions": conditions}}


def lifetime_s(spec: JsonObject) -> int:
    """How long a certificate is good: what was asked for, within ten minutes and a year."""
    asked = spec.get("expirationSeconds")
    return _LONGEST_S if asked is None else min(max(asked, _SHORTEST_S), _LONGEST_S)


def problem(spec: JsonObject, subject: Subject) -> str:
    """Why the signer of a request must not sign it, "" if it may."""
    usages = spec.get("usages") or []
    match spec.get("signerName"):
        case signer if signer == KUBELET_CLIENT:
            return _kubelet_client_problem(usages, subject)
        case signer if signer == KUBELET_SERVING:
            return _kubelet_serving_problem(usages, subject)
        case _:
            return _client_problem(usages)


def _client_problem(usages: list[str]) -> str:
    for usage in usages:
        if usage not in _CLIENT_USAGES:
            return f"invalid usage for client certificate: {usage}"
    if "client auth" not in usages:
        return "missing required usage for client certificate: client auth"
    return ""


def _kubelet_client_problem(usages: list[str], subject: Subject) -> str:
    if subject.organizations != _NODES:
        return _NOT_NODES
    alternatives = (
        ("DNS", subject.dns_names), ("Email", subject.emails), ("IP", subject.addresses),
        ("URI", subject.uris),
    )  # fmt: skip
    return (
        _alternative_problem(*alternatives)
        or _name_problem(subject)
        or _usage_problem(usages, _CLIENT_USAGES)
    )


def _kubelet_serving_problem(usages: list[str], subject: Subject) -> str:
    if subject.organizations != _NODES:
        return _NOT_NODES
    if not (subject.dns_names or subject.addresses):
        return "DNS or IP subjectAltName is required"
    return (
        _alternative_problem(("Email", subject.emails), ("URI", subject.uris))
        or _usage_problem(usages, _SERVING_USAGES)
        or _name_problem(subject)
    )


def _alternative_problem(*forbidden: tuple[str, tuple[str, ...]]) -> str:
    found = [kind for kind, names in forbidden if names]
    return f"{found[0]} subjectAltNames are not allowed" if found else ""


def _name_problem(subject: Subject) -> str:
    if subject.common_name.startswith("system:node:"):
        return ""
    return "subject common name does not begin with system:node:"


def _usage_problem(usages: list[str], wanted: frozenset[str]) -> str:
    """Keys that are not RSA cannot encipher keys."""
    if set(usages) in (wanted, wanted - {"key encipherment"}):
        return ""
    return f"usages did not match [{' '.join(sorted(wanted))}]"
