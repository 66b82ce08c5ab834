"""Which pods are the scheduler's, and which changes may let one fit (spec 1 and 4). Pure."""

from typing import Final

from kubeherd.cluster.api.objects import Node, Pod

SCHEDULER: Final = "default-scheduler"


def is_waiting(pod: Pod) -> bool:
    """Whether this scheduler has to find a node for the pod (spec 1)."""
    return (
        not pod.spec.node_name
        and pod.spec.scheduler_name in ("", SCHEDULER)
        and not pod.spec.scheduling_gates
        and not pod.terminal
    )


def node_matters(old: Node, new: Node) -> bool:
    """Whether a node changed in a way that may let a pod onto it (spec 4)."""
    return (
        old.spec.taints != new.spec.taints
        or old.spec.unschedulable != new.spec.unschedulable
        or old.metadata.labels != new.metadata.labels
        or old.status.allocatable != new.status.allocatable
    )


def pod_matters(old: Pod, new: Pod) -> bool:
    """Whether a waiting pod changed in more than its status."""
    return (
        old.spec != new.spec
        or old.metadata.labels != new.metadata.labels
        or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
    )
