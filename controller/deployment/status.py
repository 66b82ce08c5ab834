"""The status of a Deployment as its ReplicaSets report it (section 8).

Invariants: all numbers come from the status of ReplicaSets, none from pods; unavailable is never
negative; conditions and the collision count are carried over.
"""

import msgspec

from kubeherd.controller.deployment import conditions, limits
from kubeherd.controller.deployment.conditions import Reason, Status, Type
from kubeherd.controller.deployment.replicasets import (
    Divided,
    available,
    terminating,
    total,
    wanted,
)
from kubeherd.controller.workload.apps import Deployment, DeploymentCondition, DeploymentStatus


def count(deployment: Deployment, sets: Divided, now: str) -> DeploymentStatus:
    """Numbers, and the condition Available. `now`: RFC 3339."""
    every = sets.all
    up = available(every)
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=total(every, lambda one: one.status.replicas),
        updated_replicas=0 if sets.new is None else sets.new.status.replicas,
        ready_replicas=total(every, lambda one: one.status.ready_replicas),
        available_replicas=up,
        unavailable_replicas=max(0, wanted(every) - up),
        terminating_replicas=terminating(every),
        collision_count=deployment.status.collision_count,
        conditions=conditions.with_condition(
            deployment.status.conditions, _availability(deployment, up, now)
        ),
    )


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether all desired pods are updated and available, and no old ones are left."""
    replicas = limits.desired(deployment)
    return (
        status.updated_replicas == status.replicas == status.available_replicas == replicas
        and status.observed_generation >= deployment.metadata.generation
    )


def with_conditions(deployment: Deployment, new: list[DeploymentCondition]) -> Deployment:
    """The Deployment with other conditions."""
    status = msgspec.structs.replace(deployment.status, conditions=new)
    return msgspec.structs.replace(deployment, status=status)


def _availability(deployment: Deployment, up: int, now: str) -> DeploymentCondition:
    if up >= limits.desired(deployment) - limits.max_unavailable(deployment):
        message = "Deployment has minimum availability."
        return conditions.condition(Type.AVAILABLE, Status.TRUE, Reason.AVAILABLE, message, now)
    message = "Deployment does not have minimum availability."
    return conditions.condition(Type.AVAILABLE, Status.FALSE, Reason.UNAVAILABLE, message, now)
