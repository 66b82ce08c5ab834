"""Validation of CertificateSigningRequests (pure).

Source: Kubernetes v1.36, pkg/apis/certificates/validation/validation.go. After creation the
strategies keep the spec, so an update is judged by its status only; what an old object does wrong
already is tolerated.
"""

from collections.abc import Callable, Iterator, Sequence

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.helpers import signingrequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)

_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
    "data encipherment", "decipher only", "digital signature", "email protection",
    "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth",
    "signing", "timestamping",
)  # fmt: skip
_DECISIONS = ("Approved", "Denied")
_FINAL = (*_DECISIONS, "Failed")
_STATUSES = ("False", "True", "Unknown")
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_SHORTEST_S = 600
_CONDITIONS, _CERTIFICATE = "status.conditions", "status.certificate"
_DOMAIN_LENGTH, _SIGNER_LENGTH = 253, 571


def create_signing_request(tree: JsonObject) -> list[Cause]:
    """A new CertificateSigningRequest."""
    spec = tree.get("spec") or {}
    request = spec.get("request") or ""
    found = []
    if problem := signingrequest.signature_problem(request):
        found.append(invalid("spec.request", spec.get("request"), problem))
    found += _usages(spec.get("usages") or [])
    if spec.get("signerName") == _LEGACY_SIGNER:
        why = "the legacy signerName is not allowed via this API version"
        found.append(invalid("spec.signerName", _LEGACY_SIGNER, why))
    else:
        found += signer_name(spec.get("signerName") or "", "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_S:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(invalid("spec.expirationSeconds", seconds, why))
    return found


def update_signing_request(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A write to the object itself, which changes metadata only."""
    return []


def update_approval(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A write to ``/approval``: conditions."""
    return [*_conditions(new, old), *_removed(new, old)]


def update_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A write to ``/status``: the certificate, and conditions that decide nothing."""
    given, had = _certificate(new), _certificate(old)
    found = list(_conditions(new, old))
    if given and given != had and (problem := signingrequest.certificate_problem(given)):
        found.append(invalid(_CERTIFICATE, "<certificate data>", problem))
    found += _removed(new, old)
    for kind in _DECISIONS:
        before, after = _of_type(old, kind), _of_type(new, kind)
        if len(after) > len(before):
            found.append(
                forbidden(_CONDITIONS, f'updates may not add a condition of type "{kind}"')
            )
    if had and given != had:
        found.append(forbidden(_CERTIFICATE, "updates may not modify existing certificate content"))
    return found


def _usages(usages: list[str]) -> Iterator[Cause]:
    if not usages:
        yield required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield not_supported(f"spec.usages[{index}]", usage, _USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            yield duplicate(f"spec.usages[{index}]", usage)


def signer_name(name: str, path: str) -> Iterator[Cause]:
    """``domain.com/something`` (pkg/apis/core/validation/names.go)."""
    if not name:
        yield required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        form = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid(path, name, form)
        return
    if len(domain.encode()) > _DOMAIN_LENGTH:
        yield too_long(path, _DOMAIN_LENGTH)
    labels = domain.split(".")
    yield from _first_bad(labels, names.dns_label, domain, path)
    if len(labels) == 1:
        why = "should be a domain with at least two segments separated by dots"
        yield invalid(path, domain, why)
    yield from _first_bad(rest.split("."), names.dns_subdomain, rest, path)
    if len(name.encode()) > _SIGNER_LENGTH:
        yield too_long(path, _SIGNER_LENGTH)


def _first_bad(
    labels: list[str], rule: Callable[[str], Sequence[str]], shown: str, path: str
) -> Iterator[Cause]:
    for label in labels:
        if problems := rule(label):
            for problem in problems:
                yield invalid(path, shown, f'validating label "{label}": {problem}')
            return


def _conditions(new: JsonObject, old: JsonObject) -> Iterator[Cause]:
    conditions, before = _all(new), [one.get("type", "") for one in _all(old)]
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        path, kind = f"{_CONDITIONS}[{index}]", condition.get("type", "")
        if not kind and "" not in before:
            yield required(f"{path}.type")
        allowed = ("True",) if kind in _FINAL else _STATUSES
        status = condition.get("status", "")
        if not status:
            yield required(f"{path}.status")
        elif status not in allowed:
            yield not_supported(f"{path}.status", status, allowed)
        other = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if other in seen and not set(_DECISIONS) <= set(before):
            yield invalid(
                _CONDITIONS, kind, "Approved and Denied conditions are mutually exclusive"
            )
        if kind in seen and len(set(before)) == len(before):
            yield duplicate(f"{path}.type", kind)
        seen.add(kind)


def _removed(new: JsonObject, old: JsonObject) -> Iterator[Cause]:
    for kind in _FINAL:
        if len(_of_type(new, kind)) < len(_of_type(old, kind)):
            yield forbidden(_CONDITIONS, f'updates may not remove a condition of type "{kind}"')


def _all(tree: JsonObject) -> list[JsonObject]:
    return (tree.get("status") or {}).get("conditions") or []


def _of_type(tree: JsonObject, kind: str) -> list[JsonObject]:
    return [one for one in _all(tree) if one.get("type") == kind]


def _certificate(tree: JsonObject) -> str:
    return (tree.get("status") or {}).get("certificate") or ""
