"""Rules of DaemonSets (spec daemonset-controller, section 12)."""

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import ApiError, Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import gostructs
from kubeherd.cluster.api.validation.causes import forbidden, invalid, not_supported, required
from kubeherd.cluster.api.validation.checks import (
    count_or_percent,
    immutable,
    label_selector,
    not_negative,
    percent_at_most_100,
    scaled_number,
)
from kubeherd.cluster.api.validation.pods.pod_spec import pod_template

_COUNTERS = (
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
    "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
    "collisionCount",
)  # fmt: skip


def create_daemon_set(tree: JsonObject) -> list[Cause]:
    """A new DaemonSet."""
    return _spec(tree.get("spec") or {}, "spec")


def update_daemon_set(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed DaemonSet: the selector stays."""
    selector = (new.get("spec") or {}).get("selector")
    old_selector = (old.get("spec") or {}).get("selector")
    after, before = gostructs.label_selector(selector), gostructs.label_selector(old_selector)
    return immutable(after, before, "spec.selector") + create_daemon_set(new)


def update_daemon_set_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of a DaemonSet: counters are not negative, collisionCount never shrinks."""
    status = new.get("status") or {}
    causes = [cause for name in _COUNTERS for cause in not_negative(status, name, "status")]
    before = (old.get("status") or {}).get("collisionCount")
    after = status.get("collisionCount")
    if before is not None and (after is None or after < before):
        causes.append(invalid("status.collisionCount", after or 0, "cannot be decremented"))
    return causes


def selector_matches_template(spec: JsonObject, path: str) -> list[Cause]:
    """The selector of a workload must select its own pods."""
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    try:
        matches = labels.from_selector(spec.get("selector")).matches(template_labels or {})
    except (ApiError, ValueError):
        return []  # the selector itself is refused
    if matches:
        return []
    shown = None if template_labels is None else dict(sorted(template_labels.items()))
    detail = "`selector` does not match template `labels`"
    return [invalid(f"{path}.template.metadata.labels", shown, detail)]


def _spec(spec: JsonObject, path: str) -> list[Cause]:
    selector = spec.get("selector")
    template_spec = (spec.get("template") or {}).get("spec") or {}
    causes = label_selector(selector, f"{path}.selector")
    causes += selector_matches_template(spec, path)
    if selector is not None and not selector.get("matchLabels") and not (
        selector.get("matchExpressions")
    ):  # fmt: skip
        detail = "empty selector is invalid for daemonset"
        causes.append(invalid(f"{path}.selector", gostructs.label_selector(selector), detail))
    causes += pod_template(spec.get("template") or {}, f"{path}.template")
    restart_policy = template_spec.get("restartPolicy", "")
    if restart_policy != "Always":
        at = f"{path}.template.spec.restartPolicy"
        causes.append(not_supported(at, restart_policy, ("Always",)))
    if template_spec.get("activeDeadlineSeconds") is not None:
        at = f"{path}.template.spec.activeDeadlineSeconds"
        causes.append(forbidden(at, "activeDeadlineSeconds in DaemonSet is not Supported"))
    causes += not_negative(spec, "minReadySeconds", path)
    causes += _update_strategy(spec.get("updateStrategy") or {}, f"{path}.updateStrategy")
    return causes + not_negative(spec, "revisionHistoryLimit", path)


def _update_strategy(strategy: JsonObject, path: str) -> list[Cause]:
    kind = strategy.get("type", "")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [not_supported(path, gostructs.strategy(strategy), ("RollingUpdate", "OnDelete"))]
    if strategy.get("rollingUpdate") is None:
        return [required(f"{path}.rollingUpdate")]
    return _rolling_update(strategy["rollingUpdate"], f"{path}.rollingUpdate")


def _rolling_update(rolling: JsonObject, path: str) -> list[Cause]:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    causes = count_or_percent(unavailable, f"{path}.maxUnavailable")
    causes += count_or_percent(surge, f"{path}.maxSurge")
    causes += percent_at_most_100(unavailable, f"{path}.maxUnavailable")
    causes += percent_at_most_100(surge, f"{path}.maxSurge")
    has_unavailable, has_surge = scaled_number(unavailable) != 0, scaled_number(surge) != 0
    if has_unavailable and has_surge:
        detail = "may not be set when maxUnavailable is non-zero"
        causes.append(invalid(f"{path}.maxSurge", surge, detail))
    elif not has_unavailable and not has_surge:
        detail = "cannot be 0 when maxSurge is 0"
        causes.append(required(f"{path}.maxUnavailable", detail))
    return causes
