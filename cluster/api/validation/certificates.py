"""Rules of CertificateSigningRequest (pkg/apis/certificates/validation)."""

import base64
from collections.abc import Sequence

from kubeherd.cluster.api import goformat, names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from kubeherd.cluster.api.validation.checks import each, one_of
from kubeherd.cluster.api.validation.rules import Rules

_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
    "data encipherment", "decipher only", "digital signature", "email protection", "encipher only",
    "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment",
    "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing",
    "timestamping",
)  # fmt: skip
_LEAST_EXPIRATION_S = 600
_APPROVAL = ("Approved", "Denied")
_FINAL = (*_APPROVAL, "Failed")
_STATUSES = ("False", "True", "Unknown")
_NOT_A_REQUEST = "PEM block type must be CERTIFICATE REQUEST"
_CONDITIONS = "status.conditions"
_CERTIFICATE = "status.certificate"
_MAX_SIGNER = 2 * names.MAX_SUBDOMAIN + names.MAX_LABEL + 2


def create_request(tree: JsonObject) -> list[Cause]:
    """A CertificateSigningRequest, also what an update may not make invalid."""
    spec = tree.get("spec") or {}
    causes = _request(spec.get("request"), "spec.request")
    usages = spec.get("usages") or []
    if not usages:
        causes.append(required("spec.usages"))
    for index, usage in enumerate(usages):
        causes += one_of(usage, _USAGES, f"spec.usages[{index}]")
    causes += [
        duplicate(f"spec.usages[{index}]", usage)
        for index, usage in enumerate(usages)
        if usage in usages[:index]
    ]
    causes += _signer_name(spec.get("signerName", ""), "spec.signerName")
    lifetime_s = spec.get("expirationSeconds")
    if lifetime_s is not None and lifetime_s < _LEAST_EXPIRATION_S:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        causes.append(invalid("spec.expirationSeconds", lifetime_s, detail))
    return causes + _conditions((tree.get("status") or {}).get("conditions"))


def update_request(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed request: neither the decision nor the certificate."""
    return _changed(new, old, decides=False) + _certificate_stays(new, old)


def update_approval(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A write to ``/approval``: a decision is made, never taken back."""
    return _changed(new, old, decides=True) + _certificate_stays(new, old)


def update_request_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A write to ``/status``: the certificate is issued, once."""
    causes = _changed(new, old, decides=False)
    after, before = ((tree.get("status") or {}).get("certificate") for tree in (new, old))
    if after == before:
        return causes
    problem = _certificate_problem(after or "")
    if problem:
        causes.append(invalid(_CERTIFICATE, "<certificate data>", problem))
    if before:
        detail = "updates may not modify existing certificate content"
        causes.append(forbidden(_CERTIFICATE, detail))
    return causes


def _certificate_stays(new: JsonObject, old: JsonObject) -> list[Cause]:
    after, before = ((tree.get("status") or {}).get("certificate") for tree in (new, old))
    if after == before:
        return []
    return [forbidden(_CERTIFICATE, "updates may not set certificate content")]


def _changed(new: JsonObject, old: JsonObject, *, decides: bool) -> list[Cause]:
    causes = create_request(new)
    after, before = ((tree.get("status") or {}).get("conditions") or [] for tree in (new, old))
    for kind in _FINAL:
        if len(_of_type(after, kind)) < len(_of_type(before, kind)):
            detail = f'updates may not remove a condition of type "{kind}"'
            causes.append(forbidden(_CONDITIONS, detail))
    for kind in () if decides else _APPROVAL:
        now, then = _of_type(after, kind), _of_type(before, kind)
        if len(now) > len(then):
            detail = f'updates may not add a condition of type "{kind}"'
            causes.append(forbidden(_CONDITIONS, detail))
        elif len(now) == len(then) and now != then:
            detail = f'updates may not modify a condition of type "{kind}"'
            causes.append(forbidden(_CONDITIONS, detail))
    return causes


def _of_type(conditions: Sequence[JsonObject], kind: str) -> list[JsonObject]:
    return [condition for condition in conditions if condition.get("type") == kind]


def _request(encoded: str | None, path: str) -> list[Cause]:
    text = base64.b64decode(encoded or "")
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in text:
        return [invalid(path, encoded, _NOT_A_REQUEST)]
    from cryptography import x509  # noqa: PLC0415 - half a second of imports, for a rare kind

    try:
        request = x509.load_pem_x509_csr(text)
        signed = request.is_signature_valid
    except ValueError as error:
        return [invalid(path, encoded, f"asn1: {error}")]
    return [] if signed else [invalid(path, encoded, "x509: signature check failed")]


def _certificate_problem(encoded: str) -> str:
    text = base64.b64decode(encoded)
    if not text:
        return ""
    if b"-----BEGIN CERTIFICATE-----" not in text:
        return "must contain at least one CERTIFICATE PEM block"
    from cryptography import x509  # noqa: PLC0415 - half a second of imports, for a rare kind

    try:
        x509.load_pem_x509_certificates(text)
    except ValueError as error:
        return f"x509: {error}"
    return ""


def _signer_name(name: str, path: str) -> list[Cause]:
    domain, slash, rest = name.partition("/")
    if not name:
        return [required(path)]
    if not slash or "/" in rest:
        form = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(path, name, form)]
    causes = [too_long(path, names.MAX_SUBDOMAIN)] if len(domain) > names.MAX_SUBDOMAIN else []
    if name == "kubernetes.io/legacy-unknown":
        detail = "the legacy signerName is not allowed via this API version"
        return [invalid(path, name, detail)]
    for text, rule in ((domain, names.dns_label), (rest, names.dns_subdomain)):
        bad = next(((part, rule(part)) for part in text.split(".") if rule(part)), None)
        if bad is not None:
            label = goformat.quoted(bad[0])
            causes += [invalid(path, text, f"validating label {label}: {why}") for why in bad[1]]
        if text is domain and "." not in domain:
            detail = "should be a domain with at least two segments separated by dots"
            causes.append(invalid(path, domain, detail))
    if len(name) > _MAX_SIGNER:
        causes.append(too_long(path, _MAX_SIGNER))
    return causes


def _conditions(conditions: list[JsonObject] | None) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, condition in each(conditions, _CONDITIONS):
        kind, status = condition.get("type", ""), condition.get("status", "")
        allowed = ("True",) if kind in _FINAL else _STATUSES
        if not kind:
            causes.append(required(f"{at}.type"))
        if not status:
            causes.append(required(f"{at}.status"))
        elif status not in allowed:
            causes.append(not_supported(f"{at}.status", status, allowed))
        if kind in _APPROVAL and seen & (set(_APPROVAL) - {kind}):
            detail = "Approved and Denied conditions are mutually exclusive"
            causes.append(invalid(_CONDITIONS, kind, detail))
        if kind in seen:
            causes.append(duplicate(f"{at}.type", kind))
        seen.add(kind)
    return causes


RULES = {
    "certificatesigningrequests.certificates.k8s.io": Rules(
        create_request,
        update_request,
        {"status": update_request_status, "approval": update_approval},
    ),
}
