"""One sync of one DaemonSet as a pure function (spec section 3): `plan(known, placement, now)`.

Order of decisions: history, manage (one pod per node), the rolling step on what manage leaves, the
history's cleanup, the status. Where Kubernetes waits for its cache between manage and the rolling
step, the step is computed from the pods as manage will leave them. Invariants: what is being
deleted is left alone; each of the two steps creates and deletes at most 250 pods; the same input
gives the same plan. What it costs hangs on what has changed and on what is to be done, not on how
many nodes there are (`placement`).
"""

from collections.abc import Mapping

import msgspec

from kubeherd.cluster.api.intstr import InvalidNumber
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Pod
from kubeherd.controller.daemonset import history, limits, rollout, status, strategy
from kubeherd.controller.daemonset.limits import ROLLING_UPDATE
from kubeherd.controller.daemonset.manage import manage
from kubeherd.controller.daemonset.model import Known, Now, Plan, Reason, StatusNumbers, Terms
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.site import PodKey
from kubeherd.controller.daemonset.strategy import Step, StrategyError
from kubeherd.controller.daemonset.template import template_generation
from kubeherd.controller.workload.claim import Claim, claim
from kubeherd.controller.workload.events import Event, EventType

SELECTING_ALL = "This daemon set is selecting all pods. A non-empty selector is required."


class _Rolled(msgspec.Struct, frozen=True):
    """The rolling step with what the rollout controls say about it."""

    step: Step = msgspec.field(default_factory=Step)
    hold: str = ""
    event: Event | None = None
    failure: str = ""
    requeue_after_s: float | None = None


def plan(known: Known, placement: Placement, now: Now) -> Plan:
    """What a sync does. `placement`: of the DaemonSet's pods as they are, with its template."""
    daemonset = known.daemonset
    if selects_all(daemonset):
        event = Event(EventType.WARNING, Reason.SELECTING_ALL, SELECTING_ALL)
        return Plan(events=(event,), hold=known.hold)
    if daemonset.metadata.deletion_timestamp is not None:
        return Plan(hold=known.hold)
    template = placement.template
    revisions = claim(owner(daemonset), template.selector, known.revisions)
    pods = placement.pods.values()
    past = history.build(daemonset, template.data, revisions.claimed, pods)
    numbers = count_status(daemonset, placement, past.hash, now)
    base = _with_history(known, revisions, placement, past, numbers)
    if past.relabels:
        # The cached pods still carry the old hash; what they are is known when they are seen anew.
        return base
    return _with_pods(base, known, placement, past, now)


def selects_all(daemonset: DaemonSet) -> bool:
    """Whether the selector is there but empty: such a DaemonSet is not acted upon."""
    selector = daemonset.spec.selector
    return selector is not None and not selector.match_labels and not selector.match_expressions


def count_status(daemonset: DaemonSet, placement: Placement, hash_: str, now: Now) -> StatusNumbers:
    """Judge what has changed with this hash as the current one; the status numbers."""
    terms = Terms(
        hash=hash_,
        generation=template_generation(daemonset),
        min_ready_s=daemonset.spec.min_ready_seconds,
        surge=limits.allows_surge(daemonset),
    )
    placement.refresh(terms, now.age_s)
    return placement.numbers()


def _with_history(
    known: Known,
    revisions: Claim[ControllerRevision],
    placement: Placement,
    past: history.History,
    numbers: StatusNumbers,
) -> Plan:
    daemonset = known.daemonset
    return Plan(
        adopt_revisions=revisions.adopt,
        release_revisions=revisions.release,
        patch_revisions=past.patches,
        relabel_pods=past.relabels,
        delete_duplicates=past.duplicates,
        create_revision=past.create,
        adopt_pods=_in_order(placement.adopt),
        release_pods=_in_order(placement.release),
        status=numbers
        if status.differs(daemonset.status, daemonset.metadata.generation, numbers)
        else None,
        hash=past.hash,
        hold=known.hold,
        requeue_after_s=status.requeue_after_s(placement, numbers),
    )


def _with_pods(
    base: Plan, known: Known, placement: Placement, past: history.History, now: Now
) -> Plan:
    daemonset = known.daemonset
    managed = manage(placement, known.backoff, now)
    rolled = _Rolled()
    if daemonset.spec.update_strategy.type == ROLLING_UPDATE:
        with placement.after(managed.creates, managed.deletes):
            rolled = _roll(known, placement, now)
    events = [*managed.events, *((rolled.event,) if rolled.event else ())]
    delete_revisions = []
    if not rolled.failure:
        limit = daemonset.spec.revision_history_limit
        delete_revisions = history.surplus(past.old, placement.hashes, limit)
    return msgspec.structs.replace(
        base,
        events=events,
        creates=managed.creates,
        deletes=managed.deletes,
        update_creates=rolled.step.creates,
        update_deletes=rolled.step.deletes,
        delete_revisions=delete_revisions,
        backoff=managed.backoff,
        hold=rolled.hold,
        failure=rolled.failure,
        requeue_after_s=earliest(
            base.requeue_after_s, managed.requeue_after_s, rolled.requeue_after_s
        ),
    )


def _roll(known: Known, placement: Placement, now: Now) -> _Rolled:
    daemonset, desired = known.daemonset, placement.numbers().desired
    try:
        max_surge, max_unavailable = limits.surge_and_unavailable(daemonset, desired)
        control = rollout.control(known, placement, desired, now.age_s)
        if max_surge > 0:
            step = strategy.with_surge(placement, max_surge, desired, control.gate)
        else:
            step = strategy.without_surge(placement, max_unavailable, control.gate)
    except (StrategyError, InvalidNumber) as error:
        return _Rolled(hold=known.hold, failure=str(error))
    return _Rolled(
        step,
        hold=control.hold,
        event=rollout.hold_event(control, known.hold),
        requeue_after_s=control.requeue_after_s,
    )


def _in_order(pods: Mapping[PodKey, Pod]) -> list[Pod]:
    """So that the plan does not hang on what came first."""
    return [pods[key] for key in sorted(pods)]


def earliest(*times_s: float | None) -> float | None:
    """The first of some times, None without one."""
    return min((time_s for time_s in times_s if time_s is not None), default=None)
