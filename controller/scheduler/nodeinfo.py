"""What pods need and what nodes have left, kept up to date pod by pod.

Pure data with incremental updates: adding or removing a pod costs its own requests, never a
recount of the node. Invariant: a pod is counted at most once per node, by uid.
"""

from collections.abc import Iterable, Mapping

import msgspec

from kubeherd.cluster.api.helpers.scheduling import (
    HostPort,
    NodeMatch,
    allocatable_amounts,
    host_ports,
    named_nodes,
    pod_requests,
    required_node_match,
)
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.controller.scheduler.topology import Rules, Terms, terms_of
from kubeherd.controller.scheduler.volumes import PodVolumes

DEFAULT_CPU_MILLI = 100
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024

Key = tuple[str, str]
"""(namespace, name)."""


class PodInfo(msgspec.Struct, frozen=True):
    """A pod with everything that the filters ask of it worked out once."""

    pod: Pod
    requests: Mapping[str, int]
    """cpu in millicores, the rest in whole units; without zero entries."""
    ports: tuple[HostPort, ...]
    priority: int
    weight: tuple[int, int]
    """cpu and memory as scoring counts them: containers without a request count as small."""
    terms: Terms | None = None
    """What it asks of the pods around it; None for almost every pod."""

    @property
    def key(self) -> Key:
        return self.pod.metadata.namespace, self.pod.metadata.name

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid


def pod_info(pod: Pod) -> PodInfo:
    """Work out a pod's requests, ports and priority; ValueError on an unreadable quantity."""
    requests = {name: amount for name, amount in pod_requests(pod.spec).items() if amount > 0}
    return PodInfo(
        pod,
        requests,
        tuple(host_ports(pod.spec)),
        pod.spec.priority or 0,
        _weight(pod, requests),
        terms_of(pod),
    )


def _weight(pod: Pod, requests: Mapping[str, int]) -> tuple[int, int]:
    without_cpu = sum("cpu" not in c.resources.requests for c in pod.spec.containers)
    without_memory = sum("memory" not in c.resources.requests for c in pod.spec.containers)
    return (
        requests.get("cpu", 0) + without_cpu * DEFAULT_CPU_MILLI,
        requests.get("memory", 0) + without_memory * DEFAULT_MEMORY_BYTES,
    )


class Placement(msgspec.Struct, frozen=True):
    """Where a waiting pod may go by its own spec, compiled once per pod."""

    match: NodeMatch | None
    """nodeSelector and required affinity; None: every node."""
    names: frozenset[str] | None
    """The only nodes worth examining; None: all; empty: its terms contradict each other."""
    rules: Rules | None = None
    """Which topology domains are open to it, as things are now; None: all."""
    volumes: PodVolumes | None = None
    """Its claims, as things are now; None: it has none."""


def placement(pod: Pod) -> Placement:
    """Compile a pod's node constraints."""
    return Placement(
        required_node_match(pod.spec.node_selector, pod.spec.affinity),
        named_nodes(pod.spec.affinity),
    )


def counts_on_node(pod: Pod) -> bool:
    """Whether a pod takes up room: bound and not over; terminating ones do (spec 1)."""
    return bool(pod.spec.node_name) and not pod.terminal


def _spec_generation(pod: Pod) -> int:
    """How often the spec was set; 0 if that was not counted."""
    metadata = pod.metadata
    return metadata.generation - (
        metadata.generation > 0 and metadata.deletion_timestamp is not None
    )


class NodeInfo(msgspec.Struct):
    """One node and the pods counted on it; ``node`` is None while only pods name it."""

    name: str
    node: Node | None = None
    allocatable: Mapping[str, int] = msgspec.field(default_factory=dict)
    requested: dict[str, int] = msgspec.field(default_factory=dict)
    pods: dict[str, PodInfo] = msgspec.field(default_factory=dict)
    """By uid."""
    with_ports: dict[str, PodInfo] = msgspec.field(default_factory=dict)
    weight: tuple[int, int] = (0, 0)

    def set_node(self, node: Node) -> None:
        """Take over a node's newest object."""
        if self.node is None or node.status.allocatable != self.node.status.allocatable:
            self.allocatable = allocatable_amounts(node.status.allocatable)
        self.node = node

    def add(self, info: PodInfo) -> None:
        """Count a pod, replacing what was counted for its uid."""
        self.remove(info.uid)
        self.pods[info.uid] = info
        if info.ports:
            self.with_ports[info.uid] = info
        requested = self.requested
        for name, amount in info.requests.items():
            requested[name] = requested.get(name, 0) + amount
        self.weight = (self.weight[0] + info.weight[0], self.weight[1] + info.weight[1])

    def refresh(self, pod: Pod) -> bool:
        """Take over the newest object of a pod whose spec did not change; False if it did.

        Status updates are by far the most frequent change, and do not touch what is requested;
        nor does the beginning of a deletion, which counts as one generation more.
        """
        info = self.pods.get(pod.metadata.uid)
        if info is None:
            return False
        before, after = _spec_generation(info.pod), _spec_generation(pod)
        if not (before and before == after) and info.pod.spec != pod.spec:
            return False
        fresh = PodInfo(pod, info.requests, info.ports, info.priority, info.weight, info.terms)
        self.pods[info.uid] = fresh
        if info.ports:
            self.with_ports[info.uid] = fresh
        return True

    def remove(self, uid: str) -> PodInfo | None:
        """Stop counting a pod; returns what was counted, or None."""
        info = self.pods.pop(uid, None)
        if info is None:
            return None
        self.with_ports.pop(uid, None)
        for name, amount in info.requests.items():
            self.requested[name] -= amount
        self.weight = (self.weight[0] - info.weight[0], self.weight[1] - info.weight[1])
        return info

    def copy(self) -> "NodeInfo":
        """An independent copy, for trying out what removing pods would do."""
        return NodeInfo(
            self.name,
            self.node,
            self.allocatable,
            dict(self.requested),
            dict(self.pods),
            dict(self.with_ports),
            self.weight,
        )

    def with_pods(self, more: Iterable[PodInfo]) -> "NodeInfo":
        """A copy with more pods counted."""
        out = self.copy()
        for info in more:
            out.add(info)
        return out
