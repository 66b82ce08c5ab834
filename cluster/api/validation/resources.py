"""Rules of resource requests and limits (spec api-machinery, section 18)."""

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid, invalid_each, not_supported, required
from kubeherd.cluster.api.validation.checks import NOT_NEGATIVE

_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_HUGE_PAGES = "hugepages-"
_INTEGER_TEXT = "must be an integer"


def resource_requirements(
    resources: JsonObject | None, path: str, *, pod_level: bool = False
) -> list[Cause]:
    """Limits and requests of a container, or (`pod_level`) of a whole pod."""
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
    return causes


def _within_limit(name: str, request: str, limit: str | None, path: str) -> list[Cause]:
    if limit is None:
        if _overcommit_allowed(name):
            return []
        detail = "Limit must be set for non overcommitable resources"
        return [required(f"{path}.limits", detail)]
    asked, allowed = quantity.parse(request), quantity.parse(limit)
    if asked != allowed and not _overcommit_allowed(name):
        detail = f"must be equal to {name} limit of {allowed}"
    elif asked > allowed:
        detail = f"must be less than or equal to {name} limit of {allowed}"
    else:
        return []
    return [invalid(f"{path}.requests", asked.canonical(), detail)]


def is_extended(name: str) -> bool:
    """Whether a resource is an extended one (``example.com/gpu``)."""
    domain, slash, _ = name.partition("/")
    if not slash or name.startswith("requests."):
        return False
    return domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


def _overcommit_allowed(name: str) -> bool:
    return not is_extended(name) and not name.startswith(_HUGE_PAGES)


def resource_name(name: str, path: str) -> list[Cause]:
    """The name of a resource of a container."""
    causes = invalid_each(path, name, names.qualified_name(name))
    if causes:
        return causes
    if "/" not in name:
        if name in _STANDARD or name.startswith(_HUGE_PAGES):
            return []
        return [invalid(path, name, "must be a standard resource for containers")]
    if is_extended(name) and names.qualified_name(f"requests.{name}"):
        return [invalid(path, name, "doesn't follow extended resource name standard")]
    return []


def _pod_level_name(name: str, path: str) -> list[Cause]:
    if name in ("cpu", "memory") or name.startswith(_HUGE_PAGES):
        return []
    return [not_supported(path, name, ("cpu", "hugepages-", "memory"))]


def amount(name: str, text: str, path: str) -> list[Cause]:
    """A quantity >= 0, whole for extended resources."""
    parsed = quantity.parse(text)
    causes: list[Cause] = []
    if parsed.nanos < 0:
        causes.append(invalid(path, parsed.canonical(), NOT_NEGATIVE))
    if is_extended(name) and parsed.milli_value() % 1000:
        causes.append(invalid(path, parsed.canonical(), _INTEGER_TEXT))
    return causes


def resource_amounts(amounts: JsonObject | None, path: str) -> list[Cause]:
    """A list of resources without limits beside them (overhead, capacity, quotas)."""
    causes: list[Cause] = []
    for name, text in (amounts or {}).items():
        at = f"{path}[{name}]"
        causes += invalid_each(at, name, names.qualified_name(name))
        causes += amount(name, text, at)
    return causes
