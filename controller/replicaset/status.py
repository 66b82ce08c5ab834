"""The status of a ReplicaSet (spec replicaset-controller 7). Pure.

Invariants: available <= ready <= replicas, fully labeled <= replicas; conditions of others are
left as they are.
"""

from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api.helpers.podutil import AgeOf
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.replicaset.model import (
    REPLICA_FAILURE,
    Count,
    Failure,
    Numbers,
)
from kubeherd.controller.workload.apps import ReplicaSet, ReplicaSetStatus
from kubeherd.controller.workload.pods.activepods import until_available_s


def count(
    replicaset: ReplicaSet, pods: Iterable[Pod], terminating: int | None, age_s: AgeOf
) -> Count:
    """Count the active pods, and find when the next of them becomes available.

    One reading of an age serves both, so that no pod falls between them.
    """
    min_ready_s = replicaset.spec.min_ready_seconds
    template = (replicaset.spec.template.get("metadata") or {}).get("labels") or {}
    labels = template.items()
    replicas = fully_labeled = ready = available = 0
    next_s: float | None = None
    for pod in pods:
        replicas += 1
        fully_labeled += labels <= pod.metadata.labels.items()
        if not pod.ready:
            continue
        ready += 1
        wait_s = until_available_s(pod, min_ready_s, age_s)
        if wait_s == 0:
            available += 1
        elif wait_s is not None and (next_s is None or wait_s < next_s):
            next_s = wait_s
    if next_s is None and ready != available:
        next_s = float(min_ready_s)
    return Count(Numbers(replicas, fully_labeled, ready, available, terminating), next_s)


def changed(
    replicaset: ReplicaSet, numbers: Numbers, failure: Failure | None, now: str
) -> JsonObject | None:
    """The status to write, as Kubernetes serialises it; None if what is stored says the same.

    `now`: the time at which a new condition begins.
    """
    stored = replicaset.status
    conditions = _conditions(stored, failure, now)
    status = ReplicaSetStatus(
        replicas=numbers.replicas,
        fully_labeled_replicas=numbers.fully_labeled,
        ready_replicas=numbers.ready,
        available_replicas=numbers.available,
        terminating_replicas=numbers.terminating,
        observed_generation=replicaset.metadata.generation,
        conditions=conditions,
    )
    if status == stored:
        return None
    tree: JsonObject = msgspec.to_builtins(status)
    return {"replicas": numbers.replicas, **tree}


def _conditions(stored: ReplicaSetStatus, failure: Failure | None, now: str) -> list[Condition]:
    """The first failure is told until a sync has none; what fails meanwhile changes nothing."""
    has_one = any(condition.type == REPLICA_FAILURE for condition in stored.conditions)
    if failure is None and has_one:
        return [each for each in stored.conditions if each.type != REPLICA_FAILURE]
    if failure is None or has_one:
        return stored.conditions
    told = Condition(
        type=REPLICA_FAILURE,
        status="True",
        reason=failure.reason.value,
        message=failure.message,
        last_transition_time=now,
    )
    return [*stored.conditions, told]
