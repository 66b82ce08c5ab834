"""What a pod's spec and annotations ask of each container, compiled for the pod machine."""

import re
from enum import StrEnum
from typing import Final

import msgspec

from kubeherd.agents.faking import annotations, images, volumefiles
from kubeherd.agents.faking.annotations import Behaviour
from kubeherd.agents.faking.volumefiles import Mount
from kubeherd.agents.pods import probes
from kubeherd.agents.pods.facts import ContainerFacts
from kubeherd.agents.pods.probes import ProbeSpec
from kubeherd.cluster.api.helpers import commands, environment
from kubeherd.cluster.api.helpers.commands import Program, Surroundings
from kubeherd.cluster.api.helpers.containeroutput import Output, output
from kubeherd.cluster.api.helpers.joblabels import JOB_NAME_LABELS
from kubeherd.cluster.api.objects import Container, Pod

_SLEEP: Final = re.compile(r"(?:(?:/bin/|/usr/bin/)?(?:ba)?sh -[a-z]*c )?sleep (\d+(?:\.\d+)?)s?")


class Role(StrEnum):
    """The kinds of containers that a pod starts."""

    INIT = "init"
    SIDECAR = "sidecar"
    REGULAR = "regular"
    EPHEMERAL = "ephemeral"
    """Added to a running pod (`kubectl debug`): starts once, counts for nothing."""


class RestartRule(msgspec.Struct, frozen=True, gc=False):
    """Exit codes with which a container is restarted whatever its restart policy says."""

    codes: frozenset[int]
    inside: bool

    def matches(self, exit_code: int) -> bool:
        """Whether the rule asks for a restart after this exit code."""
        return (exit_code in self.codes) is self.inside


class Script(msgspec.Struct, frozen=True, gc=False):
    """A plain command that depends on more than the pod: on files that are there, on chance."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    around: Surroundings
    mounts: tuple[Mount, ...]


class ContainerPlan(msgspec.Struct, frozen=True, gc=False):
    """One container of a pod's spec."""

    name: str
    image: str
    pull_policy: str
    restart_policy: str
    restart_codes: tuple[RestartRule, ...]
    role: Role
    field_path: str
    behaviour: Behaviour
    program: Program | None
    script: Script | None
    output: Output | None
    prestop_s: float
    readiness: ProbeSpec | None
    liveness: ProbeSpec | None
    startup: ProbeSpec | None

    def may_restart(self, facts: ContainerFacts) -> bool:
        """Whether the kubelet runs an ended container again (spec node-lifecycle 12.3, 12.5)."""
        if self.role is Role.EPHEMERAL:
            return False
        if facts.replaced:
            return True
        failed = facts.terminated is None or facts.terminated.exit_code != 0
        if facts.terminated is not None:
            code = facts.terminated.exit_code
            if any(rule.matches(code) for rule in self.restart_codes):
                return True
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
    out += [_plan(pod, c, Role.EPHEMERAL, "ephemeralContainers") for c in spec.ephemeral_containers]
    return out


def _plan(pod: Pod, container: Container, role: Role, field: str) -> ContainerPlan:
    program, script = _program(pod, container)
    behaviour = annotations.behaviour(
        pod.metadata.annotations,
        container.name,
        is_init=role is Role.INIT,
        without_words=_without_words(pod, container, role, program),
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
        restart_codes=_restart_rules(container),
        role=role,
        field_path=f"spec.{field}{{{container.name}}}",
        behaviour=behaviour,
        program=program,
        script=script,
        output=output(behaviour.log, behaviour.log_interval_s, program),
        prestop_s=behaviour.prestop_s or _prestop_sleep_s(container),
        readiness=probes.parse(container.readiness_probe),
        liveness=liveness,
        startup=startup,
    )


def _program(pod: Pod, container: Container) -> tuple[Program | None, Script | None]:
    """What a container's plain command does where its volumes are empty, and where they are not."""
    command, args = container.command, container.args
    if not command and not args:
        return None, None
    around = environment.surroundings(pod, container)
    found = commands.program(command, args, around)
    if found is None:
        return None, None
    mounts = volumefiles.mounts(pod, container) if around.whole else ()
    if not (commands.draws(command, args) or _names(command, args, mounts)):
        return found, None
    return found, Script(tuple(command), tuple(args), around, mounts)


def _names(command: list[str], args: list[str], mounts: tuple[Mount, ...]) -> bool:
    return any(mount.path in word for mount in mounts for word in (*command, *args))


def _without_words(
    pod: Pod, container: Container, role: Role, program: Program | None
) -> Behaviour:
    """What a container does of which no annotation says how it ends."""
    if program is not None or role in (Role.SIDECAR, Role.EPHEMERAL):
        return annotations.DEFAULT
    if role is Role.REGULAR and not _is_of_job(pod):
        return annotations.DEFAULT
    if commands.loops_for_ever(container.command, container.args):
        return annotations.DEFAULT
    if role is Role.INIT:
        return annotations.RUNS_TO_COMPLETION
    serves = images.serves(container.image, container.command, container.args)
    return annotations.DEFAULT if serves else annotations.JOB


def _is_of_job(pod: Pod) -> bool:
    owner = pod.metadata.controller()
    return (owner is not None and owner.kind == "Job") or JOB_NAME_LABELS[0] in pod.metadata.labels


def _restart_rules(container: Container) -> tuple[RestartRule, ...]:
    """The rules with action Restart; a RestartAllContainers rule restarts this container alone."""
    return tuple(
        RestartRule(frozenset(codes.get("values") or ()), codes.get("operator") != "NotIn")
        for rule in container.restart_policy_rules
        if (codes := rule.get("exitCodes"))
    )


def _prestop_sleep_s(container: Container) -> float:
    """How long the preStop hook takes: its `sleep`, or a command that does nothing but sleep.

    `["sleep", "15"]` and `["/bin/sh", "-c", "sleep 15"]` are the usual way to delay a stop; other
    commands are not run and take no time.
    """
    hook = (container.lifecycle or {}).get("preStop") or {}
    command = [str(word) for word in (hook.get("exec") or {}).get("command") or ()]
    if command and (found := _SLEEP.fullmatch(" ".join(command))):
        return float(found[1])
    return float((hook.get("sleep") or {}).get("seconds") or 0)
