"""Who a pod of a StatefulSet is: its name, its ordinal, its labels (spec section 3).

Invariant: two pods that the controller makes never have the same ordinal, because the ordinal is in
the name.
"""

from typing import NamedTuple

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.workload.apps import StatefulSet

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"

_INT32_MAX = 2**31 - 1
NO_ORDINAL = -1


class Parsed(NamedTuple):
    """What a pod's name says: the name of a StatefulSet ("" if it is no such name), the ordinal."""

    parent: str
    ordinal: int


def parse(pod_name: str) -> Parsed:
    """Take a pod's name apart. An ordinal beyond 32 bits is none."""
    parent, dash, digits = pod_name.rpartition("-")
    if not dash or not (digits.isascii() and digits.isdigit()):
        return Parsed("", NO_ORDINAL)
    ordinal = int(digits) if len(digits) < 20 else _INT32_MAX + 1
    return Parsed(parent, ordinal if ordinal <= _INT32_MAX else NO_ORDINAL)


def pod_name(statefulset: StatefulSet, ordinal: int) -> str:
    """The name of the pod with an ordinal."""
    return f"{statefulset.metadata.name}-{ordinal}"


def is_member(statefulset: StatefulSet, pod: Pod) -> bool:
    """Whether the pod has a name that this StatefulSet gives."""
    return parse(pod.metadata.name).parent == statefulset.metadata.name


def ordinals(statefulset: StatefulSet) -> range:
    """The ordinals of the wanted pods."""
    spec = statefulset.spec
    start = spec.ordinals.start if spec.ordinals is not None else 0
    return range(start, start + (1 if spec.replicas is None else spec.replicas))


def labels(name: str, ordinal: int) -> dict[str, str]:
    """The labels that tell a pod's identity."""
    return {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(ordinal)}


def matches(statefulset: StatefulSet, pod: Pod) -> bool:
    """Whether name and label of the pod are what its ordinal makes them. (The label of the index
    is not looked at: pods of before 1.28 lack it.)"""
    metadata = pod.metadata
    parent, ordinal = parse(metadata.name)
    return (
        parent == statefulset.metadata.name
        and ordinal != NO_ORDINAL
        and metadata.name == pod_name(statefulset, ordinal)
        and metadata.labels.get(POD_NAME_LABEL) == metadata.name
    )
