"""When a Job counts as failed or as done before its time (pkg/apis/batch/validation)."""

import re

from kubeherd.cluster.api import goformat, names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    invalid,
    invalid_each,
    invalid_whole,
    not_supported,
    required,
    too_long,
    too_many,
)
from kubeherd.cluster.api.validation.checks import each, not_negative

_MAX_RULES = 20
_MAX_EXIT_CODES = 255
_MAX_INDEXES_TEXT = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")


def failure_policy(spec: JsonObject, path: str) -> list[Cause]:
    """``podFailurePolicy`` of a JobSpec."""
    rules = spec["podFailurePolicy"].get("rules") or []
    causes: list[Cause] = []
    if len(rules) > _MAX_RULES:
        causes.append(too_many(f"{path}.rules", len(rules), _MAX_RULES))
    pods = (spec.get("template") or {}).get("spec") or {}
    containers = {
        container.get("name", "")
        for kind in ("containers", "initContainers")
        for container in pods.get(kind) or ()
    }
    for at, rule in each(rules, f"{path}.rules"):
        causes += _failure_rule(rule, at, spec.get("backoffLimitPerIndex") is not None, containers)
    return causes


def _choice(value: str, supported: tuple[str, ...], path: str) -> list[Cause]:
    if not value:
        shown = " ".join(goformat.quoted(item) for item in supported)
        return [required(path, f"valid values: [{shown}]")]
    return [] if value in supported else [not_supported(path, value, supported)]


def _failure_rule(
    rule: JsonObject, path: str, per_index: bool, containers: set[str]
) -> list[Cause]:
    action = rule.get("action", "")
    causes = _choice(action, _ACTIONS, f"{path}.action")
    if action == "FailIndex" and not per_index:
        detail = "requires the backoffLimitPerIndex to be set"
        causes.append(invalid(f"{path}.action", action, detail))
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if codes is not None:
        causes += _exit_codes(codes, f"{path}.onExitCodes", containers)
    if conditions:
        causes += _pod_conditions(conditions, f"{path}.onPodConditions")
    if (codes is None) == (not conditions):
        what = "one of" if codes is None else "both"
        verb = "required" if codes is None else "not supported"
        detail = f"specifying {what} OnExitCodes and OnPodConditions is {verb}"
        causes.append(invalid_whole(path, detail))
    return causes


def _pod_conditions(patterns: list[JsonObject], path: str) -> list[Cause]:
    causes: list[Cause] = []
    if len(patterns) > _MAX_RULES:
        causes.append(too_many(path, len(patterns), _MAX_RULES))
    for at, pattern in each(patterns, path):
        kind = pattern.get("type", "")
        causes += invalid_each(f"{at}.type", kind, names.qualified_name(kind))
        causes += _choice(pattern.get("status", ""), _STATUSES, f"{at}.status")
    return causes


def _exit_codes(codes: JsonObject, path: str, containers: set[str]) -> list[Cause]:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    causes = _choice(operator, _OPERATORS, f"{path}.operator")
    name = codes.get("containerName")
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        causes.append(invalid(f"{path}.containerName", name, detail))
    at = f"{path}.values"
    if not values:
        causes.append(invalid(at, codes.get("values"), "at least one value is required"))
    elif len(values) > _MAX_EXIT_CODES:
        causes.append(too_many(at, len(values), _MAX_EXIT_CODES))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            causes.append(invalid(f"{at}[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            causes.append(duplicate(f"{at}[{index}]", value))
    if values != sorted(values):
        causes.append(invalid(at, values, "must be ordered"))
    return causes


def success_policy(policy: JsonObject, completions: int, path: str) -> list[Cause]:
    """``successPolicy`` of an indexed Job."""
    rules, at = policy.get("rules") or [], f"{path}.rules"
    causes: list[Cause] = []
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        causes.append(required(at, detail))
    if len(rules) > _MAX_RULES:
        causes.append(too_many(at, len(rules), _MAX_RULES))
    for rule_path, rule in each(rules, at):
        causes += _success_rule(rule, completions, rule_path)
    return causes


def _success_rule(rule: JsonObject, completions: int, path: str) -> list[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        return [required(path, detail)]
    causes: list[Cause] = []
    total = 0
    if indexes is not None:
        at = f"{path}.succeededIndexes"
        if len(indexes) > _MAX_INDEXES_TEXT:
            causes.append(too_long(at, _MAX_INDEXES_TEXT))
        try:
            total = _indexes(indexes[: _MAX_INDEXES_TEXT + 1], completions)
        except ValueError as error:
            causes.append(invalid(at, indexes, f"error parsing succeededIndexes: {error}"))
    if count is None:
        return causes
    at = f"{path}.succeededCount"
    causes += not_negative(rule, "succeededCount", path)
    limit = "must be less than or equal to {} (the number of {})"
    if count > completions:
        detail = limit.format(completions, "specified completions")
        causes.append(invalid(at, count, detail))
    if indexes is not None and count > total:
        detail = limit.format(total, "indexes in the specified succeededIndexes field")
        causes.append(invalid(at, count, detail))
    return causes


def _indexes(text: str, completions: int) -> int:
    """How many indexes ``0-3,7`` names; ValueError with the words of Kubernetes."""
    total, last = 0, -1
    for interval in text.split(",") if text else ():
        ends = interval.split("-")
        if len(ends) > 2:
            shown = goformat.quoted(interval)
            raise ValueError(
                f"the fragment {shown} violates the requirement that an index interval can have "
                "at most two parts separated by '-'"
            )
        first, end = _index(ends[0], completions), _index(ends[-1], completions)
        for before, after in ((first - (len(ends) == 1), end), (last, first)):
            if before >= after:
                raise ValueError(f"non-increasing order, previous: {before}, current: {after}")
        total += end - first + 1
        last = end
    return total


def _index(text: str, completions: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(f"cannot convert string to integer for index: {goformat.quoted(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {goformat.quoted(text)}")
    return int(text)
