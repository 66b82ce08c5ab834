"""Rules of ControllerRevision, Deployment, ReplicaSet, StatefulSet and PodTemplate."""

from kubeherd.cluster.api import labels, names
from kubeherd.cluster.api.errors import ApiError, Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import gostructs, objectmeta
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import (
    count_or_percent,
    each,
    immutable,
    label_selector,
    not_negative,
    percent_at_most_100,
    scaled_number,
)
from kubeherd.cluster.api.validation.pods.pod_spec import pod_template
from kubeherd.cluster.api.validation.storage.claims import claim_spec
from kubeherd.cluster.api.validation.workloads.daemonset import selector_matches_template

_RETENTION = ("Retain", "Delete")
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
    """Replicas and selector, as Deployment, ReplicaSet and StatefulSet have them; then the
    template, unless the selector is so bad that nothing can be said about it."""
    causes = not_negative(spec, "replicas", "spec")
    causes += not_negative(spec, "minReadySeconds", "spec")
    selector = spec.get("selector")
    if selector is None:
        causes.append(required("spec.selector"))
    else:
        causes += label_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            called = "statefulset" if kind == "statefulset" else "deployment"
            detail = f"empty selector is invalid for {called}"
            causes.append(invalid("spec.selector", gostructs.label_selector(selector), detail))
    try:
        labels.from_selector(selector)
    except (ApiError, ValueError):
        detail = "" if kind == "statefulset" else "invalid label selector"
        return [*causes, invalid("spec.selector", gostructs.label_selector(selector), detail)]
    return causes + selector_matches_template(spec, "spec") + _template(spec, kind)


def _template(spec: JsonObject, kind: str) -> list[Cause]:
    template = spec.get("template") or {}
    causes = pod_template(template, "spec.template")
    if kind == "statefulset":
        meta = template.get("metadata") or {}
        causes += objectmeta.labels(meta.get("labels"), "spec.template.labels")
        causes += objectmeta.annotations(meta.get("annotations"), "spec.template.annotations")
    template_spec = template.get("spec") or {}
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
    after, before = (
        gostructs.label_selector((tree.get("spec") or {}).get("selector")) for tree in (new, old)
    )
    return immutable(after, before, "spec.selector")


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
    name = spec.get("serviceName", "")
    causes = invalid_each("spec.serviceName", name, names.dns_label(name)) if name else []
    for at, claim in each(spec.get("volumeClaimTemplates"), "spec.volumeClaimTemplates"):
        causes += claim_spec(claim.get("spec") or {}, f"{at}.spec")
    return causes + _stateful_set(spec)


def _stateful_set(spec: JsonObject) -> list[Cause]:
    causes: list[Cause] = []
    policy = spec.get("podManagementPolicy", "")
    if policy not in ("OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        causes.append(invalid("spec.podManagementPolicy", policy, detail))
    causes += _stateful_set_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        value = retention.get(name, "Retain")
        if value not in _RETENTION:
            at = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
            causes.append(not_supported(at, value, _RETENTION))
    causes += not_negative(spec.get("ordinals") or {}, "start", "spec.ordinals")
    return causes + _workload(_with_claimed_volumes(spec), "statefulset")


def _stateful_set_strategy(strategy: JsonObject, path: str) -> list[Cause]:
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    at = f"{path}.rollingUpdate"
    if kind not in ("OnDelete", "RollingUpdate"):
        detail = "must be 'RollingUpdate' or 'OnDelete'"
        return [invalid(path, gostructs.stateful_set_strategy(strategy), detail)]
    if rolling is None:
        return []
    if kind == "OnDelete":
        shown = gostructs.stateful_set_rolling_update(rolling)
        return [invalid(at, shown, "only allowed for updateStrategy 'RollingUpdate'")]
    causes = not_negative(rolling, "partition", at)
    unavailable = rolling.get("maxUnavailable")
    if unavailable is not None:
        causes += count_or_percent(unavailable, f"{at}.maxUnavailable")
        if scaled_number(unavailable) == 0:
            causes.append(invalid(f"{at}.maxUnavailable", unavailable, "cannot be 0"))
        causes += percent_at_most_100(unavailable, f"{at}.maxUnavailable")
    return causes


def _with_claimed_volumes(spec: JsonObject) -> JsonObject:
    """The spec as its pods will have it: a volume per claim template, and names of their own."""
    template = spec.get("template") or {}
    pod = {
        name: value
        for name, value in (template.get("spec") or {}).items()
        if name not in ("hostname", "subdomain")
    }
    claims = [
        (claim.get("metadata") or {}).get("name", "")
        for claim in spec.get("volumeClaimTemplates", ())
    ]
    if claims:
        claimed = [
            {"name": name, "persistentVolumeClaim": {"claimName": name}}
            for name in dict.fromkeys(claims)
        ]
        others = [one for one in pod.get("volumes", ()) if one.get("name", "") not in claims]
        pod["volumes"] = claimed + others
    return {**spec, "template": {**template, "spec": pod}}


def update_stateful_set(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed StatefulSet: most of the spec stays."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    causes = _stateful_set(after)
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


def create_pod_template(tree: JsonObject) -> list[Cause]:
    """A PodTemplate."""
    return pod_template(tree.get("template") or {}, "template")
