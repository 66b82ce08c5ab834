"""What one sync of a ReplicaSet does (spec replicaset-controller 3 to 6). Pure.

Invariants: a ReplicaSet that is being deleted neither claims nor creates nor deletes; pods are
created or deleted, never both, and never more than are missing or too many.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.helpers.podutil import AgeOf
from kubeherd.cluster.api.kinds import REPLICASETS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.replicaset import status
from kubeherd.controller.replicaset.model import BURST_REPLICAS, Count, Observed, Plan
from kubeherd.controller.workload.apps import ReplicaSet
from kubeherd.controller.workload.claim import Claim, Owner, claim
from kubeherd.controller.workload.pods.activepods import active_pods, terminating_pods
from kubeherd.controller.workload.pods.ranking import ranked_deletion_order


def plan(observed: Observed, selector: Selector, age_s: AgeOf) -> Plan:
    """Compare the active pods with the number that is wanted."""
    replicaset = observed.replicaset
    claimed = _claim(observed, selector)
    count = _count(observed, claimed, selector, age_s)
    if replicaset.metadata.deletion_timestamp is not None:
        return Plan(count)
    missing = wanted(replicaset) - len(claimed.claimed)
    return Plan(
        count,
        adopt=claimed.adopt,
        release=claimed.release,
        create=min(max(0, missing), BURST_REPLICAS),
        delete=_to_delete(observed, claimed.claimed, min(max(0, -missing), BURST_REPLICAS), age_s),
    )


def recount(observed: Observed, selector: Selector, age_s: AgeOf) -> Count:
    """The counters alone, for after the writes of a plan."""
    return _count(observed, _claim(observed, selector), selector, age_s)


def wanted(replicaset: ReplicaSet) -> int:
    """How many pods there should be: ``spec.replicas``, 1 if it is not set."""
    replicas = replicaset.spec.replicas
    return 1 if replicas is None else replicas


def _claim(observed: Observed, selector: Selector) -> Claim[Pod]:
    # Only active pods are claimed: one that has ended is nobody's concern. The resource counts
    # for the writes alone, so that of a ReplicaSet stands for both kinds here.
    owner = Owner(REPLICASETS, observed.replicaset.metadata)
    return claim(owner, selector, active_pods(observed.pods))


def _count(observed: Observed, claimed: Claim[Pod], selector: Selector, age_s: AgeOf) -> Count:
    uid = observed.replicaset.metadata.uid
    terminating = None
    if observed.terminating:
        terminating = sum(
            selector.matches(pod.metadata.labels)
            for pod in terminating_pods(observed.pods)
            if (controller := pod.metadata.controller()) is not None and controller.uid == uid
        )
    return status.count(observed.replicaset, claimed.claimed, terminating, age_s)


def _to_delete(
    observed: Observed, pods: Sequence[Pod], surplus: int, age_s: AgeOf
) -> Sequence[Pod]:
    """The pods that serve least; in no order if all of them go."""
    if not 0 < surplus < len(pods):
        return pods[:surplus]
    return ranked_deletion_order(pods, observed.related(), age_s)[:surplus]
