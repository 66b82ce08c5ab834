"""Rules of taints and tolerations (spec api-machinery, 18; node-lifecycle, 16)."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import gostructs
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def tolerations(items: list[JsonObject] | None, path: str) -> list[Cause]:
    """``spec.tolerations`` of a pod."""
    causes: list[Cause] = []
    for at, toleration in each(items, path):
        causes += _toleration(toleration, at)
    return causes


def _toleration(toleration: JsonObject, path: str) -> list[Cause]:
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    value, effect = toleration.get("value", ""), toleration.get("effect", "")
    causes = invalid_each(f"{path}.key", key, names.qualified_name(key)) if key else []
    if not key and operator != "Exists":
        detail = (
            'operator must be Exists when `key` is empty, which means "match all values and all '
            'keys"'
        )
        causes.append(invalid(f"{path}.operator", operator, detail))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(invalid(f"{path}.effect", effect, detail))
    if operator in ("", "Equal"):
        problems = names.label_value(value)
        if problems:
            causes.append(invalid(f"{path}.operator", value, ";".join(problems)))
    elif operator == "Exists":
        if value:
            detail = "value must be empty when `operator` is 'Exists'"
            causes.append(invalid(f"{path}.operator", value, detail))
    else:
        causes.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in EFFECTS:
        causes.append(not_supported(f"{path}.effect", effect, EFFECTS))
    return causes


def taints(items: list[JsonObject] | None, path: str) -> list[Cause]:
    """``spec.taints`` of a node: unique by key and effect."""
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for at, taint in each(items, path):
        key, value, effect = taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
        causes += invalid_each(f"{at}.key", key, names.qualified_name(key))
        problems = names.label_value(value)
        if problems:
            causes.append(invalid(f"{at}.value", value, ";".join(problems)))
        if not effect:
            causes.append(required(f"{at}.effect"))
        elif effect not in EFFECTS:
            causes.append(not_supported(f"{at}.effect", effect, EFFECTS))
        if (key, effect) in seen:
            causes.append(_duplicate_taint(at, taint))
        seen.add((key, effect))
    return causes


def _duplicate_taint(path: str, taint: JsonObject) -> Cause:
    from_go = duplicate(path, gostructs.taint(taint))
    detail = "taints must be unique by key and effect pair"
    return Cause(from_go.reason, f"{from_go.message}: {detail}", path)
