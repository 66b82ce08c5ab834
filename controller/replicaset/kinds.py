"""The two kinds that are counts of pods (spec replicaset-controller 1).

A ReplicationController is looked at as if it were a ReplicaSet; what is written goes to the kind
that it came from.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from kubeherd.cluster.api.kinds import REPLICASETS, REPLICATIONCONTROLLERS, Resource
from kubeherd.cluster.api.objects import LabelSelector
from kubeherd.controller.workload.apps import ReplicaSet, ReplicaSetSpec, ReplicationController
from kubeherd.controller.workload.wakeups import HasMetadata

T = TypeVar("T", bound=HasMetadata)


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """One of the kinds: how it is read, and what its controller is called.

    `counts_terminating`: whether its status has terminatingReplicas.
    """

    resource: Resource
    into: type[T]
    view: Callable[[T], ReplicaSet]
    component: str
    queue: str
    counts_terminating: bool


def _itself(replicaset: ReplicaSet) -> ReplicaSet:
    return replicaset


def as_replicaset(controller: ReplicationController) -> ReplicaSet:
    """A ReplicationController as the ReplicaSet that it means; without a selector, it selects
    nothing."""
    spec = controller.spec
    return ReplicaSet(
        metadata=controller.metadata,
        spec=ReplicaSetSpec(
            replicas=spec.replicas,
            min_ready_seconds=spec.min_ready_seconds,
            selector=LabelSelector(match_labels=spec.selector) if spec.selector else None,
            template=spec.template,
        ),
        status=controller.status,
    )


REPLICASET: Kind[ReplicaSet] = Kind(
    resource=REPLICASETS,
    into=ReplicaSet,
    view=_itself,
    component="replicaset-controller",
    queue="replicaset",
    counts_terminating=True,
)
REPLICATIONCONTROLLER: Kind[ReplicationController] = Kind(
    resource=REPLICATIONCONTROLLERS,
    into=ReplicationController,
    view=as_replicaset,
    component="replication-controller",
    queue="replicationmanager",
    counts_terminating=False,
)
