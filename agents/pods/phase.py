"""A pod's phase from its containers (spec node-lifecycle 12.3)."""

from collections.abc import Mapping, Sequence

from kubeherd.agents.pods.facts import TERMINAL, ContainerFacts, ContainerPhase, PodPhase
from kubeherd.agents.pods.plans import ContainerPlan, Role

Containers = Mapping[str, ContainerFacts]


def pod_phase(phase: PodPhase, containers: Containers, *, previous: PodPhase) -> PodPhase:
    """The phase now, which is `phase` by the rules alone; once terminal it stays, and it is not
    terminal while something runs."""
    if previous in TERMINAL:
        return previous
    if phase in TERMINAL and any(c.running for c in containers.values()):
        return previous
    return phase


def initialized(plans: Sequence[ContainerPlan], containers: Containers) -> bool:
    """Whether init containers are done and sidecars started, or a regular container ever ran."""
    pending = False
    for plan in plans:  # here and below no generators: asked several times for each step of a pod
        container = containers[plan.name]
        if plan.role is Role.REGULAR and ever_started(container):
            return True
        pending = pending or pending_init(plan, container)
    return not pending


def pending_init(plan: ContainerPlan, container: ContainerFacts) -> bool:
    """Whether this container still holds up the initialisation of its pod."""
    match plan.role:
        case Role.INIT:
            return not completed(container)
        case Role.SIDECAR:
            return not container.started
    return False


def completed(container: ContainerFacts) -> bool:
    """Whether the container has ended with exit code 0."""
    ended = container.terminated
    return container.phase is ContainerPhase.EXITED and ended is not None and ended.exit_code == 0


def ever_started(container: ContainerFacts) -> bool:
    """Whether the container's process has run at least once."""
    return (
        container.phase is ContainerPhase.RUNNING
        or container.terminated is not None
        or container.last is not None
    )


def computed(plans: list[ContainerPlan], containers: Containers, *, terminating: bool) -> PodPhase:
    """The phase by the rules alone, whatever it was before; sidecars that still run are ignored."""
    regular = [(plan, containers[plan.name]) for plan in plans if plan.role is Role.REGULAR]
    started = [ever_started(container) for _, container in regular]
    if True not in started:
        for plan in plans:
            container = containers[plan.name]
            if not pending_init(plan, container):
                continue
            if plan.role is Role.INIT and container.phase is ContainerPhase.EXITED:
                return PodPhase.PENDING if plan.may_restart(container) else PodPhase.FAILED
            return PodPhase.PENDING
    if False in started:
        return PodPhase.PENDING
    for _, container in regular:
        if container.phase is ContainerPhase.RUNNING:
            return PodPhase.RUNNING
    if not terminating and any(plan.may_restart(container) for plan, container in regular):
        return PodPhase.RUNNING
    if all(_last_exit_code(container) == 0 for _, container in regular):
        return PodPhase.SUCCEEDED
    return PodPhase.FAILED


def _last_exit_code(container: ContainerFacts) -> int:
    ended = container.terminated or container.last
    return ended.exit_code if ended is not None else -1
