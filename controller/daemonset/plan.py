"""One sync of one DaemonSet as a pure function: `plan(observed, now) -> Plan` (spec section 3).

Order of decisions: history, manage (one pod per node), the rolling step on what manage leaves, the
history's cleanup, the status. Where Kubernetes waits for its cache between manage and the rolling
step, the step is computed from the pods as manage will leave them. Invariants: what is being
deleted is left alone; each of the two steps creates and deletes at most 250 pods; the same input
gives the same plan.
"""

import msgspec

from kubeherd.cluster.api.helpers.scheduling import target_node_name
from kubeherd.cluster.api.intstr import InvalidNumber
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Pod
from kubeherd.controller.daemonset import history, limits, rollout, status, strategy
from kubeherd.controller.daemonset.limits import ROLLING_UPDATE
from kubeherd.controller.daemonset.manage import manage
from kubeherd.controller.daemonset.model import (
    BURST_REPLICAS,
    Now,
    Observed,
    Plan,
    Reason,
    StatusNumbers,
)
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.strategy import Step, StrategyError
from kubeherd.controller.daemonset.template import Template
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


def plan(observed: Observed, now: Now, template: Template | None = None) -> Plan:
    """What a sync does. `template`: the compiled one of this generation, if it is at hand."""
    daemonset = observed.daemonset
    if selects_all(daemonset):
        event = Event(EventType.WARNING, Reason.SELECTING_ALL, SELECTING_ALL)
        return Plan(events=(event,), hold=observed.hold)
    if daemonset.metadata.deletion_timestamp is not None:
        return Plan(hold=observed.hold)
    template = template or Template(daemonset)
    revisions = claim(owner(daemonset), template.selector, observed.revisions)
    pods = claim(owner(daemonset), template.selector, observed.pods)
    past = history.build(daemonset, template.data, revisions.claimed, pods.claimed)
    placement = Placement(template.rule, observed.nodes, pods.claimed)
    numbers = status.count(daemonset, placement, past.hash, now)
    base = _with_history(observed, revisions, pods, past, numbers)
    base = msgspec.structs.replace(
        base, requeue_after_s=status.requeue_after_s(daemonset, placement, numbers, now)
    )
    if past.relabels:
        # The cached pods still carry the old hash; what they are is known when they are seen anew.
        return base
    return _with_pods(base, observed, placement, pods.claimed, past, now)


def selects_all(daemonset: DaemonSet) -> bool:
    """Whether the selector is there but empty: such a DaemonSet is not acted upon."""
    selector = daemonset.spec.selector
    return selector is not None and not selector.match_labels and not selector.match_expressions


def count_status(observed: Observed, hash_: str, now: Now, template: Template) -> StatusNumbers:
    """The status numbers alone, for after the writes of a plan."""
    pods = claim(owner(observed.daemonset), template.selector, observed.pods)
    placement = Placement(template.rule, observed.nodes, pods.claimed)
    return status.count(observed.daemonset, placement, hash_, now)


def _with_history(
    observed: Observed,
    revisions: Claim[ControllerRevision],
    pods: Claim[Pod],
    past: history.History,
    numbers: StatusNumbers,
) -> Plan:
    daemonset = observed.daemonset
    return Plan(
        adopt_revisions=revisions.adopt,
        release_revisions=revisions.release,
        patch_revisions=past.patches,
        relabel_pods=past.relabels,
        delete_duplicates=past.duplicates,
        create_revision=past.create,
        adopt_pods=pods.adopt,
        release_pods=pods.release,
        status=numbers
        if status.differs(daemonset.status, daemonset.metadata.generation, numbers)
        else None,
        hash=past.hash,
        hold=observed.hold,
    )


def _with_pods(
    base: Plan,
    observed: Observed,
    placement: Placement,
    claimed: list[Pod],
    past: history.History,
    now: Now,
) -> Plan:
    daemonset = observed.daemonset
    surge = limits.allows_surge(daemonset)
    managed = manage(observed, placement, past.hash, surge=surge, now=now)
    creates, deletes = managed.creates[:BURST_REPLICAS], managed.deletes[:BURST_REPLICAS]
    rolled = _Rolled()
    if daemonset.spec.update_strategy.type == ROLLING_UPDATE:
        rolled = _roll(observed, placement.after(creates, deletes), past.hash, now)
    events = [*managed.events, *((rolled.event,) if rolled.event else ())]
    delete_revisions = []
    if not rolled.failure:
        carrying = (pod for pod in claimed if target_node_name(pod))
        limit = daemonset.spec.revision_history_limit
        delete_revisions = history.surplus(past.old, carrying, limit)
    return msgspec.structs.replace(
        base,
        events=events,
        creates=creates,
        deletes=deletes,
        update_creates=rolled.step.creates[:BURST_REPLICAS],
        update_deletes=rolled.step.deletes[:BURST_REPLICAS],
        delete_revisions=delete_revisions,
        backoff=managed.backoff,
        hold=rolled.hold,
        failure=rolled.failure,
        requeue_after_s=_earliest(
            base.requeue_after_s, managed.requeue_after_s, rolled.requeue_after_s
        ),
    )


def _roll(observed: Observed, placement: Placement, hash_: str, now: Now) -> _Rolled:
    daemonset = observed.daemonset
    found = strategy.find(placement.with_empty_entries(), daemonset, hash_, now)
    try:
        max_surge, max_unavailable = limits.surge_and_unavailable(daemonset, placement.desired)
        control = rollout.control(daemonset, found, placement, now.age_s)
        if max_surge > 0:
            step = strategy.with_surge(found, placement, max_surge, control.gate)
        else:
            step = strategy.without_surge(found, placement, max_unavailable, control.gate)
    except (StrategyError, InvalidNumber) as error:
        return _Rolled(hold=observed.hold, failure=str(error))
    return _Rolled(
        step,
        hold=control.hold,
        event=rollout.hold_event(control, observed.hold),
        requeue_after_s=control.requeue_after_s,
    )


def _earliest(*times_s: float | None) -> float | None:
    return min((time_s for time_s in times_s if time_s is not None), default=None)
