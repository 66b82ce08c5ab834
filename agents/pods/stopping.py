"""How one fake container stops: preStop hook, SIGTERM, the wait, SIGKILL.

Source: spec node-lifecycle 13, step 4. The whole course is computed when the stop begins; only a
shorter grace period may change it, and only to an earlier end.
"""

import math
from typing import Final

from msgspec.structs import replace

from kubeherd.agents.faking.annotations import TERMINATED
from kubeherd.agents.pods.facts import (
    UNKNOWN_EXIT_CODE,
    ContainerFacts,
    ContainerPhase,
    Stop,
    Terminated,
)
from kubeherd.agents.pods.plans import ContainerPlan, Role
from kubeherd.agents.pods.sync import Pass
from kubeherd.cluster.api.objects import Pod

MIN_SIGTERM_S: Final = 2.0
"""SIGTERM is followed by SIGKILL after at least this long, however short the grace."""
DEFAULT_GRACE_S: Final = 30.0
SIGKILL_CODE: Final = 137
_NOT_KILLED: Final = (
    'error killing pod: failed to "KillContainer" for "{}" with KillContainerError: '
    '"rpc error: code = DeadlineExceeded desc = context deadline exceeded"'
)
"""v1.36, pkg/kubelet/kubelet.go and container/sync_result.go."""


def pod_grace_s(pod: Pod) -> float:
    """The spec's terminationGracePeriodSeconds, at least 1."""
    grace_s = pod.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_S if grace_s is None else max(1.0, float(grace_s))


def begin_stop(
    facts: ContainerFacts, plan: ContainerPlan, sync: Pass, grace_s: float, message: str
) -> ContainerFacts:
    """Stop a running container within `grace_s`; a stop in progress is only shortened."""
    if facts.stop is not None:
        return _shorten(facts, facts.stop, sync.now.s + max(MIN_SIGTERM_S, grace_s))
    sync.normal("Killing", message, plan.field_path)
    hook_s = min(plan.prestop_s, grace_s)
    if plan.prestop_s > grace_s:
        sync.warning("FailedPreStopHook", "PreStopHook failed", plan.field_path)
    sigterm_s = sync.now.s + hook_s
    remaining_s = max(MIN_SIGTERM_S, grace_s - hook_s)
    takes_s, code = _on_term(facts, plan)
    killed = takes_s > remaining_s
    stop = Stop(
        sigterm_s=sigterm_s,
        sigkill_s=sigterm_s + remaining_s,
        exits_s=sigterm_s + min(takes_s, remaining_s),
        exit_code=SIGKILL_CODE if killed else code,
        killed=killed,
    )
    return replace(facts, stop=stop)


def begin_restart(
    facts: ContainerFacts, plan: ContainerPlan, sync: Pass, grace_s: float, why: str
) -> ContainerFacts:
    """The same for a container that is to run anew in the same sync of the kubelet, in its words
    (v1.36, computePodActions)."""
    if plan.role is Role.SIDECAR:
        message = f"Init container {plan.name} {why}"
    else:
        message = f"Container {plan.name} {why}, will be restarted"
    stopped = begin_stop(facts, plan, sync, grace_s, message)
    if stopped.stop is None:
        return stopped
    return replace(stopped, stop=replace(stopped.stop, restarts=True))


def _on_term(facts: ContainerFacts, plan: ContainerPlan) -> tuple[float, int]:
    """How long it takes to obey SIGTERM, and the exit code then: as annotations say, else as a
    script that traps the signal does. A plain command has process 1, which ignores what it has no
    handler for, and lives on until SIGKILL."""
    behaviour, program = plan.behaviour, facts.program or plan.program
    told = behaviour.stop_delay_s or behaviour.stop_exit_code not in (0, TERMINATED)
    if told or program is None:
        return behaviour.stop_delay_s, behaviour.stop_exit_code
    trap = program.on_term
    if trap is None or trap.takes_s is None:
        return math.inf, TERMINATED
    return trap.takes_s, trap.exit_code


def _shorten(facts: ContainerFacts, stop: Stop, sigkill_s: float) -> ContainerFacts:
    if sigkill_s >= stop.sigkill_s:
        return facts
    if sigkill_s >= stop.exits_s:
        return replace(facts, stop=replace(stop, sigkill_s=sigkill_s))
    return replace(
        facts,
        stop=replace(
            stop,
            sigterm_s=min(stop.sigterm_s, sigkill_s),
            sigkill_s=sigkill_s,
            exits_s=sigkill_s,
            exit_code=SIGKILL_CODE,
            killed=True,
        ),
    )


def survive(facts: ContainerFacts, stop: Stop, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    """A container that even SIGKILL does not end, as one whose process hangs in the kernel; what
    the kubelet says of it is said once. It ends with the cause, at once if it is overdue."""
    if sync.now.s < stop.sigkill_s:
        sync.wake(stop.sigkill_s)
        return facts
    if stop.killed and stop.signalled:
        return facts
    sync.warning("FailedKillPod", _NOT_KILLED.format(plan.name))
    killed = replace(
        stop, exits_s=stop.sigkill_s, exit_code=SIGKILL_CODE, killed=True, signalled=True
    )
    return replace(facts, stop=killed)


def abandon(facts: ContainerFacts) -> ContainerFacts:
    """Give up what has not begun to run: pulls, back-offs, and containers not yet started."""
    if facts.phase is ContainerPhase.RUNNING:
        return facts
    if facts.phase is ContainerPhase.EXITED:
        return facts if facts.waiting is None else replace(facts, waiting=None)
    if facts.last is not None or facts.terminated is not None:
        ended = facts.terminated or facts.last
        return replace(
            facts,
            phase=ContainerPhase.EXITED,
            waiting=None,
            terminated=ended,
            last=None if ended is facts.last else facts.last,
        )
    return replace(facts, phase=ContainerPhase.ABSENT, container_id="")


def exited(facts: ContainerFacts, code: int, reason: str, sync: Pass) -> ContainerFacts:
    """The container with its process ended now."""
    return replace(
        facts,
        phase=ContainerPhase.EXITED,
        ready=False,
        started=False,
        stop=None,
        waiting=None,
        finished_s=sync.now.s,
        replaced=facts.stop is not None and facts.stop.restarts,
        finished_before_s=facts.finished_s,
        terminated=Terminated(
            exit_code=code,
            reason=reason,
            started_at=facts.started_at,
            finished_at=sync.now.text,
            container_id=facts.container_id,
        ),
    )


def lost(facts: ContainerFacts) -> ContainerFacts:
    """Step 7: a container without a terminated state gets one of unknown cause."""
    if facts.terminated is not None:
        return facts
    return replace(
        facts,
        phase=ContainerPhase.EXITED,
        waiting=None,
        terminated=Terminated(
            exit_code=UNKNOWN_EXIT_CODE,
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was terminated",
        ),
    )
