"""A pod's phase from its containers (spec node-lifecycle 12.3)."""

from collections.abc import Iterable, Mapping

from kubeherd.agents.pods.facts import TERMINAL, ContainerFacts, ContainerPhase, PodPhase
from kubeherd.agents.pods.plans import ContainerPlan, Role

Containers = Mapping[str, ContainerFacts]


def pod_phase(
    plans: Iterable[ContainerPlan],
    containers: Containers,
    *,
    previous: PodPhase,
    terminating: bool,
) -> PodPhase:
    """The phase now; once terminal it stays, and it is not terminal while something runs."""
    if previous in TERMINAL:
        return previous
    plans = list(plans)
    phase = computed(plans, containers, terminating=terminating)
    if phase in TERMINAL and any(c.running for c in containers.values()):
        return previous
    return phase


def initialized(plans: Iterable[ContainerPlan], containers: Containers) -> bool:
    """Whether init containers are done and sidecars started, or a regular container ever ran."""
    plans = list(plans)
    if any(ever_started(containers[plan.name]) for plan in plans if plan.role is Role.REGULAR):
        return True
    return all(not pending_init(plan, containers[plan.name]) for plan in plans)


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
    return container.running or container.terminated is not None or container.last is not None


def computed(plans: list[ContainerPlan], containers: Containers, *, terminating: bool) -> PodPhase:
    """The phase by the rules alone, whatever it was before; sidecars that still run are ignored."""
    regular = [(plan, containers[plan.name]) for plan in plans if plan.role is Role.REGULAR]
    if not any(ever_started(container) for _, container in regular):
        for plan in plans:
            container = containers[plan.name]
            if not pending_init(plan, container):
                continue
            if plan.role is Role.INIT and container.phase is ContainerPhase.EXITED:
                return PodPhase.PENDING if plan.may_restart(container) else PodPhase.FAILED
            return PodPhase.PENDING
    if any(not ever_started(container) for _, container in regular):
        return PodPhase.PENDING
    if any(container.running for _, container in regular):
        return PodPhase.RUNNING
    if not terminating and any(plan.may_restart(container) for plan, container in regular):
        return PodPhase.RUNNING
    if all(_last_exit_code(container) == 0 for _, container in regular):
        return PodPhase.SUCCEEDED
    return PodPhase.FAILED


def _last_exit_code(container: ContainerFacts) -> int:
    ended = container.terminated or container.last
    return ended.exit_code if ended is not None else -1
