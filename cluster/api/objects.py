"""Typed, read-only views of the objects that controllers and agents reason over.

Decoded once at the edge (msgspec, from JSON or msgpack bytes); unknown fields are skipped. Names
are snake_case here and camelCase on the wire. Times stay RFC 3339 strings: code that needs
instants uses `cluster.api.timestamps`. Where a tree must survive unchanged (a pod template, the
data of a ControllerRevision, a pod's affinity) it is kept as a `JsonObject`.
"""

from functools import lru_cache

import msgspec
from msgspec.structs import force_setattr

from kubeherd.cluster.api.jsontypes import JsonObject


class Wire(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all wire structs: camelCase names, immutable, defaults omitted when encoded."""


class OwnerReference(Wire, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Wire, frozen=True, kw_only=True):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    def controller(self) -> OwnerReference | None:
        """The owner reference with ``controller: true``, or None."""
        for reference in self.owner_references:  # no generator: asked many times of every pod
            if reference.controller:
                return reference
        return None


class LabelSelectorRequirement(Wire, frozen=True, kw_only=True):
    key: str = ""
    operator: str = ""
    values: list[str] = msgspec.field(default_factory=list)


class LabelSelector(Wire, frozen=True, kw_only=True):
    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: list[LabelSelectorRequirement] = msgspec.field(default_factory=list)


class Condition(Wire, frozen=True, kw_only=True):
    """A condition of a pod, a node or any other object; ``status`` is True, False or Unknown."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_probe_time: str | None = None
    last_heartbeat_time: str | None = None
    last_transition_time: str | None = None
    observed_generation: int = 0


class Taint(Wire, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class Toleration(Wire, frozen=True, kw_only=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


# --- Node ---


class NodeSpec(Wire, frozen=True, kw_only=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    provider_id: str = msgspec.field(default="", name="providerID")
    unschedulable: bool = False
    taints: list[Taint] = msgspec.field(default_factory=list)


class NodeAddress(Wire, frozen=True, kw_only=True):
    type: str = ""
    address: str = ""


class NodeStatus(Wire, frozen=True, kw_only=True):
    capacity: dict[str, str] = msgspec.field(default_factory=dict)
    allocatable: dict[str, str] = msgspec.field(default_factory=dict)
    conditions: list[Condition] = msgspec.field(default_factory=list)
    addresses: list[NodeAddress] = msgspec.field(default_factory=list)


class Node(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


# --- Pod ---


class ContainerPort(Wire, frozen=True, kw_only=True):
    name: str = ""
    container_port: int = 0
    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class ResourceRequirements(Wire, frozen=True, kw_only=True):
    limits: dict[str, str | int | float] = msgspec.field(default_factory=dict)
    requests: dict[str, str | int | float] = msgspec.field(default_factory=dict)


class VolumeMount(Wire, frozen=True, kw_only=True):
    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    read_only: bool = False


class ObjectFieldSelector(Wire, frozen=True, kw_only=True):
    field_path: str = ""


class EnvVarSource(Wire, frozen=True, kw_only=True):
    """`field_ref` None: another source, of which nothing is kept."""

    field_ref: ObjectFieldSelector | None = None


class EnvVar(Wire, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class EmptyDir(Wire, frozen=True, kw_only=True):
    """Nothing of it matters but that it is there."""


class HostPath(Wire, frozen=True, kw_only=True):
    path: str = ""


class ClaimSource(Wire, frozen=True, kw_only=True):
    claim_name: str = ""


class EphemeralSource(Wire, frozen=True, kw_only=True):
    """A claim that belongs to the pod: what it is made of does not matter to its readers."""


class Volume(Wire, frozen=True, kw_only=True):
    """A pod's volume; of any other source than these only the name is kept."""

    name: str = ""
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: EphemeralSource | None = None


class Container(Wire, frozen=True, kw_only=True):
    name: str = ""
    image: str = ""
    command: list[str] = msgspec.field(default_factory=list)
    args: list[str] = msgspec.field(default_factory=list)
    image_pull_policy: str = ""
    restart_policy: str = ""
    restart_policy_rules: tuple[JsonObject, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    resources: ResourceRequirements = msgspec.field(default_factory=ResourceRequirements)
    volume_mounts: tuple[VolumeMount, ...] = ()
    env: tuple[EnvVar, ...] = ()
    lifecycle: JsonObject | None = None
    liveness_probe: JsonObject | None = None
    readiness_probe: JsonObject | None = None
    startup_probe: JsonObject | None = None


@lru_cache(maxsize=256)
def _shared(tolerations: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    """The first of all that are equal: a quarter of what there is to know of a DaemonSet's pod."""
    return tolerations


class PodReadinessGate(Wire, frozen=True, kw_only=True):
    condition_type: str = ""


class PodSpec(Wire, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    restart_policy: str = "Always"
    os: JsonObject | None = None
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    node_name: str = ""
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    affinity: JsonObject | None = None
    tolerations: tuple[Toleration, ...] = ()
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    set_hostname_as_fqdn: bool = msgspec.field(default=False, name="setHostnameAsFQDN")
    hostname_override: str = ""
    volumes: tuple[Volume, ...] = ()
    scheduler_name: str = ""
    priority_class_name: str = ""
    priority: int | None = None
    preemption_policy: str = ""
    overhead: dict[str, str | int | float] = msgspec.field(default_factory=dict)
    resources: ResourceRequirements | None = None
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    scheduling_gates: tuple[JsonObject, ...] = ()
    topology_spread_constraints: tuple[JsonObject, ...] = ()

    def __post_init__(self) -> None:
        if self.tolerations:
            force_setattr(self, "tolerations", _shared(self.tolerations))


class PodIP(Wire, frozen=True, kw_only=True):
    ip: str = ""


class PodStatus(Wire, frozen=True, kw_only=True):
    """What controllers need of a pod's status; ``container_statuses`` stay JSON trees."""

    observed_generation: int = 0
    phase: str = ""
    reason: str = ""
    message: str = ""
    nominated_node_name: str = ""
    host_ip: str = msgspec.field(default="", name="hostIP")
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: list[PodIP] = msgspec.field(default_factory=list, name="podIPs")
    start_time: str | None = None
    qos_class: str = ""
    conditions: list[Condition] = msgspec.field(default_factory=list)
    container_statuses: list[JsonObject] = msgspec.field(default_factory=list)
    init_container_statuses: list[JsonObject] = msgspec.field(default_factory=list)
    ephemeral_container_statuses: list[JsonObject] = msgspec.field(default_factory=list)

    def condition(self, type_: str) -> Condition | None:
        """The condition of this type, or None."""
        return next((c for c in self.conditions if c.type == type_), None)


class Pod(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def ready(self) -> bool:
        """Whether the Ready condition is True."""
        condition = self.status.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def terminal(self) -> bool:
        """Whether the phase is Succeeded or Failed."""
        return self.status.phase in ("Succeeded", "Failed")


# --- DaemonSet and ControllerRevision ---


class RollingUpdateDaemonSet(Wire, frozen=True, kw_only=True):
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class DaemonSetUpdateStrategy(Wire, frozen=True, kw_only=True):
    type: str = ""
    rolling_update: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Wire, frozen=True, kw_only=True):
    selector: LabelSelector | None = None
    template: JsonObject = msgspec.field(default_factory=dict)
    min_ready_seconds: int = 0
    update_strategy: DaemonSetUpdateStrategy = msgspec.field(
        default_factory=DaemonSetUpdateStrategy
    )
    revision_history_limit: int | None = None


class DaemonSetStatus(Wire, frozen=True, kw_only=True, omit_defaults=False):
    current_number_scheduled: int = 0
    number_misscheduled: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    observed_generation: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_unavailable: int = 0
    collision_count: int | None = None
    conditions: list[JsonObject] = msgspec.field(default_factory=list)


class DaemonSet(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: DaemonSetSpec = msgspec.field(default_factory=DaemonSetSpec)
    status: DaemonSetStatus = msgspec.field(default_factory=DaemonSetStatus)


class ControllerRevision(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    data: JsonObject = msgspec.field(default_factory=dict)
    revision: int = 0


# --- Lease, Namespace, PriorityClass, metadata only ---


class LeaseSpec(Wire, frozen=True, kw_only=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


class NamespaceSpec(Wire, frozen=True, kw_only=True):
    finalizers: list[str] = msgspec.field(default_factory=list)


class NamespaceStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""
    conditions: list[Condition] = msgspec.field(default_factory=list)


class Namespace(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: NamespaceSpec = msgspec.field(default_factory=NamespaceSpec)
    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)


class PriorityClass(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    value: int = 0
    global_default: bool = False
    preemption_policy: str = "PreemptLowerPriority"


class PartialObject(Wire, frozen=True, kw_only=True):
    """Any object, as far as its metadata goes: what the garbage collector watches."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


class ResourceQuota(Wire, frozen=True, kw_only=True):
    """A quota as its controller watches it; what is used changes with every object created."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: JsonObject = msgspec.field(default_factory=dict)


class ListMeta(Wire, frozen=True, kw_only=True):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None
