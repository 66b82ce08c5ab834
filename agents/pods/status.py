"""The status of a pod as a kubelet writes it, from the pod and the runtime's facts. Pure.

Source: spec node-lifecycle 12.1, 12.2 and 12.4. Invariant: the same pod and facts give the same
tree, so that "changed" can be decided by comparing trees.
"""

from msgspec.structs import replace

from kubeherd.agents.pods import conditions
from kubeherd.agents.pods.containers import image_id
from kubeherd.agents.pods.facts import (
    ContainerFacts,
    ContainerPhase,
    PodFacts,
    Terminated,
    WaitingReason,
)
from kubeherd.agents.pods.plans import ContainerPlan, Role
from kubeherd.agents.pods.sync import NodeView
from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Container, Pod

_ROOT_USER: JsonObject = {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}}


def generate(
    pod: Pod, plans: list[ContainerPlan], facts: PodFacts, node: NodeView, now: str
) -> tuple[JsonObject, PodFacts]:
    """The whole status, and the facts with the conditions' transitions remembered."""
    generation = pod.metadata.generation
    trees, transitions = conditions.with_times(
        conditions.verdicts(pod, plans, facts), facts.transitions, generation, now
    )
    status: JsonObject = {"observedGeneration": generation} if generation else {}
    status["phase"] = facts.phase.value
    status["conditions"] = trees
    if facts.rejection is not None:
        status["message"] = facts.rejection.message
        status["reason"] = facts.rejection.reason
    _add_addresses(status, pod, facts, node)
    status["startTime"] = facts.start_time
    if facts.containers:
        _add_containers(status, pod, plans, facts)
    if pod.status.qos_class:
        status["qosClass"] = pod.status.qos_class
    if any(container.container_id for container in facts.containers.values()):
        _add_pod_resources(status, pod)
    if transitions != facts.transitions:
        facts = replace(facts, transitions=transitions)
    return status, facts


def rejected(pod: Pod, facts: PodFacts) -> JsonObject:
    """The status of a pod that was not admitted (spec 11): no containers, no addresses."""
    status: JsonObject = {}
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    status["phase"] = facts.phase.value
    if facts.rejection is not None:
        status["message"] = facts.rejection.message
        status["reason"] = facts.rejection.reason
    status["startTime"] = facts.start_time
    if pod.status.qos_class:
        status["qosClass"] = pod.status.qos_class
    return status


def _add_addresses(status: JsonObject, pod: Pod, facts: PodFacts, node: NodeView) -> None:
    if node.host_ips:
        status["hostIP"] = node.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in node.host_ips]
    if facts.pod_ip:
        status["podIP"] = facts.pod_ip
        ips = node.host_ips if pod.spec.host_network else (facts.pod_ip,)
        status["podIPs"] = [{"ip": ip} for ip in ips]


def _add_containers(
    status: JsonObject, pod: Pod, plans: list[ContainerPlan], facts: PodFacts
) -> None:
    spec = pod.spec
    containers = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
    specs = {c.name: c for c in containers}
    initial = (
        WaitingReason.POD_INITIALIZING
        if pod.spec.init_containers
        else WaitingReason.CONTAINER_CREATING
    )
    init: list[JsonObject] = []
    regular: list[JsonObject] = []
    ephemeral: list[JsonObject] = []
    lists = {Role.REGULAR: regular, Role.EPHEMERAL: ephemeral}
    for plan in plans:
        container = facts.containers[plan.name]
        tree = _container(specs[plan.name], plan, container, initial)
        lists.get(plan.role, init).append(tree)
    if init:
        status["initContainerStatuses"] = init
    if len(regular) > 1:
        regular.sort(key=lambda tree: str(tree["name"]))
    status["containerStatuses"] = regular
    if ephemeral:
        ephemeral.sort(key=lambda tree: str(tree["name"]))
        status["ephemeralContainerStatuses"] = ephemeral


def _container(
    spec: Container, plan: ContainerPlan, facts: ContainerFacts, initial: WaitingReason
) -> JsonObject:
    exists = bool(facts.container_id)
    image = (facts.image if exists else "") or spec.image
    state, last = _states(facts, initial)
    tree: JsonObject = {
        "name": spec.name,
        "state": state,
        "lastState": last,
        "ready": _shown_ready(plan, facts),
        "restartCount": facts.restart_count,
        "image": image,
        "imageID": image_id(image) if exists else "",
    }
    if exists:
        tree["containerID"] = facts.container_id
    if plan.role is not Role.EPHEMERAL:
        tree["started"] = facts.started
    if exists:
        if spec.resources.requests:
            tree["allocatedResources"] = spec.resources.requests
        tree["resources"] = _resources(spec)
    if spec.volume_mounts:
        tree["volumeMounts"] = [
            {"name": mount.name, "mountPath": mount.mount_path}
            | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.read_only else {})
            for mount in spec.volume_mounts
        ]
    if exists:
        tree["user"] = _ROOT_USER
    return tree


def _shown_ready(plan: ContainerPlan, facts: ContainerFacts) -> bool:
    match plan.role:
        case Role.INIT:
            return facts.terminated is not None and facts.terminated.exit_code == 0
        case Role.EPHEMERAL:
            return False  # nobody probes it, and the kubelet never says otherwise
    return facts.ready


def _resources(spec: Container) -> JsonObject:
    resources: JsonObject = {}
    if spec.resources.limits:
        resources["limits"] = spec.resources.limits
    if spec.resources.requests:
        resources["requests"] = spec.resources.requests
    return resources


def _add_pod_resources(status: JsonObject, pod: Pod) -> None:
    """The pod's `allocatedResources` and `resources`: what its regular containers add up to."""
    containers = [container.resources for container in pod.spec.containers]
    requests = _sum([resources.requests for resources in containers])
    limits = _sum([resources.limits for resources in containers])
    if requests:
        status["allocatedResources"] = requests
    if limits or requests:
        status["resources"] = {
            key: value for key, value in (("limits", limits), ("requests", requests)) if value
        }


def _sum(lists: list[dict[str, str | int | float]]) -> dict[str, str]:
    total: dict[str, quantity.Quantity] = {}
    for amounts in lists:
        for name, amount in amounts.items():
            parsed = quantity.parse(amount)
            total[name] = total[name] + parsed if name in total else parsed
    return {name: str(amount) for name, amount in total.items()}


def _states(facts: ContainerFacts, initial: WaitingReason) -> tuple[JsonObject, JsonObject]:
    """`state` and `lastState`; a waiting reason moves a terminated state to lastState."""
    last = _terminated(facts.last) if facts.last is not None else {}
    if facts.running:
        return {"running": {"startedAt": facts.started_at}}, last
    if facts.waiting is not None:
        waiting = {"reason": facts.waiting.reason.value, "message": facts.waiting.message}
        if facts.terminated is not None:
            last = _terminated(facts.terminated)
        return {"waiting": waiting}, last
    if facts.phase is ContainerPhase.EXITED and facts.terminated is not None:
        return _terminated(facts.terminated), last
    if facts.terminated is not None:
        last = _terminated(facts.terminated)
    if facts.phase is ContainerPhase.STARTING or last:
        initial = WaitingReason.CONTAINER_CREATING
    return {"waiting": {"reason": initial.value}}, last


def _terminated(ended: Terminated) -> JsonObject:
    tree: JsonObject = {"exitCode": ended.exit_code, "reason": ended.reason}
    if ended.message:
        tree["message"] = ended.message
    tree["startedAt"] = ended.started_at
    tree["finishedAt"] = ended.finished_at
    if ended.container_id:
        tree["containerID"] = ended.container_id
    return {"terminated": tree}
