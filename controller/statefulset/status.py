"""The status of a StatefulSet (spec section 8).

Invariants: available never exceeds ready, ready never exceeds replicas; what is being deleted
counts as a replica, but as one of no revision.
"""

from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api.helpers.podutil import (
    AgeOf,
    is_available,
    is_terminating,
    ready_condition,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.statefulset.identity import ordinals
from kubeherd.controller.statefulset.model import History, StatusNumbers
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.pods.activepods import until_available_s
from kubeherd.controller.workload.revisions import REVISION_LABEL

ROLLING_UPDATE = "RollingUpdate"


def count(
    statefulset: StatefulSet, history: History, pods: Iterable[Pod], age_s: AgeOf
) -> StatusNumbers:
    """Count the pods of the StatefulSet, condemned ones included."""
    min_ready_s = statefulset.spec.min_ready_seconds
    current_name, update_name = history.current.name, history.update.name
    replicas = ready = available = current = updated = 0
    for pod in pods:
        replicas += 1
        if is_running_and_ready(pod):
            ready += 1
            available += is_available(pod, min_ready_s, age_s)
        if not is_terminating(pod):
            revision = pod.metadata.labels.get(REVISION_LABEL, "")
            current += revision == current_name
            updated += revision == update_name
    return StatusNumbers(
        replicas=replicas,
        ready=ready,
        available=available,
        current=current,
        updated=updated,
        current_revision=current_name,
        update_revision=update_name,
        collision_count=history.collision_count,
    )


def is_running_and_ready(pod: Pod) -> bool:
    """Whether the pod's phase is Running and its condition Ready is True."""
    return pod.status.phase == "Running" and ready_condition(pod) is not None


def without_one(numbers: StatusNumbers) -> StatusNumbers:
    """The same when a pod was deleted for the update: one less of the current revision."""
    return msgspec.structs.replace(numbers, current=max(0, numbers.current - 1))


def completed(statefulset: StatefulSet, numbers: StatusNumbers) -> StatusNumbers:
    """The same with the update revision as the current one, if the update is through (8.2)."""
    wanted = len(ordinals(statefulset))
    if statefulset.spec.update_strategy.type != ROLLING_UPDATE or not (
        numbers.updated == numbers.ready == numbers.replicas == wanted
    ):
        return numbers
    return msgspec.structs.replace(
        numbers, current=numbers.updated, current_revision=numbers.update_revision
    )


def differs(statefulset: StatefulSet, numbers: StatusNumbers) -> bool:
    """Whether the status has to be written (8.3)."""
    status = statefulset.status
    return (
        status.observed_generation < statefulset.metadata.generation
        or numbers.replicas != status.replicas
        or numbers.ready != status.ready_replicas
        or numbers.available != status.available_replicas
        or numbers.current != status.current_replicas
        or numbers.updated != status.updated_replicas
        or numbers.current_revision != status.current_revision
        or numbers.update_revision != status.update_revision
    )


def status_tree(numbers: StatusNumbers, observed_generation: int) -> JsonObject:
    """The status to write: conditions that somebody else wrote are not kept (8.3)."""
    tree: JsonObject = {
        "observedGeneration": observed_generation,
        "replicas": numbers.replicas,
        "availableReplicas": numbers.available,
        "currentRevision": numbers.current_revision,
        "updateRevision": numbers.update_revision,
        "collisionCount": numbers.collision_count,
    }
    optional: JsonObject = {
        "readyReplicas": numbers.ready,
        "currentReplicas": numbers.current,
        "updatedReplicas": numbers.updated,
    }
    return tree | {name: value for name, value in optional.items() if value}


def requeue_after_s(
    statefulset: StatefulSet, numbers: StatusNumbers, pods: Iterable[Pod], age_s: AgeOf
) -> float | None:
    """When to look again because a ready pod becomes available with time alone (8.4)."""
    min_ready_s = statefulset.spec.min_ready_seconds
    if min_ready_s <= 0 or numbers.ready == numbers.available:
        return None
    waits_s = [float(min_ready_s)]
    for pod in pods:
        left_s = until_available_s(pod, min_ready_s, age_s)
        if left_s:
            waits_s.append(left_s)
    return min(waits_s)
