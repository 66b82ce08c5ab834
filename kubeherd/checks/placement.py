"""Which nodes a pod may run on, as far as the Node's labels and taints decide.

Sources: Kubernetes' concepts "Assigning Pods to Nodes" and "Taints and Tolerations";
docs/spec/daemonset-controller.md 4. Written here once more, so that checks share no code with the
scheduler and the DaemonSet controller.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from kubeherd.checks.objects import items, labels, name_of, part, text, words
from kubeherd.history.records import Object

_ALWAYS: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK: Final = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class Fit(msgspec.Struct, frozen=True):
    """Whether a daemon pod must run on a node, and whether one that is there may stay."""

    should_run: bool
    may_stay: bool


def daemon_fit(template: Object, node: Object) -> Fit:
    """How the pods of a DaemonSet with this pod template fit a node."""
    spec = part(template, "spec")
    if text(spec, "nodeName") not in ("", name_of(node)) or not _selected(spec, node):
        return Fit(False, False)
    tolerations = [*items(spec, "tolerations"), *_daemon_tolerations(spec)]
    untolerated = _untolerated(node, tolerations)
    return Fit(not untolerated, "NoExecute" not in untolerated)


def may_be_bound(pod: Object, node: Object) -> bool:
    """Whether the scheduler may put a pod on a node, as far as labels and taints decide."""
    spec = part(pod, "spec")
    return _selected(spec, node) and not _untolerated(node, items(spec, "tolerations"))


def tolerates(pod: Object, taint: Object) -> bool:
    """Whether a pod tolerates a taint, for however long."""
    return any(_tolerates(one, taint) for one in items(pod, "spec", "tolerations"))


def _daemon_tolerations(spec: Object) -> Iterable[Object]:
    for key, effect in (*_ALWAYS, *((_NETWORK,) if spec.get("hostNetwork") is True else ())):
        yield {"key": key, "operator": "Exists", "effect": effect}


def _untolerated(node: Object, tolerations: Sequence[Object]) -> set[str]:
    """The effects, NoSchedule and NoExecute, of the node's taints that are not tolerated."""
    return {
        text(taint, "effect")
        for taint in items(node, "spec", "taints")
        if taint.get("effect") in ("NoSchedule", "NoExecute")
        and not any(_tolerates(one, taint) for one in tolerations)
    }


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("key") not in (None, "", taint.get("key")):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return (toleration.get("value") or "") == (taint.get("value") or "")


def _selected(spec: Object, node: Object) -> bool:
    has = labels(node)
    if any(has.get(key) != value for key, value in part(spec, "nodeSelector").items()):
        return False
    affinity = part(spec, "affinity", "nodeAffinity")
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(term, node) for term in items(part(required), "nodeSelectorTerms"))


def _term(term: Object, node: Object) -> bool:
    expressions, fields = items(term, "matchExpressions"), items(term, "matchFields")
    if not expressions and not fields:
        return False
    name = {"metadata.name": name_of(node)}
    return all(_matches(one, labels(node)) for one in expressions) and all(
        text(one, "key") in name and _matches(one, name) for one in fields
    )


_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "Gt": lambda has, wanted: has > wanted,
    "Lt": lambda has, wanted: has < wanted,
}


def _matches(requirement: Object, of: Object) -> bool:
    values, value = words(requirement, "values"), of.get(requirement.get("key", ""))
    match requirement.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                return value is not None and _NUMBERS[operator](int(value), int(values[0]))
            except (ValueError, IndexError):
                return False
        case _:
            return False
