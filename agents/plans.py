"""What a pod's spec and annotations ask of each container, compiled for the pod machine."""

from enum import StrEnum

import msgspec

from agents import annotations, probes
from agents.annotations import Behaviour
from agents.facts import ContainerFacts
from agents.probes import ProbeSpec
from cluster.api.objects import Container, Pod


class Role(StrEnum):
    """The three kinds of containers that a pod starts."""

    INIT = "init"
    SIDECAR = "sidecar"
    REGULAR = "regular"


class ContainerPlan(msgspec.Struct, frozen=True, gc=False):
    """One container of a pod's spec."""

    name: str
    image: str
    pull_policy: str
    restart_policy: str
    role: Role
    field_path: str
    behaviour: Behaviour
    prestop_s: float
    readiness: ProbeSpec | None
    liveness: ProbeSpec | None
    startup: ProbeSpec | None

    def may_restart(self, facts: ContainerFacts) -> bool:
        """Whether the kubelet runs an ended container again (spec node-lifecycle 12.3, 12.5)."""
        failed = facts.terminated is None or facts.terminated.exit_code != 0
        if self.role is Role.INIT:
            return failed and self.restart_policy != "Never"
        return self.restart_policy == "Always" or (self.restart_policy == "OnFailure" and failed)


def container_plans(pod: Pod) -> list[ContainerPlan]:
    """The plans of all containers: init containers and sidecars in spec order, then the rest."""
    spec = pod.spec
    out = []
    for container in spec.init_containers:
        role = Role.SIDECAR if container.restart_policy == "Always" else Role.INIT
        out.append(_plan(pod, container, role, "initContainers"))
    out += [_plan(pod, c, Role.REGULAR, "containers") for c in spec.containers]
    return out


def _plan(pod: Pod, container: Container, role: Role, field: str) -> ContainerPlan:
    behaviour = annotations.behaviour(
        pod.metadata.annotations, container.name, runs_to_completion=role is Role.INIT
    )
    liveness = probes.parse(container.liveness_probe)
    if liveness is None and behaviour.fail_liveness_after_s is not None:
        liveness = probes.DEFAULT
    startup = probes.parse(container.startup_probe)
    if startup is None and behaviour.fail_startup:
        startup = probes.DEFAULT
    return ContainerPlan(
        name=container.name,
        image=container.image,
        pull_policy=container.image_pull_policy,
        restart_policy=container.restart_policy or pod.spec.restart_policy or "Always",
        role=role,
        field_path=f"spec.{field}{{{container.name}}}",
        behaviour=behaviour,
        prestop_s=behaviour.prestop_s or _prestop_sleep_s(container),
        readiness=probes.parse(container.readiness_probe),
        liveness=liveness,
        startup=startup,
    )


def _prestop_sleep_s(container: Container) -> float:
    """The `lifecycle.preStop.sleep.seconds` of the spec; other hooks take no time."""
    hook = (container.lifecycle or {}).get("preStop") or {}
    return float((hook.get("sleep") or {}).get("seconds") or 0)
