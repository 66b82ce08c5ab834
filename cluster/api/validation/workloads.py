"""Rules of ControllerRevision, Deployment, ReplicaSet, StatefulSet, Job, CronJob, PodTemplate."""

from kubeherd.cluster.api.errors import Cause
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
from kubeherd.cluster.api.validation.daemonset import selector_matches_template
from kubeherd.cluster.api.validation.pod_spec import pod_template

_STATEFUL_SET_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def create_controller_revision(tree: JsonObject) -> list[Cause]:
    """A ControllerRevision (spec daemonset-controller, section 12)."""
    data = tree.get("data")
    causes: list[Cause] = []
    if data is None:
        causes.append(required("data", "data is mandatory"))
    elif not isinstance(data, dict):
        causes.append(required("data", "data must be a valid JSON object"))
    if tree.get("revision", 0) < 0:
        causes += not_negative(tree, "revision", "")
    return [Cause(c.reason, c.message, c.field.lstrip(".")) for c in causes]


def update_controller_revision(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ControllerRevision: only its number may change."""
    causes = create_controller_revision(new)
    return causes + immutable(new.get("data"), old.get("data"), "data")


def _workload(spec: JsonObject, kind: str) -> list[Cause]:
    """Replicas, selector and template, as Deployment, ReplicaSet and StatefulSet have them."""
    causes = not_negative(spec, "replicas", "spec")
    causes += not_negative(spec, "minReadySeconds", "spec")
    selector = spec.get("selector")
    if selector is None:
        causes.append(required("spec.selector"))
    else:
        causes += label_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            detail = f"empty selector is invalid for {kind}"
            causes.append(invalid("spec.selector", selector, detail))
        causes += selector_matches_template(spec, "spec")
    causes += pod_template(spec.get("template") or {}, "spec.template")
    template_spec = (spec.get("template") or {}).get("spec") or {}
    policy = template_spec.get("restartPolicy", "")
    if policy != "Always":
        causes.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if template_spec.get("activeDeadlineSeconds") is not None:
        shown = "StatefulSet" if kind == "statefulset" else "ReplicaSet"
        detail = f"activeDeadlineSeconds in {shown} is not Supported"
        causes.append(forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return causes


def create_deployment(tree: JsonObject) -> list[Cause]:
    """A Deployment."""
    spec = tree.get("spec") or {}
    causes = _workload(spec, "deployment")
    causes += _deployment_strategy(spec.get("strategy") or {}, "spec.strategy")
    causes += not_negative(spec, "revisionHistoryLimit", "spec")
    causes += not_negative(spec, "progressDeadlineSeconds", "spec")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        detail = "must be greater than minReadySeconds"
        causes.append(invalid("spec.progressDeadlineSeconds", deadline, detail))
    return causes


def _deployment_strategy(strategy: JsonObject, path: str) -> list[Cause]:
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is None:
            return []
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(f"{path}.rollingUpdate", detail)]
    if kind != "RollingUpdate":
        return [not_supported(path, gostructs.strategy(strategy), ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    at = f"{path}.rollingUpdate"
    causes = count_or_percent(unavailable, f"{at}.maxUnavailable")
    causes += count_or_percent(surge, f"{at}.maxSurge")
    if scaled_number(unavailable) == 0 and scaled_number(surge) == 0:
        detail = "may not be 0 when `maxSurge` is 0"
        causes.append(invalid(f"{at}.maxUnavailable", unavailable, detail))
    return causes + percent_at_most_100(unavailable, f"{at}.maxUnavailable")


def _update_selector(new: JsonObject, old: JsonObject) -> list[Cause]:
    after = (new.get("spec") or {}).get("selector")
    return immutable(after, (old.get("spec") or {}).get("selector"), "spec.selector")


def update_deployment(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed Deployment: the selector stays."""
    return _update_selector(new, old) + create_deployment(new)


def create_replica_set(tree: JsonObject) -> list[Cause]:
    """A ReplicaSet."""
    return _workload(tree.get("spec") or {}, "replicaset")


def update_replica_set(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ReplicaSet: the selector stays."""
    return _update_selector(new, old) + create_replica_set(new)


def create_stateful_set(tree: JsonObject) -> list[Cause]:
    """A StatefulSet."""
    spec = tree.get("spec") or {}
    causes: list[Cause] = []
    policy = spec.get("podManagementPolicy", "")
    if policy not in ("OrderedReady", "Parallel"):
        detail = 'must be "OrderedReady" or "Parallel"'
        causes.append(invalid("spec.podManagementPolicy", policy, detail))
    strategy = (spec.get("updateStrategy") or {}).get("type", "")
    if strategy not in ("OnDelete", "RollingUpdate"):
        detail = "must be 'RollingUpdate' or 'OnDelete'"
        causes.append(invalid("spec.updateStrategy", spec.get("updateStrategy"), detail))
    return causes + _workload(spec, "statefulset")


def update_stateful_set(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed StatefulSet: most of the spec stays."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    causes = create_stateful_set(new)
    if any(
        after.get(name) != before.get(name)
        for name in {*after, *before}
        if name not in _STATEFUL_SET_MUTABLE
    ):
        detail = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
            "'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        causes.append(forbidden("spec", detail))
    return causes


def _job_spec(spec: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
        "ttlSecondsAfterFinished",
    ):  # fmt: skip
        causes += not_negative(spec, name, path)
    causes += pod_template(spec.get("template") or {}, f"{path}.template")
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "")
    if policy not in ("OnFailure", "Never"):
        at = f"{path}.template.spec.restartPolicy"
        causes.append(required(at, 'valid values: "OnFailure", "Never"'))
    return causes


def create_job(tree: JsonObject) -> list[Cause]:
    """A Job."""
    return _job_spec(tree.get("spec") or {}, "spec")


def update_job(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed Job: completions and selector stay."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    return create_job(new) + [
        cause
        for name in ("completions", "selector", "completionMode")
        for cause in immutable(after.get(name), before.get(name), f"spec.{name}")
    ]


def create_cron_job(tree: JsonObject) -> list[Cause]:
    """A CronJob."""
    spec = tree.get("spec") or {}
    causes: list[Cause] = [] if spec.get("schedule") else [required("spec.schedule")]
    policy = spec.get("concurrencyPolicy", "")
    if policy not in ("Allow", "Forbid", "Replace"):
        supported = ("Allow", "Forbid", "Replace")
        causes.append(not_supported("spec.concurrencyPolicy", policy, supported))
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    return causes + _job_spec(job, "spec.jobTemplate.spec")


def create_pod_template(tree: JsonObject) -> list[Cause]:
    """A PodTemplate."""
    return pod_template(tree.get("template") or {}, "template")
