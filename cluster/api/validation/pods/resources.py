"""Rules of resource requests and limits (spec api-machinery, section 18)."""

from collections.abc import Collection

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_found,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import NOT_NEGATIVE, each

_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_HUGE_PAGES = "hugepages-"
_HUGE_PAGES_ANYWHERE = (_HUGE_PAGES, f"requests.{_HUGE_PAGES}")
_COUNTED = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
    "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
})  # fmt: skip
_STANDARD_ANYWHERE = _COUNTED | _STANDARD | {
    "storage", "requests.storage",
    *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _STANDARD),
}  # fmt: skip
_INTEGER_TEXT = "must be an integer"


def resource_requirements(
    resources: JsonObject | None,
    path: str,
    *,
    pod_level: bool = False,
    pod_claims: Collection[str] = (),
) -> list[Cause]:
    """Limits, requests and claims of a container, or (`pod_level`) of a whole pod; `pod_claims`:
    the names of the pod's resourceClaims."""
    if not resources:
        return []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    causes: list[Cause] = []
    for name, text in limits.items():
        at = f"{path}.limits[{name}]"
        causes += _pod_level_name(name, at) if pod_level else resource_name(name, at)
        causes += amount(name, text, at)
    for name, text in requests.items():
        at = f"{path}.requests[{name}]"
        causes += _pod_level_name(name, at) if pod_level else resource_name(name, at)
        causes += amount(name, text, at)
        causes += _within_limit(name, text, limits.get(name), path)
    given = limits.keys() | requests.keys()
    if any(name.startswith(_HUGE_PAGES) for name in given) and not given & {"cpu", "memory"}:
        causes.append(forbidden(path, "HugePages require cpu or memory"))
    claims = resources.get("claims")
    if pod_level and claims is not None:
        detail = "claims may not be set for Resources at pod-level"
        causes.append(forbidden(f"{path}.claims", detail))
    return causes + _claims(claims, pod_claims, f"{path}.claims")


def _claims(items: list[JsonObject] | None, pod_claims: Collection[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, claim in each(items, path):
        name, request = claim.get("name", ""), claim.get("request", "")
        if not name:
            causes.append(required(at))
            continue
        if name in seen:
            causes.append(duplicate(at, name))
        else:
            if request:
                causes += invalid_each(f"{at}.request", request, names.dns_label(request))
            key = f"{name}/{request}" if request else name
            if key in seen or (not request and any(k.startswith(f"{name}/") for k in seen)):
                causes.append(duplicate(at, key))
            seen.add(key)
        if name not in pod_claims:
            known = f": {', '.join(sorted(pod_claims))}" if pod_claims else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{known}"
            causes.append(not_found(at, name, detail))
    return causes


def _within_limit(name: str, request: str, limit: str | None, path: str) -> list[Cause]:
    if limit is None:
        if overcommit_allowed(name):
            return []
        detail = "Limit must be set for non overcommitable resources"
        return [required(f"{path}.limits", detail)]
    asked, allowed = quantity.parse(request), quantity.parse(limit)
    if asked != allowed and not overcommit_allowed(name):
        detail = f"must be equal to {name} limit of {allowed}"
    elif asked > allowed:
        detail = f"must be less than or equal to {name} limit of {allowed}"
    else:
        return []
    return [invalid(f"{path}.requests", asked.canonical(), detail)]


def is_native(name: str) -> bool:
    """Whether a resource is one of Kubernetes' own."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether a resource is an extended one (``example.com/gpu``)."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def is_integer(name: str) -> bool:
    """Whether a resource is counted in whole numbers."""
    return name in _COUNTED or is_extended(name)


def overcommit_allowed(name: str) -> bool:
    """Whether requests of a resource may be below its limits."""
    return is_native(name) and not name.startswith(_HUGE_PAGES)


def any_resource_name(name: str, path: str) -> list[Cause]:
    """The name of a resource, of whatever it may be."""
    causes = invalid_each(path, name, names.qualified_name(name))
    if not causes and "/" not in name and not _is_standard(name):
        causes.append(invalid(path, name, "must be a standard resource type or fully qualified"))
    return causes


def _is_standard(name: str) -> bool:
    return name in _STANDARD_ANYWHERE or name.startswith(_HUGE_PAGES_ANYWHERE)


def quota_resource_name(name: str, path: str) -> list[Cause]:
    """The name of what a quota counts."""
    causes = any_resource_name(name, path)
    if "/" not in name and (name == "storage" or not _is_standard(name)):
        causes.append(invalid(path, name, "must be a standard resource for quota"))
    return causes


def resource_name(name: str, path: str) -> list[Cause]:
    """The name of a resource of a container."""
    causes = any_resource_name(name, path)
    if "/" not in name and name not in _STANDARD and not name.startswith(_HUGE_PAGES):
        causes.append(invalid(path, name, "must be a standard resource for containers"))
    if not is_native(name) and not is_extended(name):
        causes.append(invalid(path, name, "doesn't follow extended resource name standard"))
    return causes


def _pod_level_name(name: str, path: str) -> list[Cause]:
    if causes := any_resource_name(name, path):
        return causes
    if name in ("cpu", "memory") or name.startswith(_HUGE_PAGES):
        return []
    return [not_supported(path, name, ("cpu", "hugepages-", "memory"))]


def amount(name: str, text: str, path: str) -> list[Cause]:
    """A quantity >= 0, whole for what is counted."""
    parsed = quantity.parse(text)
    causes: list[Cause] = []
    if parsed.nanos < 0:
        causes.append(invalid(path, parsed.canonical(), NOT_NEGATIVE))
    if is_integer(name) and parsed.milli_value() % 1000:
        causes.append(invalid(path, parsed.canonical(), _INTEGER_TEXT))
    return causes
