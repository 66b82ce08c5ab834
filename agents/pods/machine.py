"""The pod state machine: (pod, runtime facts, now) -> (status, what to do, when to look again).

Source: spec node-lifecycle 12 and 13. Pure: no I/O, no clock, no chance. `step` moves a pod as far
as it can go at `now`; with the same arguments it always returns the same. Invariants: a phase
never leaves Succeeded or Failed; restart counts never fall; after deletion was asked for every
sequence of steps ends with `delete`; the next wake-up lies after `now`.
"""

from typing import Final, NamedTuple

from msgspec.structs import replace

from kubeherd.agents.faking import annotations
from kubeherd.agents.faking.volumefiles import VolumeKey
from kubeherd.agents.pods import phase as phases
from kubeherd.agents.pods import status, stopping
from kubeherd.agents.pods.containers import drive, progress
from kubeherd.agents.pods.facts import (
    TERMINAL,
    ContainerFacts,
    Ending,
    Moment,
    PodFacts,
    PodPhase,
    Rejection,
)
from kubeherd.agents.pods.plans import ContainerPlan, Role, container_plans
from kubeherd.agents.pods.sync import LogLine, NodeView, Pass, PodEvent
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod

_DEADLINE = Rejection(
    "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
)
_REMOVED_GRACE_S = 1.0
SANDBOX_RETRY_S: Final = 10.0
"""How long a kubelet waits at least after a failed sync of a pod (spec 10)."""


class Step(NamedTuple):
    """What one step decided."""

    facts: PodFacts
    status: JsonObject
    """The whole status to have in the API."""
    delete: bool
    """Once that status is written: DELETE with grace 0 and the pod's uid (13, step 8)."""
    next_wake_s: float | None
    """When to step again although nothing changed; None: only on a change of the pod."""
    events: list[PodEvent]
    logs: list[LogLine]
    pulled: list[str]
    written: dict[VolumeKey, dict[str, str]] = {}  # noqa: RUF012 - of a NamedTuple, never changed
    """Volumes with all of their files, where these changed."""


def step(pod: Pod, facts: PodFacts, node: NodeView, now: Moment, *, removed: bool = False) -> Step:
    """One step. `removed`: the object is gone from the API; kill what runs, the status is moot."""
    sync = Pass(pod, node, now)
    deleted = pod.metadata.deletion_timestamp is not None
    if not facts.start_time:
        facts = replace(facts, start_time=now.text, start_s=now.s)
    if facts.rejection is not None and not facts.containers:
        tree = status.rejected(pod, facts)
        return Step(facts, tree, deleted, None, sync.events, sync.logs, sync.pulled)
    plans = container_plans(pod)
    if node.hurt is not None:
        plans = node.hurt(pod, plans)
    if not facts.final:
        facts = _with_containers(facts, plans)
        facts = _triggers(pod, facts, sync, removed=removed)
        proceed = _terminate if facts.terminating else _run
        facts = proceed(plans, facts, sync)
        facts = _with_phase(pod, plans, facts, sync, deleted=deleted or removed)
    tree, facts = status.generate(pod, plans, facts, node, now.text)
    wake_s = None if facts.final else sync.wake_s
    delete = deleted and facts.final
    return Step(facts, tree, delete, wake_s, sync.events, sync.logs, sync.pulled, sync.written)


def reject(facts: PodFacts, reason: str, message: str, now: Moment) -> PodFacts:
    """The facts of a pod that the kubelet does not admit (spec 11)."""
    return replace(
        facts,
        start_time=facts.start_time or now.text,
        phase=PodPhase.FAILED,
        rejection=Rejection(reason, f"Pod was rejected: {message}"),
        containers={},
        final=True,
    )


def end(facts: PodFacts, pod: Pod, ending: Ending) -> PodFacts:
    """The facts of a pod that the kubelet itself ends: evicted, preempted, node shutting down."""
    grace_s = stopping.pod_grace_s(pod)
    if ending.grace_s is not None:
        grace_s = min(grace_s, max(1.0, ending.grace_s))
    if facts.grace_s is not None:
        grace_s = min(grace_s, facts.grace_s)
    rejection = Rejection(ending.reason, ending.message)
    return replace(facts, rejection=rejection, disruption=ending.disruption, grace_s=grace_s)


def _with_containers(facts: PodFacts, plans: list[ContainerPlan]) -> PodFacts:
    if all(plan.name in facts.containers for plan in plans):
        return facts
    containers = {plan.name: facts.containers.get(plan.name, ContainerFacts()) for plan in plans}
    return replace(facts, containers=containers)


def _triggers(pod: Pod, facts: PodFacts, sync: Pass, *, removed: bool) -> PodFacts:
    """Whether and with how much grace the pod has to end (spec 13, triggers and step 1)."""
    if facts.phase not in TERMINAL and pod.status.phase in TERMINAL:
        # Somebody else declared the pod over: its phase stays, what runs is ended.
        said = pod.status
        reason = Rejection(said.reason, said.message) if said.reason else facts.rejection
        facts = replace(facts, phase=PodPhase(said.phase), rejection=reason)
    grace_s: float | None = None
    deadline_s = pod.spec.active_deadline_seconds
    if removed:
        known_s = facts.grace_s if facts.terminating else _REMOVED_GRACE_S
        grace_s = min(_REMOVED_GRACE_S, known_s or _REMOVED_GRACE_S)
    elif pod.metadata.deletion_timestamp is not None:
        asked_s = pod.metadata.deletion_grace_period_seconds
        grace_s = stopping.pod_grace_s(pod) if asked_s is None else max(1.0, float(asked_s))
    elif facts.phase in TERMINAL:
        grace_s = stopping.pod_grace_s(pod)
    elif deadline_s is not None and not facts.terminating:
        due_s = facts.start_s + deadline_s
        if sync.now.s < due_s:
            sync.wake(due_s)
        else:
            sync.normal("DeadlineExceeded", _DEADLINE.message)
            facts = replace(facts, rejection=_DEADLINE)
            grace_s = stopping.pod_grace_s(pod)
    if grace_s is None or (facts.grace_s is not None and facts.grace_s <= grace_s):
        return facts
    return replace(facts, grace_s=grace_s)


def _run(plans: list[ContainerPlan], facts: PodFacts, sync: Pass) -> PodFacts:
    """Start what may run: sandbox, init containers one after the other, then all others."""
    if facts.unmounted:
        return facts
    if (error := annotations.sandbox_error(sync.pod.metadata.annotations)) and not facts.sandbox:
        return _without_sandbox(facts, error, sync)
    containers = dict(facts.containers)
    was_up = any(
        phases.ever_started(containers[plan.name]) for plan in plans if plan.role is Role.REGULAR
    )
    blocked = False
    for plan in plans:
        known = containers[plan.name]
        if plan.role is Role.EPHEMERAL:
            containers[plan.name] = drive(known, plan, sync)
            continue
        if plan.role is Role.INIT and (was_up or phases.completed(known)):
            continue
        if blocked:
            if plan.role is not Role.REGULAR:
                containers[plan.name] = _settle(known, plan, sync)
            continue
        containers[plan.name] = driven = drive(known, plan, sync)
        if not was_up and phases.pending_init(plan, driven):
            blocked = True
    return replace(facts, containers=containers, sandbox=True)


def _without_sandbox(facts: PodFacts, error: str, sync: Pass) -> PodFacts:
    """No sandbox, no containers: the kubelet tries again after its sync error back-off."""
    if sync.now.s >= facts.sandbox_retry_s:
        sync.warning("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        facts = replace(facts, sandbox_retry_s=sync.now.s + SANDBOX_RETRY_S)
    sync.wake(facts.sandbox_retry_s)
    return facts


def _terminate(plans: list[ContainerPlan], facts: PodFacts, sync: Pass) -> PodFacts:
    """Stop everything: regular and init containers in parallel, then sidecars in reverse order."""
    grace_s = facts.grace_s
    if grace_s is None:
        return facts
    containers = dict(facts.containers)
    sidecars = [plan for plan in plans if plan.role is Role.SIDECAR]
    for plan in plans:
        if plan.role is not Role.SIDECAR:
            containers[plan.name] = _stop(containers[plan.name], plan, sync, grace_s)
    waiting = any(c.running for name, c in containers.items() if name not in _names(sidecars))
    for plan in reversed(sidecars):
        if waiting and containers[plan.name].running:
            containers[plan.name] = _settle(containers[plan.name], plan, sync)
        else:
            containers[plan.name] = _stop(containers[plan.name], plan, sync, grace_s)
            waiting = containers[plan.name].running
    return replace(facts, containers=containers)


def _names(plans: list[ContainerPlan]) -> set[str]:
    return {plan.name for plan in plans}


def _stop(
    container: ContainerFacts, plan: ContainerPlan, sync: Pass, grace_s: float
) -> ContainerFacts:
    if not container.running:
        return stopping.abandon(container)
    if container.stop is None or sync.now.s + grace_s < container.stop.sigkill_s:
        message = f"Stopping container {plan.name}"
        container = stopping.begin_stop(container, plan, sync, grace_s, message)
    return _settle(container, plan, sync)


def _settle(container: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    """Let happen by itself whatever happens now, without starting anything."""
    while (after := progress(container, plan, sync)) is not container:
        container = after
    return container


def _with_phase(
    pod: Pod, plans: list[ContainerPlan], facts: PodFacts, sync: Pass, *, deleted: bool
) -> PodFacts:
    """The phase; and when nothing runs any more, the final marking of step 7."""
    ending = facts.terminating
    by_rules = phases.computed(plans, facts.containers, terminating=ending)
    phase = phases.pod_phase(by_rules, facts.containers, previous=facts.phase)
    running = any(container.running for container in facts.containers.values())
    if facts.rejection is not None and not running and facts.phase not in TERMINAL:
        phase = PodPhase.FAILED
    if ending and not running and not any(plan.behaviour.unkillable for plan in plans):
        return _finish(plans, facts, phase)
    if not ending and not deleted and by_rules in TERMINAL:
        # The regular containers are done for good, only sidecars run: end them too.
        ended = _terminate(plans, replace(facts, grace_s=stopping.pod_grace_s(pod)), sync)
        return _with_phase(pod, plans, ended, sync, deleted=False)
    return facts if phase is facts.phase else replace(facts, phase=phase)


def _finish(plans: list[ContainerPlan], facts: PodFacts, phase: PodPhase) -> PodFacts:
    containers = dict(facts.containers)
    if phases.initialized(plans, containers):
        for plan in plans:
            containers[plan.name] = stopping.lost(containers[plan.name])
    if phase not in TERMINAL:
        phase = PodPhase.FAILED
    return replace(facts, containers=containers, phase=phase, final=True, sandbox=False)
