"""The strategy Recreate: all old pods are gone before there is a new one (section 11)."""

from collections.abc import Mapping, Sequence

from kubeherd.cluster.api.helpers.podutil import is_terminal
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.deployment.replicasets import Divided


def old_pods_running(sets: Divided, pods: Mapping[str, Sequence[Pod]]) -> bool:
    """Whether an old ReplicaSet reports pods, or has one that has not ended.

    `pods`: by the uid of their ReplicaSet.
    """
    if any(old.status.replicas > 0 for old in sets.old):
        return True
    new = "" if sets.new is None else sets.new.metadata.uid
    return any(not is_terminal(pod) for uid, owned in pods.items() if uid != new for pod in owned)
