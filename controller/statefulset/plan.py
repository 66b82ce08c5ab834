"""One sync of one StatefulSet as a pure function: `plan(observed, history) -> Plan` (spec
section 2).

Order of decisions: the wanted pods by ordinal, the claims of those that are scaled away, these
pods from the highest ordinal, one pod of an old revision. Where the order matters
(`OrderedReady`), the first that is not available ends the plan. Invariants: one pod at most per
ordinal is made; a rolling update deletes one pod at most, and none while a pod that it has passed
is not available; a StatefulSet that is being deleted writes nothing but its status.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from kubeherd.cluster.api.helpers.podutil import is_terminating
from kubeherd.cluster.api.kinds import STATEFULSETS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.statefulset import history as histories
from kubeherd.controller.statefulset import identity, replicas, status
from kubeherd.controller.statefulset.model import History, Observed, Plan, PodWork, Verb
from kubeherd.controller.statefulset.replicas import PARALLEL, is_unavailable
from kubeherd.controller.workload.claim import Claim, Owner, claim
from kubeherd.controller.workload.revisions import REVISION_LABEL

ON_DELETE = "OnDelete"


class _Pods(msgspec.Struct, frozen=True):
    """The pods of the StatefulSet: by wanted ordinal, and those to go, highest ordinal first."""

    wanted: Sequence[Pod | None]
    condemned: Sequence[Pod]

    def there(self) -> Iterable[Pod]:
        return chain((pod for pod in self.wanted if pod is not None), self.condemned)


class _Works(msgspec.Struct):
    """The works of the phases, as they are found."""

    replicas: list[PodWork] = msgspec.field(default_factory=list)
    condemned_claims: list[PodWork] = msgspec.field(default_factory=list)
    condemned: list[PodWork] = msgspec.field(default_factory=list)
    roll: PodWork | None = None
    awaits_claims: bool = False


def plan(observed: Observed, history: History, selector: Selector) -> Plan:
    """What a sync does after its history was written."""
    statefulset = observed.statefulset
    claimed = _claim(observed, selector)
    pods = _sort(observed, claimed.claimed)
    works = _Works()
    if statefulset.metadata.deletion_timestamp is None:
        _find_works(observed, history, pods, works)
    numbers = status.count(statefulset, history, pods.there(), observed.age_s)
    return Plan(
        adopt_pods=claimed.adopt,
        release_pods=claimed.release,
        is_ordered=_is_ordered(observed),
        replicas=works.replicas,
        condemned_claims=works.condemned_claims,
        condemned=works.condemned,
        roll=works.roll,
        status=status.completed(statefulset, numbers),
        status_rolled=status.completed(statefulset, status.without_one(numbers)),
        delete_revisions=histories.surplus(statefulset, history, claimed.claimed),
        requeue_after_s=status.requeue_after_s(
            statefulset, numbers, claimed.claimed, observed.age_s
        ),
        awaits_claims=works.awaits_claims or any(work.failure for work in works.replicas),
    )


def _claim(observed: Observed, selector: Selector) -> Claim[Pod]:
    """Which pods are this StatefulSet's: selector and name must agree (spec section 7)."""
    statefulset = observed.statefulset
    owner = Owner(STATEFULSETS, statefulset.metadata)
    claimed = claim(owner, selector, observed.pods)
    strangers = [pod for pod in claimed.claimed if not identity.is_member(statefulset, pod)]
    if not strangers:
        return claimed
    names = {pod.metadata.name for pod in strangers}
    is_deleting = statefulset.metadata.deletion_timestamp is not None
    owned = [] if is_deleting else [pod for pod in strangers if pod.metadata.controller()]
    return Claim(
        claimed=[pod for pod in claimed.claimed if pod.metadata.name not in names],
        adopt=[pod for pod in claimed.adopt if pod.metadata.name not in names],
        release=[*claimed.release, *owned],
    )


def _sort(observed: Observed, claimed: Iterable[Pod]) -> _Pods:
    """By ordinal; a pod without one is left alone, and so is "web-01" where there is "web-1"."""
    statefulset = observed.statefulset
    wanted_ordinals = identity.ordinals(statefulset)
    wanted: list[Pod | None] = [None] * len(wanted_ordinals)
    condemned: list[tuple[int, Pod]] = []
    for pod in claimed:
        ordinal = identity.parse(pod.metadata.name).ordinal
        if ordinal in wanted_ordinals:
            index = ordinal - wanted_ordinals.start
            if wanted[index] is None or pod.metadata.name == identity.pod_name(
                statefulset, ordinal
            ):
                wanted[index] = pod
        elif ordinal != identity.NO_ORDINAL:
            condemned.append((ordinal, pod))
    condemned.sort(key=lambda found: found[0], reverse=True)
    return _Pods(wanted, [pod for _, pod in condemned])


def _is_ordered(observed: Observed) -> bool:
    return observed.statefulset.spec.pod_management_policy != PARALLEL


def _find_works(observed: Observed, history: History, pods: _Pods, works: _Works) -> None:
    """Phase after phase, until one has to wait."""
    is_ordered = _is_ordered(observed)
    if not _find_replicas(observed, history, pods, works) and is_ordered:
        return
    for pod in pods.condemned:
        work = replicas.condemned_claims(observed, pod)
        if work is not None:
            works.condemned_claims.append(work)
    if not _find_condemned(observed, pods.condemned, works.condemned) and is_ordered:
        return
    if observed.statefulset.spec.update_strategy.type != ON_DELETE:
        works.roll = _find_roll(observed, history, pods.wanted, works)


def _find_replicas(observed: Observed, history: History, pods: _Pods, works: _Works) -> bool:
    """The wanted pods (spec section 4); False if one of them has to be waited for."""
    is_ordered = _is_ordered(observed)
    start = identity.ordinals(observed.statefulset).start
    all_fine = True
    for ordinal, pod in enumerate(pods.wanted, start):
        if pod is None:
            verdict = replicas.missing(observed, history, ordinal)
        else:
            verdict = replicas.present(observed, ordinal, pod)
        if verdict.work is not None:
            works.replicas.append(verdict.work)
        works.awaits_claims = works.awaits_claims or verdict.awaits_claim
        all_fine = all_fine and not verdict.blocks
        if is_ordered and not all_fine:
            break
    return all_fine


def _find_condemned(observed: Observed, condemned: Sequence[Pod], works: list[PodWork]) -> bool:
    """The pods that are scaled away (4.4); False if there are any."""
    doomed = [pod for pod in condemned if not is_terminating(pod)]
    if _is_ordered(observed):
        doomed = _highest(observed, condemned)
    works += [PodWork(name=pod.metadata.name, verb=Verb.DELETE, pod=pod) for pod in doomed]
    return not condemned


def _highest(observed: Observed, condemned: Sequence[Pod]) -> list[Pod]:
    """The one with the highest ordinal, unless it, or an unavailable one below it, is awaited."""
    if not condemned or is_terminating(condemned[0]):
        return []
    highest = condemned[0]
    unavailable = [pod for pod in condemned if is_unavailable(observed, pod)]
    is_well = status.is_running_and_ready(highest) and not is_unavailable(observed, highest)
    return [highest] if is_well or unavailable[-1:] == [highest] else []


def _find_roll(
    observed: Observed, history: History, wanted: Sequence[Pod | None], works: _Works
) -> PodWork | None:
    """The pod that the rolling update deletes now (5.5)."""
    rolling = observed.statefulset.spec.update_strategy.rolling_update
    first = 0 if rolling is None else rolling.partition or 0
    going = {work.name for work in works.replicas if work.verb is Verb.DELETE}
    for pod in reversed(wanted[first:]):
        if pod is None or pod.metadata.name in going:
            return None
        is_old = pod.metadata.labels.get(REVISION_LABEL, "") != history.update.name
        if is_old and not is_terminating(pod):
            return PodWork(name=pod.metadata.name, verb=Verb.DELETE, pod=pod)
        if is_unavailable(observed, pod):
            return None
    return None
