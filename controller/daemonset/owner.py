"""A DaemonSet as the owner of its pods and revisions."""

from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.api.objects import DaemonSet, OwnerReference
from kubeherd.controller.workload.claim import Owner


def owner(daemonset: DaemonSet) -> Owner:
    """The DaemonSet as one that claims."""
    return Owner(DAEMONSETS, daemonset.metadata)


def is_daemonset_reference(reference: OwnerReference | None) -> bool:
    """Whether a controller reference names a DaemonSet; its group is not compared (section 2)."""
    return reference is not None and reference.kind == DAEMONSETS.kind
