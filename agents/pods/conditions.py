"""The pod conditions that a kubelet owns: order, reasons, messages (spec node-lifecycle 12.2)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from kubeherd.agents.pods import phase as phases
from kubeherd.agents.pods.facts import PodFacts, PodPhase, Transition
from kubeherd.agents.pods.plans import ContainerPlan, Role
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod

OWNED: Final = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)
"""In the order in which a kubelet writes them."""


DISRUPTION_TARGET: Final = "DisruptionTarget"
BY_KUBELET: Final = "TerminationByKubelet"


class Verdict(NamedTuple):
    """One condition without its times."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""


def verdicts(pod: Pod, plans: list[ContainerPlan], facts: PodFacts) -> list[Verdict]:
    """The conditions of a pod in the kubelet's order."""
    containers_ready = _containers_ready(plans, facts)
    disrupted = [Verdict(DISRUPTION_TARGET, True, BY_KUBELET, facts.disruption)]
    return [
        *(disrupted if facts.disruption else ()),
        Verdict("PodReadyToStartContainers", facts.sandbox),
        _initialized(plans, facts),
        _ready(pod, containers_ready),
        containers_ready,
        Verdict("PodScheduled", True),
    ]


def with_times(
    wanted: list[Verdict],
    transitions: Mapping[str, Transition],
    generation: int,
    now: str,
) -> tuple[list[JsonObject], dict[str, Transition]]:
    """The condition trees and the transitions to remember; times move only with the status."""
    trees: list[JsonObject] = []
    moved = dict(transitions)
    for verdict in wanted:
        status = "True" if verdict.status else "False"
        known = moved.get(verdict.type)
        if known is None or known.status != status:
            known = moved[verdict.type] = Transition(status, now)
        tree: JsonObject = {"type": verdict.type}
        if generation:
            tree["observedGeneration"] = generation
        tree["status"] = status
        tree["lastProbeTime"] = None
        tree["lastTransitionTime"] = known.since
        if verdict.reason:
            tree["reason"] = verdict.reason
        if verdict.message:
            tree["message"] = verdict.message
        trees.append(tree)
    return trees, moved


def _initialized(plans: list[ContainerPlan], facts: PodFacts) -> Verdict:
    if facts.phase is PodPhase.SUCCEEDED:
        return Verdict("Initialized", True, "PodCompleted")
    if not facts.containers:
        return Verdict("Initialized", True)
    if phases.initialized(plans, facts.containers):
        return Verdict("Initialized", True)
    pending = [p.name for p in plans if phases.pending_init(p, facts.containers[p.name])]
    return Verdict(
        "Initialized",
        False,
        "ContainersNotInitialized",
        f"containers with incomplete status: [{' '.join(pending)}]",
    )


def _containers_ready(plans: list[ContainerPlan], facts: PodFacts) -> Verdict:
    match facts.phase:
        case PodPhase.SUCCEEDED:
            return Verdict("ContainersReady", False, "PodCompleted")
        case PodPhase.FAILED:
            return Verdict("ContainersReady", False, "PodFailed")
    unready = [
        plan.name
        for plan in plans
        if plan.role in (Role.REGULAR, Role.SIDECAR) and not facts.containers[plan.name].ready
    ]
    if not unready:
        return Verdict("ContainersReady", True)
    message = f"containers with unready status: [{' '.join(unready)}]"
    return Verdict("ContainersReady", False, "ContainersNotReady", message)


def _ready(pod: Pod, containers_ready: Verdict) -> Verdict:
    if not containers_ready.status:
        return containers_ready._replace(type="Ready")
    problems = []
    for gate in pod.spec.readiness_gates:
        condition = pod.status.condition(gate.condition_type)
        if condition is None:
            problems.append(
                f'corresponding condition of pod readiness gate "{gate.condition_type}" '
                "does not exist."
            )
        elif condition.status != "True":
            problems.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", '
                f"but {condition.status}"
            )
    if problems:
        return Verdict("Ready", False, "ReadinessGatesNotReady", ", ".join(problems))
    return Verdict("Ready", True)
