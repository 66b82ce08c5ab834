"""One sync of one Deployment as a pure function: `plan(observed, now) -> Plan` (section 2).

Kubernetes writes several times in a sync and begins anew where its own write made the next one
fail; here a sync is worked out to its end on a draft and each object is written once. Invariants:
a Deployment that is being deleted only gets its status; in a pause nothing but sizes changes; the
same input gives the same plan.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api import labels
from kubeherd.controller.deployment import history, limits, progress, rolling, scaling, status
from kubeherd.controller.deployment.annotations import REVISION
from kubeherd.controller.deployment.draft import Draft, with_new_created, with_new_synced
from kubeherd.controller.deployment.model import Now, Observed, Plan, Reason
from kubeherd.controller.deployment.newreplicaset import owner
from kubeherd.controller.deployment.recreate import old_pods_running
from kubeherd.controller.deployment.replicasets import Divided, active, divide
from kubeherd.controller.deployment.rollback import ordered_revision, roll_back
from kubeherd.controller.deployment.status import with_conditions
from kubeherd.controller.workload.apps import Deployment, DeploymentStatus, ReplicaSet
from kubeherd.controller.workload.claim import claim
from kubeherd.controller.workload.events import Event, EventType

SELECTING_ALL = "This deployment is selecting all pods. A non-empty selector is required."


class UnknownStrategy(ValueError):
    """A strategy that is neither RollingUpdate nor Recreate."""


def plan(observed: Observed, now: Now) -> Plan:
    """What a sync does. InvalidNumber or UnknownStrategy for a Deployment that no server takes."""
    deployment = observed.deployment
    if selects_all(deployment):
        return _selecting_all(deployment)
    selector = labels.from_selector(deployment.spec.selector)
    claimed = claim(owner(deployment), selector, observed.replica_sets)
    sets = divide(deployment, claimed.claimed)
    decided = _decide(with_new_synced(Draft(deployment, sets), now.text), observed, now)
    return msgspec.structs.replace(decided, adopt=claimed.adopt, release=claimed.release)


def selects_all(deployment: Deployment) -> bool:
    """Whether the selector is there but empty: such a Deployment is not acted upon."""
    selector = deployment.spec.selector
    return selector is not None and not selector.match_labels and not selector.match_expressions


def _selecting_all(deployment: Deployment) -> Plan:
    event = Event(EventType.WARNING, Reason.SELECTING_ALL, SELECTING_ALL)
    generation = deployment.metadata.generation
    if deployment.status.observed_generation >= generation:
        return Plan(events=(event,))
    seen = msgspec.structs.replace(deployment.status, observed_generation=generation)
    return Plan(events=(event,), status=seen, revision=_revision(deployment))


def _decide(draft: Draft, observed: Observed, now: Now) -> Plan:
    deployment = draft.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return _finish(draft, observed, status.count(deployment, draft.sets, now.text))
    told = with_conditions(deployment, list(progress.with_pause(deployment, now.text)))
    draft = msgspec.structs.replace(draft, deployment=told)
    revision = ordered_revision(told)
    if told.spec.paused:
        surplus = history.surplus(told, draft.sets.old) if revision is None else []
        return _scaled(draft, observed, now, surplus)
    if revision is not None:
        draft = with_new_created(draft, now.text)
        order = roll_back(told, draft.sets, revision)
        return msgspec.structs.replace(_finish(draft, observed, told.status), rollback=order)
    if scaling.is_scaled(told, draft.sets):
        return _scaled(draft, observed, now)
    if told.spec.strategy.type == limits.RECREATE:
        return _recreate(draft, observed, now)
    if limits.is_rolling(told):
        return _roll(draft, observed, now)
    raise UnknownStrategy(f"unexpected deployment strategy type: {told.spec.strategy.type}")


def _scaled(draft: Draft, observed: Observed, now: Now, surplus: Sequence[ReplicaSet] = ()) -> Plan:
    """The Deployment was scaled, or is paused (section 7)."""
    chosen = scaling.scale(draft.deployment, draft.sets)
    draft = draft.resized(chosen.sizes.items(), annotated=chosen.annotated)
    counted = status.count(draft.deployment, draft.sets, now.text)
    return _finish(draft, observed, counted, surplus)


def _roll(draft: Draft, observed: Observed, now: Now) -> Plan:
    """One step of a rolling update (section 10): up if there is room, else down."""
    draft = with_new_created(draft, now.text)
    new = _new(draft.sets)
    up = rolling.new_size(draft.deployment, draft.sets, new)
    stepped = draft.resized([(new.metadata.name, up)])
    if not stepped.scaled:
        stepped = draft.resized(rolling.old_steps(draft.deployment, draft.sets, new))
    surplus = [] if stepped.scaled else _surplus_when_complete(stepped)
    return _finish_rollout(stepped, observed, now, surplus)


def _recreate(draft: Draft, observed: Observed, now: Now) -> Plan:
    """One step of the strategy Recreate (section 11): down, wait, up."""
    down = draft.resized((old.metadata.name, 0) for old in active(draft.sets.old))
    if down.scaled or old_pods_running(draft.sets, observed.pods):
        return _finish_rollout(down, observed, now)
    draft = with_new_created(draft, now.text)
    name = _new(draft.sets).metadata.name
    up = draft.resized([(name, limits.desired(draft.deployment))])
    return _finish_rollout(up, observed, now, _surplus_when_complete(up))


def _new(sets: Divided) -> ReplicaSet:
    if sets.new is None:
        raise AssertionError("the new ReplicaSet was made before")
    return sets.new


def _surplus_when_complete(draft: Draft) -> list[ReplicaSet]:
    complete = status.is_complete(draft.deployment, draft.deployment.status)
    return history.surplus(draft.deployment, draft.sets.old) if complete else []


def _finish_rollout(
    draft: Draft, observed: Observed, now: Now, surplus: Sequence[ReplicaSet] = ()
) -> Plan:
    counted = progress.rollout_status(draft.deployment, draft.sets, now)
    finished = _finish(draft, observed, counted, surplus)
    again_s = progress.check_after_s(draft.deployment, counted, now)
    return msgspec.structs.replace(finished, requeue_after_s=again_s)


def _finish(
    draft: Draft,
    observed: Observed,
    counted: DeploymentStatus,
    surplus: Sequence[ReplicaSet] = (),
) -> Plan:
    """The plan whose writes make of what is observed what the draft has."""
    before = observed.deployment
    revision = _revision(draft.deployment)
    same = counted == before.status and revision == _revision(before)
    return Plan(
        create=draft.create,
        changes=draft.changes(observed.replica_sets),
        deletes=surplus,
        status=None if same else counted,
        revision=revision,
    )


def _revision(deployment: Deployment) -> str:
    return deployment.metadata.annotations.get(REVISION, "")
