"""What is done about one wanted pod, and whether those after it have to wait (spec section 4).

Invariant: a pod is made only when no pod of its ordinal is there, and at most once a sync; what is
being deleted is not deleted again.
"""

from collections.abc import Mapping

import msgspec

from kubeherd.cluster.api.helpers.podutil import is_available, is_terminal, is_terminating
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.controller.statefulset import claims, identity, podtemplate
from kubeherd.controller.statefulset.claims import Owners
from kubeherd.controller.statefulset.model import (
    ClaimChange,
    History,
    Observed,
    PodWork,
    Revision,
    Verb,
)
from kubeherd.controller.statefulset.status import ROLLING_UPDATE, is_running_and_ready
from kubeherd.controller.workload.apps import StatefulSet

PARALLEL = "Parallel"


class Verdict(msgspec.Struct, frozen=True):
    """The work on a pod; `blocks`: in an ordered StatefulSet nothing comes after it;
    `awaits_claim`: that a claim of an earlier pod is gone."""

    work: PodWork | None
    blocks: bool
    awaits_claim: bool = False


def is_unavailable(observed: Observed, pod: Pod) -> bool:
    """Whether the pod is not available for minReadySeconds, or is being deleted."""
    min_ready_s = observed.statefulset.spec.min_ready_seconds
    return is_terminating(pod) or not is_available(pod, min_ready_s, observed.age_s)


def missing(observed: Observed, history: History, ordinal: int) -> Verdict:
    """There is no pod of this ordinal: make one (4.2)."""
    statefulset = observed.statefulset
    owners = claims.owners(statefulset, ordinal, None)
    if _has_stale_claims(observed, owners, ordinal):
        return Verdict(None, blocks=True, awaits_claim=True)
    revision = revision_for(statefulset, history, ordinal)
    work = PodWork(
        name=owners.pod.name,
        verb=Verb.CREATE,
        tree=podtemplate.new_pod(statefulset, revision, ordinal),
    )
    return Verdict(_with_claims(observed, owners, ordinal, work), blocks=True)


def present(observed: Observed, ordinal: int, pod: Pod) -> Verdict:
    """There is a pod of this ordinal: replace it if it has ended, else put it right (4.3)."""
    statefulset, name = observed.statefulset, pod.metadata.name
    if is_terminal(pod):
        work = None if is_terminating(pod) else PodWork(name=name, verb=Verb.DELETE, pod=pod)
        return Verdict(work, blocks=True)
    nothing = PodWork(name=name, verb=Verb.NOTHING, pod=pod)
    work = None
    owners = None
    if statefulset.spec.volume_claim_templates:
        owners = claims.owners(statefulset, ordinal, pod)
    if owners is not None and pod.status.phase == "Pending":
        work = _or_none(_with_claims(observed, owners, ordinal, nothing))
    is_ordered = statefulset.spec.pod_management_policy != PARALLEL
    if is_ordered and (is_unavailable(observed, pod) or not is_running_and_ready(pod)):
        return Verdict(work, blocks=True)
    return Verdict(_fix(observed, owners, ordinal, pod) or work, blocks=False)


def _fix(observed: Observed, owners: Owners | None, ordinal: int, pod: Pod) -> PodWork | None:
    """What makes identity, volumes and owners of claims right (4.3)."""
    statefulset = observed.statefulset
    has_volumes = claims.is_storage_right(statefulset, pod)
    is_right = has_volumes and identity.matches(statefulset, pod)
    work = PodWork(name=pod.metadata.name, verb=Verb.UPDATE, pod=pod, fixes_pod=not is_right)
    if owners is not None and not has_volumes:
        return _with_claims(observed, owners, ordinal, work)
    if owners is not None:
        changes = _changes(observed, owners, ordinal)
        work = msgspec.structs.replace(work, own_claims=changes)
    return work if work.fixes_pod or work.own_claims else None


def condemned_claims(observed: Observed, pod: Pod) -> PodWork | None:
    """The claims of a pod that is scaled away get the owners that the policy wants (6.3)."""
    if not observed.statefulset.spec.volume_claim_templates:
        return None
    ordinal = identity.parse(pod.metadata.name).ordinal
    owners = claims.owners(observed.statefulset, ordinal, pod)
    work = PodWork(name=pod.metadata.name, verb=Verb.NOTHING, pod=pod)
    changes = _changes(observed, owners, ordinal)
    return _or_none(msgspec.structs.replace(work, own_claims=changes))


def revision_for(statefulset: StatefulSet, history: History, ordinal: int) -> Revision:
    """The revision of a new pod: the current one below the partition (5.3)."""
    start = identity.ordinals(statefulset).start
    strategy = statefulset.spec.update_strategy
    if strategy.rolling_update is not None:
        below = ordinal < start + (strategy.rolling_update.partition or 0)
    else:
        kept = statefulset.status.current_replicas
        below = strategy.type == ROLLING_UPDATE and ordinal < start + kept
    return history.current if below else history.update


def _with_claims(observed: Observed, owners: Owners, ordinal: int, work: PodWork) -> PodWork:
    """The work with the claims that are missing, and those whose owners are not right (6.2)."""
    statefulset = observed.statefulset
    references = [msgspec.to_builtins(one) for one in owners.wanted]
    create, ending = [], []
    names = claims.claim_names(statefulset, ordinal)
    for template in statefulset.spec.volume_claim_templates:
        name = names[template["metadata"]["name"]]
        found = observed.claims.get(name)
        if found is None:
            create.append(claims.claim_tree(statefulset, template, ordinal, references))
        elif found.metadata.deletion_timestamp is not None:
            ending.append(f"pvc {name} is being deleted")
    failure = ending[0] if len(ending) == 1 else f"[{', '.join(ending)}]" if ending else ""
    return msgspec.structs.replace(
        work,
        create_claims=create,
        failure=failure,
        own_claims=_changes(observed, owners, ordinal),
    )


def _changes(observed: Observed, owners: Owners, ordinal: int) -> list[ClaimChange]:
    changes = []
    for name, found in _found(observed, ordinal).items():
        references = found.metadata.owner_references
        if not owners.are_right(references):
            changes.append(
                ClaimChange(
                    name,
                    found.metadata.resource_version,
                    owners.put_right(references),
                    conflicting=owners.has_foreign_controller(references),
                )
            )
    return changes


def _has_stale_claims(observed: Observed, owners: Owners, ordinal: int) -> bool:
    """Whether a claim is owned by an earlier pod of this name, and so about to go (6.5)."""
    policy = observed.statefulset.spec.persistent_volume_claim_retention_policy
    if policy is None or policy.when_scaled != claims.DELETE:
        return False
    return any(
        owners.pod.is_stale(found.metadata.owner_references)
        for found in _found(observed, ordinal).values()
    )


def _found(observed: Observed, ordinal: int) -> Mapping[str, PartialObject]:
    """The claims of an ordinal that are there, by name."""
    names = claims.claim_names(observed.statefulset, ordinal).values()
    return {name: observed.claims[name] for name in names if name in observed.claims}


def _or_none(work: PodWork) -> PodWork | None:
    return work if work.create_claims or work.own_claims or work.failure else None
