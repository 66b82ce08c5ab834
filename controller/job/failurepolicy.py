"""What ``podFailurePolicy`` says of a failed pod (spec job-controller 8).

Rules are tried in order and the first that matches decides; without one the failure counts.
"""

from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.workload.jobs import (
    FailureAction,
    FailureRule,
    OnExitCodes,
    OnPodCondition,
    PodFailurePolicy,
)


class Verdict(msgspec.Struct, frozen=True):
    """Whether a failure counts towards the limits, the action of the rule that matched, and why
    the whole Job has failed ("" if it has not)."""

    counts: bool = True
    action: FailureAction | None = None
    message: str = ""


COUNTS = Verdict()


def judge(policy: PodFailurePolicy | None, pod: Pod) -> Verdict:
    """The verdict on a failed pod."""
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        what = _match(rule, pod)
        if not what or rule.action not in list(FailureAction):
            continue
        action = FailureAction(rule.action)
        message = ""
        if action is FailureAction.FAIL_JOB:
            message = f"{what} matching {action.value} rule at index {number}"
        return Verdict(action is not FailureAction.IGNORE, action, message)
    return COUNTS


def _match(rule: FailureRule, pod: Pod) -> str:
    """What of the pod a rule matches, in words; "" if nothing."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.on_exit_codes is not None:
        lists = (pod.status.container_statuses, pod.status.init_container_statuses)
        for statuses in lists:
            ended = _ended(statuses, rule.on_exit_codes)
            if ended is not None:
                code = ended["state"]["terminated"]["exitCode"]
                return f"Container {ended['name']} for pod {name} failed with exit code {code}"
        return ""
    condition = _condition(pod.status.conditions, rule.on_pod_conditions)
    return "" if condition is None else f"Pod {name} has condition {condition.type}"


def _ended(statuses: Iterable[JsonObject], wanted: OnExitCodes) -> JsonObject | None:
    for status in statuses:
        terminated = (status.get("state") or {}).get("terminated")
        if not terminated or wanted.container_name not in (None, status.get("name")):
            continue
        code = terminated.get("exitCode") or 0
        if code == 0:
            continue
        if (wanted.operator == "In" and code in wanted.values) or (
            wanted.operator == "NotIn" and code not in wanted.values
        ):
            return status
    return None


def _condition(
    conditions: Iterable[Condition], patterns: Iterable[OnPodCondition]
) -> Condition | None:
    wanted = {(pattern.type, pattern.status) for pattern in patterns}
    return next((c for c in conditions if (c.type, c.status) in wanted), None)
