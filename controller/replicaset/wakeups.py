"""Which changes of a pod a plan could depend on (spec replicaset-controller 2 and 8). Pure.

Kubernetes looks again at every change of a pod. Most of them (bound, pulled, started) say nothing
that a plan or the status asks, so they wake nobody here. Only the choice of pods to delete hangs
on more; it is made from the caches of its moment.
"""

from kubeherd.cluster.api.helpers.podutil import is_terminal, ready_condition
from kubeherd.cluster.api.objects import Pod


def pod_matters(old: Pod | None, new: Pod | None) -> bool:
    """Whether it was added, deleted, or changed in whose it is, whether it counts, or as what."""
    if old is None or new is None:
        return True
    before, now = old.metadata, new.metadata
    return (
        before.labels != now.labels
        or before.owner_references != now.owner_references
        or before.deletion_timestamp != now.deletion_timestamp
        or before.uid != now.uid
        or is_terminal(old) != is_terminal(new)
        or ready_condition(old) != ready_condition(new)
    )
