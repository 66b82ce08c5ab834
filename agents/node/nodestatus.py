"""The Node object of a fake node and its status: pure functions of the node's configuration.

Source: spec node-lifecycle 2.1 and 2.2. Conditions can be faked by annotations on the Node
(docs/fake-pods.md). Invariant: lastTransitionTime moves only when a condition's status does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from kubeherd.agents.faking.annotations import is_true
from kubeherd.agents.pods.containers import IMAGE_SIZE_BYTES, image_id
from kubeherd.agents.pods.facts import Transition
from kubeherd.cluster.api.helpers import nodestandin
from kubeherd.cluster.api.helpers.scripts import PREFIX, parse_seconds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Taint
from kubeherd.cluster.api.version import KUBEHERD_VERSION, KUBERNETES_VERSION

RUNTIME_VERSION: Final = f"kubeherd://{KUBEHERD_VERSION}"
OS_IMAGE: Final = f"kubeherd {KUBEHERD_VERSION}"
KERNEL_VERSION: Final = "6.12.0-kubeherd"
KUBELET_PORT: Final = 10250
MAX_IMAGES: Final = 50
SPEAKS_WEBSOCKET: Final = "ExtendWebSocketsToKubelet"
"""What a node declares to which an API server may pass on WebSockets (v1.36)."""

CIDR_ANNOTATION: Final = PREFIX + "pod-cidr"
MEMORY_PRESSURE: Final = PREFIX + "memory-pressure"
DISK_PRESSURE: Final = PREFIX + "disk-pressure"
PID_PRESSURE: Final = PREFIX + "pid-pressure"
NOT_READY: Final = PREFIX + "not-ready"
SHUTTING_DOWN: Final = PREFIX + "shutting-down"
CONDITION_ONLY: Final = "condition-only"
"""A pressure annotation of this value shows the condition and evicts no running pod."""
HEARTBEAT_INTERVAL: Final = PREFIX + "heartbeat-interval-seconds"


class KubeletEndpoint(NamedTuple):
    """An address of this machine."""

    address: str
    port: int


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the command line says about a node. Quantities as Kubernetes writes them."""

    name: str
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    cpu: str = "8"
    memory: str = "32Gi"
    ephemeral_storage: str = "100Gi"
    pods: int = 110
    pod_manifest_path: str = ""
    """The directory of its static pods; "" for none."""
    kubelet: KubeletEndpoint | None = None
    """Where the kubelet's API is served; None: nowhere."""


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a node is in this life: its addresses and the boot that it runs on."""

    pod_cidr: str
    ip: str
    boot_id: str


class NodeCondition(NamedTuple):
    """One node condition without its times."""

    type: str
    status: bool
    reason: str
    message: str
    event: str
    """The reason of the Event that tells of the change to this status."""


def default_labels(name: str) -> dict[str, str]:
    """The labels that every kubelet owns."""
    return {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }


RECONCILED_LABELS: Final = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
)
"""Configured labels that an existing Node takes over besides the default ones."""

MANAGED_ATTACH: Final = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}


def node_object(config: NodeConfig, identity: NodeIdentity, status: JsonObject) -> JsonObject:
    """The Node as first registered."""
    spec: JsonObject = {}
    if config.taints:
        spec["taints"] = [_taint(taint) for taint in config.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.name,
            "labels": {**default_labels(config.name), **config.labels},
            "annotations": {
                **MANAGED_ATTACH,
                CIDR_ANNOTATION: identity.pod_cidr,
                **config.annotations,
            },
        },
        "spec": spec,
        "status": status,
    }


def reconcile_patch(
    config: NodeConfig,
    identity: NodeIdentity,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> JsonObject:
    """The metadata that an existing Node lacks (spec 2.1), {} if nothing. One that stands in for
    another keeps that one's labels."""
    own = default_labels(config.name)
    if nodestandin.ANNOTATION in annotations:
        own = {key: labels.get(key, value) for key, value in own.items()}
    own |= {key: config.labels[key] for key in RECONCILED_LABELS if key in config.labels}
    wanted = {**MANAGED_ATTACH, CIDR_ANNOTATION: identity.pod_cidr}
    patch: JsonObject = {}
    if changed := {k: v for k, v in own.items() if labels.get(k) != v}:
        patch["labels"] = changed
    if changed := {k: v for k, v in wanted.items() if annotations.get(k) != v}:
        patch["annotations"] = changed
    return patch


def _taint(taint: Taint) -> JsonObject:
    tree: JsonObject = {"key": taint.key, "effect": taint.effect}
    if taint.value:
        tree["value"] = taint.value
    return tree


def evicts(annotations: Mapping[str, str], pressure: str) -> bool:
    """Whether this pressure annotation asks for the eviction of running pods."""
    return is_true(annotations.get(pressure))


def shutdown_grace_s(annotations: Mapping[str, str]) -> float | None:
    """How long the pods of a machine that shuts down have; None if it does not."""
    return parse_seconds(annotations.get(SHUTTING_DOWN))


def conditions(annotations: Mapping[str, str], runtime_error: str = "") -> list[NodeCondition]:
    """The conditions in a kubelet's order; `runtime_error`: why the node is not ready."""
    faked = annotations.get(NOT_READY, "")
    if faked and not runtime_error and faked.strip().lower() != "false":
        runtime_error = "container runtime is down" if is_true(faked) else faked
    if shutdown_grace_s(annotations) is not None and not runtime_error:
        runtime_error = "node is shutting down"
    return [
        _pressure(annotations, MEMORY_PRESSURE, _MEMORY),
        _pressure(annotations, DISK_PRESSURE, _DISK),
        _pressure(annotations, PID_PRESSURE, _PID),
        NodeCondition("Ready", False, "KubeletNotReady", runtime_error, "NodeNotReady")
        if runtime_error
        else NodeCondition(
            "Ready", True, "KubeletReady", "kubelet is posting ready status", "NodeReady"
        ),
    ]


_MEMORY: Final = (
    NodeCondition(
        "MemoryPressure",
        False,
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
        "NodeHasSufficientMemory",
    ),
    NodeCondition(
        "MemoryPressure",
        True,
        "KubeletHasInsufficientMemory",
        "kubelet has insufficient memory available",
        "NodeHasInsufficientMemory",
    ),
)
_DISK: Final = (
    NodeCondition(
        "DiskPressure",
        False,
        "KubeletHasNoDiskPressure",
        "kubelet has no disk pressure",
        "NodeHasNoDiskPressure",
    ),
    NodeCondition(
        "DiskPressure",
        True,
        "KubeletHasDiskPressure",
        "kubelet has disk pressure",
        "NodeHasDiskPressure",
    ),
)
_PID: Final = (
    NodeCondition(
        "PIDPressure",
        False,
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
        "NodeHasSufficientPID",
    ),
    NodeCondition(
        "PIDPressure",
        True,
        "KubeletHasInsufficientPID",
        "kubelet has insufficient PID available",
        "NodeHasInsufficientPID",
    ),
)


def _pressure(
    annotations: Mapping[str, str], key: str, both: tuple[NodeCondition, NodeCondition]
) -> NodeCondition:
    faked = annotations.get(key)
    return both[1] if is_true(faked) or faked == CONDITION_ONLY else both[0]


def condition_trees(
    wanted: Sequence[NodeCondition], transitions: Mapping[str, Transition], now: str
) -> tuple[list[JsonObject], dict[str, Transition], list[NodeCondition]]:
    """The trees, the transitions to remember, and the conditions whose status changed."""
    trees: list[JsonObject] = []
    moved: dict[str, Transition] = {}
    changed: list[NodeCondition] = []
    for condition in wanted:
        status = "True" if condition.status else "False"
        known = transitions.get(condition.type)
        if known is None or known.status != status:
            known = Transition(status, now)
            changed.append(condition)
        moved[condition.type] = known
        trees.append(
            {
                "type": condition.type,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": known.since,
                "reason": condition.reason,
                "message": condition.message,
            }
        )
    return trees, moved, changed


def status_content(config: NodeConfig, identity: NodeIdentity, images: Sequence[str]) -> JsonObject:
    """Everything of the status but the conditions."""
    resources = {
        "cpu": config.cpu,
        "ephemeral-storage": config.ephemeral_storage,
        "memory": config.memory,
        "pods": str(config.pods),
    }
    status: JsonObject = {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            {"type": "InternalIP", "address": identity.ip},
            {"type": "Hostname", "address": config.name},
        ],
        "daemonEndpoints": {
            "kubeletEndpoint": {"Port": config.kubelet.port if config.kubelet else KUBELET_PORT}
        },
        "nodeInfo": {
            "machineID": _machine_id(config.name),
            "systemUUID": _uuid(_machine_id(config.name)),
            "bootID": identity.boot_id,
            "kernelVersion": KERNEL_VERSION,
            "osImage": OS_IMAGE,
            "containerRuntimeVersion": RUNTIME_VERSION,
            "kubeletVersion": KUBERNETES_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
        "runtimeHandlers": [
            {"name": "", "features": {"recursiveReadOnlyMounts": True, "userNamespaces": True}}
        ],
        "features": {"supplementalGroupsPolicy": True},
    }
    if config.kubelet:
        status["declaredFeatures"] = [SPEAKS_WEBSOCKET]
    if images:
        status["images"] = [
            {"names": sorted({image_id(image), image}), "sizeBytes": IMAGE_SIZE_BYTES}
            for image in images[:MAX_IMAGES]
        ]
    return status


def _machine_id(name: str) -> str:
    return hashlib.sha256(f"kubeherd node {name}".encode()).hexdigest()[:32]


def _uuid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
