"""Rules of LimitRanges and ResourceQuotas (pkg/apis/core/validation, v1.36)."""

from itertools import chain

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.quantity import Quantity
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    required,
)
from kubeherd.cluster.api.validation.checks import each, immutable
from kubeherd.cluster.api.validation.pods.resources import (
    amount,
    any_resource_name,
    overcommit_allowed,
    quota_resource_name,
    resource_name,
)

_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_SCOPES = (
    "BestEffort", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip
_CROSS = "CrossNamespacePodAffinity"
_CONFLICTING = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_COMPUTE = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
})  # fmt: skip
_EXISTS_ONLY = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def create_limit_range(tree: JsonObject) -> list[Cause]:
    """A LimitRange: names, and amounts that go together."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, item in each((tree.get("spec") or {}).get("limits"), "spec.limits"):
        kind = item.get("type", "")
        problems = names.qualified_name(kind)
        if not problems and "/" not in kind and kind not in _TYPES:
            problems = ["must be a standard limit type or fully qualified"]
        causes += invalid_each(f"{at}.type", kind, problems)
        if kind in seen:
            causes.append(duplicate(f"{at}.type", kind))
        seen.add(kind)
        causes += _limit(item, kind, at)
    return causes


def _limit(item: JsonObject, kind: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    name_rule = resource_name if kind in ("Pod", "Container") else any_resource_name
    amounts: dict[str, dict[str, Quantity]] = {}
    for name in _LISTS:
        if kind == "Pod" and name in ("default", "defaultRequest"):
            amounts[name] = {}
            if item.get(name):
                detail = "may not be specified when `type` is 'Pod'"
                causes.append(forbidden(f"{path}.{name}", detail))
            continue
        amounts[name] = {key: quantity.parse(text) for key, text in (item.get(name) or {}).items()}
        for key in amounts[name]:
            causes += name_rule(key, f"{path}.{name}[{key}]")
    bounded = any("storage" in (item.get(name) or {}) for name in ("min", "max"))
    if kind == "PersistentVolumeClaim" and not bounded:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        causes.append(required(f"{path}.limits", detail))
    for key in dict.fromkeys(chain.from_iterable(amounts.values())):
        causes += _together(key, {name: of[key] for name, of in amounts.items() if key in of}, path)
    return causes


_ORDER = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest",
     "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest",
     "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest",
     "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)  # fmt: skip
"""(may not be above, this; the field that is refused, the amount that is shown, the text)."""


def _together(key: str, given: dict[str, Quantity], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for low, high, field, value, text in _ORDER:
        if low in given and high in given and given[low] > given[high]:
            detail = text.format(given[low].canonical(), given[high].canonical())
            causes.append(invalid(f"{path}.{field}[{key}]", given[value].canonical(), detail))
    causes += _ratio(key, given, path)
    default, request = given.get("default"), given.get("defaultRequest")
    if default and request and default != request and not overcommit_allowed(key):
        shown = request.canonical()
        detail = (
            f"default value {default.canonical()} must equal to defaultRequest value {shown} "
            f"in {key}"
        )
        causes.append(invalid(f"{path}.defaultRequest[{key}]", shown, detail))
    return causes


def _ratio(key: str, given: dict[str, Quantity], path: str) -> list[Cause]:
    ratio = given.get("maxLimitRequestRatio")
    if ratio is None:
        return []
    shown, at = ratio.canonical(), f"{path}.maxLimitRequestRatio[{key}]"
    causes: list[Cause] = []
    if ratio < quantity.parse("1"):
        causes.append(invalid(at, shown, f"ratio {shown} is less than 1"))
    low, high = given.get("min"), given.get("max")
    if low is not None and high is not None and low.milli_value():
        highest = high.milli_value() / low.milli_value()
        if ratio.milli_value() / 1000 > highest:
            causes.append(
                invalid(at, shown, f"ratio {shown} is greater than max/min = {highest:f}")
            )
    return causes


def create_resource_quota(tree: JsonObject) -> list[Cause]:
    """A ResourceQuota: names, amounts and scopes."""
    spec = tree.get("spec") or {}
    hard = spec.get("hard") or {}
    causes = _quota_amounts(hard, "spec.hard")
    scopes = spec.get("scopes") or []
    causes += [
        cause
        for scope in scopes
        for cause in _scope(scope, hard, "spec.scopes", "spec.scopes", scopes)
    ]
    causes += _conflicts(scopes, "spec.scopes", scopes)
    return causes + _scope_selector(spec, hard)


def _quota_amounts(amounts: JsonObject | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name, text in (amounts or {}).items():
        at = f"{path}[{name}]"
        causes += quota_resource_name(name, at)
        causes += amount(name, text, at)
    return causes


def _scope(
    scope: str, hard: JsonObject, named_at: str, path: str, shown: list[str] | JsonObject
) -> list[Cause]:
    causes: list[Cause] = []
    if scope not in _SCOPES and scope != _CROSS:
        value = scope if named_at != path else shown
        causes.append(invalid(named_at, value, "unsupported scope"))
    causes += [
        invalid(path, shown, "unsupported scope applied to resource")
        for name in sorted(hard)
        if not quota_resource_name(name, "") and "/" not in name and not _counts(scope, name)
    ]
    return causes


def _counts(scope: str, name: str) -> bool:
    if scope == "BestEffort":
        return name == "pods"
    if scope in ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", _CROSS):
        return name == "pods" or name in _COMPUTE or "hugepages-" in name
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return True


def _conflicts(scopes: list[str], path: str, shown: list[str] | None) -> list[Cause]:
    return [
        invalid(path, shown, "conflicting scopes")
        for pair in _CONFLICTING
        if set(pair) <= set(scopes)
    ]


def _scope_selector(spec: JsonObject, hard: JsonObject) -> list[Cause]:
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path = "spec.scopeSelector.matchExpressions"
    causes: list[Cause] = []
    scopes = []
    for requirement in selector.get("matchExpressions") or ():
        scope, operator = requirement.get("scopeName", ""), requirement.get("operator", "")
        values = requirement.get("values") or []
        scopes.append(scope)
        causes += _scope(scope, hard, f"{path}.scopeName", path, selector)
        always = scope in (*_CONFLICTING[0], *_CONFLICTING[1], _CROSS)
        if always and operator != "Exists":
            causes.append(invalid(f"{path}.operator", operator, _EXISTS_ONLY))
        if operator in ("In", "NotIn"):
            if not values:
                detail = (
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope "
                    "selector"
                )
                causes.append(required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = (
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
                    "selector"
                )
                causes.append(invalid(f"{path}.values", values, detail))
        else:
            causes.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return causes + _conflicts(scopes, path, spec.get("scopes"))


def update_resource_quota(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ResourceQuota: its scopes stay."""
    after = (new.get("spec") or {}).get("scopes")
    before = (old.get("spec") or {}).get("scopes")
    causes = create_resource_quota(new)
    if set(after or ()) != set(before or ()):
        causes += immutable(after, before, "spec.scopes")
    return causes


def update_resource_quota_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """What a quota has counted."""
    status = new.get("status") or {}
    causes = _quota_amounts(status.get("hard"), "status.hard")
    return causes + _quota_amounts(status.get("used"), "status.used")
