"""What a PodDisruptionBudget says to the eviction of one of its pods (spec api-machinery, 9). Pure.

Invariant: what is spent is never more than what the disruption controller allowed for the budget's
present spec.
"""

from collections.abc import Iterable, Mapping

from kubeherd.cluster.api import errors, kinds, labels
from kubeherd.cluster.api.jsontypes import JsonObject

MAX_DISRUPTED_PODS = 2000
_TEXT = "Cannot evict pod as it would violate the pod's disruption budget."
_ALLOWED = "DisruptionAllowed"
_NEXT_TRY_S = 10


def budget_of(pod: JsonObject, budgets: Iterable[JsonObject]) -> JsonObject | None:
    """The budget that guards a pod (of those in its namespace); PlainError if there are several."""
    pod_labels = pod["metadata"].get("labels") or {}
    found = [one for one in budgets if _selects(one, pod_labels)]
    if len(found) > 1:
        raise errors.PlainError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support."
        )
    return found[0] if found else None


def _selects(budget: JsonObject, pod_labels: Mapping[str, str]) -> bool:
    try:
        selector = labels.from_selector((budget.get("spec") or {}).get("selector"))
    except errors.BadRequest:
        return False
    return selector.matches(pod_labels)


def goes_free(pod: JsonObject, budget: JsonObject) -> bool:
    """Whether a pod that is not ready goes without a disruption being spent: it is no part of what
    is healthy."""
    if _is_true(pod, "Ready"):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = int(status.get("desiredHealthy") or 0)
    return int(status.get("currentHealthy") or 0) >= desired > 0


def spend(budget: JsonObject, pod_name: str, now: str) -> JsonObject:
    """The budget after one disruption; TooManyRequests if there is none to spend, Forbidden."""
    status = dict(budget.get("status") or {})
    allowed = int(status.get("disruptionsAllowed") or 0)
    disrupted = dict(status.get("disruptedPods") or {})
    name = budget["metadata"]["name"]
    if int(status.get("observedGeneration") or 0) < int(budget["metadata"].get("generation") or 0):
        raise in_progress(name)
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(disrupted) > MAX_DISRUPTED_PODS:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise _forbidden(name, why)
    if allowed == 0:
        raise _too_many(_refusal(name, status), 0)
    disrupted[pod_name] = now
    status.update(disruptionsAllowed=allowed - 1, disruptedPods=disrupted)
    if allowed == 1:
        status["conditions"] = _exhausted(status, now)
    return {**budget, "status": status}


def in_progress(name: str) -> errors.TooManyRequests:
    """The answer where the controller has yet to catch up with the budget, or with its pods."""
    text = f"The disruption budget {name} is still being processed by the server."
    return _too_many(text, _NEXT_TRY_S)


def _refusal(name: str, status: JsonObject) -> str:
    """Why nothing may be evicted now."""
    condition = _condition(status)
    message, reason = condition.get("message") or "", condition.get("reason")
    says_no = condition.get("status") == "False" and message
    healthy, desired = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    if says_no and reason == "SyncFailed":
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it "
            f"failed sync: {message}"
        )
    if healthy <= desired:
        return (
            f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        )
    detail = f" ({reason}): {message}" if says_no else ""
    return f"The disruption budget {name} does not allow evicting pods currently{detail}"


def _too_many(text: str, after_s: int) -> errors.TooManyRequests:
    details: JsonObject = {"causes": [{"reason": "DisruptionBudget", "message": text}]}
    if after_s:
        details["retryAfterSeconds"] = after_s
    return errors.TooManyRequests(_TEXT, details=details)


def _forbidden(name: str, why: str) -> errors.Forbidden:
    singular = kinds.PODDISRUPTIONBUDGETS.singular
    return errors.Forbidden(
        f'{singular}.policy "{name}" is forbidden: {why}',
        details={"name": name, "group": "policy", "kind": singular},
    )


def _condition(status: JsonObject) -> JsonObject:
    conditions = status.get("conditions") or ()
    return next((one for one in conditions if one.get("type") == _ALLOWED), {})


def _exhausted(status: JsonObject, now: str) -> list[JsonObject]:
    """The conditions when the last disruption has been spent."""
    old = _condition(status)
    new = {
        "type": _ALLOWED,
        "status": "False",
        "observedGeneration": status.get("observedGeneration") or 0,
        "lastTransitionTime": now if old.get("status") != "False" else old["lastTransitionTime"],
        "reason": "InsufficientPods",
        "message": "",
    }
    others = [one for one in status.get("conditions") or () if one.get("type") != _ALLOWED]
    return [*others, new]


def _is_true(pod: JsonObject, condition: str) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == condition and one.get("status") == "True" for one in conditions)
