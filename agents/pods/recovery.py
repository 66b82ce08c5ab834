"""What an agent knows of a pod when it first sees it: nothing, or what the API status tells.

Fake containers have no life outside the agent; the pod's status in the API is the record that
survives an agent. So a restarted agent adopts running containers as they were (same container
IDs, restart counts, start times, IPs), and only a rebooted machine loses them: then the status
tells what ran, and the containers are started again (spec node-lifecycle 10 and 14). Pure.
"""

from collections.abc import Callable

from msgspec.structs import replace

from kubeherd.agents.pods.containers import next_backoff_s
from kubeherd.agents.pods.facts import (
    TERMINAL,
    ContainerFacts,
    ContainerPhase,
    Moment,
    PodFacts,
    PodPhase,
    Probe,
    Rejection,
    Terminated,
    Transition,
)
from kubeherd.agents.pods.plans import ContainerPlan, Role, container_plans
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod

AgeOf = Callable[[str], float]
"""Nominal seconds since an RFC 3339 timestamp."""

_REBOOT_EXIT_CODE = 255


def recover(pod: Pod, now: Moment, age_s: AgeOf, *, rebooted: bool = False) -> PodFacts:
    """The facts of a pod seen for the first time by this agent."""
    status = pod.status
    phase = PodPhase(status.phase) if status.phase in _PHASES else PodPhase.PENDING
    transitions = {
        c.type: Transition(c.status, c.last_transition_time or now.text) for c in status.conditions
    }
    start_s = now.s - max(0.0, age_s(status.start_time)) if status.start_time else now.s
    plans = container_plans(pod)
    trees = {
        str(tree.get("name")): tree
        for tree in (
            *status.init_container_statuses,
            *status.container_statuses,
            *status.ephemeral_container_statuses,
        )
    }
    containers = {
        plan.name: _container(plan, trees[plan.name], now, age_s, rebooted=rebooted)
        if plan.name in trees
        else ContainerFacts()
        for plan in plans
    }
    if not trees:
        containers = {}
    terminal = phase in TERMINAL
    ran = bool(trees) and not rebooted and not terminal
    return PodFacts(
        uid=pod.metadata.uid,
        start_time=status.start_time or "",
        start_s=start_s,
        pod_ip="" if rebooted and not terminal else status.pod_ip,
        sandbox=ran,
        phase=phase,
        containers=containers,
        transitions=transitions,
        rejection=Rejection(status.reason, status.message) if terminal and status.reason else None,
        grace_s=0.0 if terminal else None,
        final=terminal,
    )


_PHASES = frozenset(PodPhase)


def _container(
    plan: ContainerPlan, tree: JsonObject, now: Moment, age_s: AgeOf, *, rebooted: bool
) -> ContainerFacts:
    state = tree.get("state") or {}
    last = _terminated((tree.get("lastState") or {}).get("terminated"))
    restarts = int(tree.get("restartCount") or 0)
    container_id = str(tree.get("containerID") or "")
    running = state.get("running")
    ended = _terminated(state.get("terminated"))
    attempts = restarts + 1 if container_id else 0
    common = ContainerFacts(
        attempts=attempts, container_id=container_id, image=str(tree.get("image") or "")
    )
    if running is not None and rebooted:
        lost = Terminated(
            exit_code=_REBOOT_EXIT_CODE,
            reason="Unknown",
            started_at=running.get("startedAt"),
            finished_at=now.text,
            container_id=container_id,
        )
        if plan.role is Role.EPHEMERAL:
            return replace(common, phase=ContainerPhase.EXITED, terminated=lost, last=last)
        return ContainerFacts(attempts=attempts, last=lost)
    if running is not None:
        started_at = str(running.get("startedAt") or now.text)
        ready = bool(tree.get("ready"))
        elapsed_s = max(0.0, age_s(started_at))
        return replace(
            common,
            phase=ContainerPhase.RUNNING,
            started_at=started_at,
            started_s=now.s - elapsed_s,
            written=plan.output.written(elapsed_s) if plan.output is not None else 0,
            started=bool(tree.get("started", plan.startup is None)),
            ready=ready,
            last=last,
            readiness=Probe(healthy=ready),
            liveness=Probe(healthy=True),
            startup=Probe(healthy=True),
        )
    if ended is None and state.get("waiting") and last is not None:
        ended, last = last, None
    if ended is None:
        return replace(common, last=last)
    finished_s = now.s - max(0.0, age_s(ended.finished_at)) if ended.finished_at else now.s
    return replace(
        common,
        phase=ContainerPhase.EXITED,
        terminated=ended,
        last=last,
        finished_s=finished_s,
        backoff_s=_backoff_s(restarts),
        backoff_bumped_s=finished_s,
    )


def _backoff_s(restarts: int) -> float:
    """The back-off after so many restarts in a row; the exact one is not in the API."""
    backoff_s = 0.0
    for _ in range(min(restarts, 8)):
        backoff_s = next_backoff_s(backoff_s)
    return backoff_s


def _terminated(tree: JsonObject | None) -> Terminated | None:
    if not tree:
        return None
    return Terminated(
        exit_code=int(tree.get("exitCode") or 0),
        reason=str(tree.get("reason") or ""),
        message=str(tree.get("message") or ""),
        started_at=tree.get("startedAt"),
        finished_at=tree.get("finishedAt"),
        container_id=str(tree.get("containerID") or ""),
    )
