"""What a kubelet keeps of each pod between two looks at it.

Invariant: `known` is what the API has, as far as this kubelet knows, and `wanted` what it ought to
have; whoever writes compares the two.
"""

from enum import Enum, auto

import msgspec

from kubeherd.agents.pods.facts import TERMINAL, PodFacts
from kubeherd.cluster.api.helpers import podutil
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.backoff import Backoff


class Progress(Enum):
    """How far the writing of a pod's status is."""

    RESTS = auto()
    WRITES = auto()
    """A write is under way, or about to be sent."""
    RETRIES = auto()
    """One that failed is sent again when its timer is due."""


class PodWorker:
    """What the kubelet knows of one pod."""

    __slots__ = (
        "backoff", "delete", "deleted", "facts", "known", "pod", "progress", "removed", "revision",
        "sent", "unread", "wanted",
    )  # fmt: skip

    def __init__(self, pod: Pod, facts: PodFacts) -> None:
        self.pod = pod
        self.facts = facts
        self.known: JsonObject = api_status(pod)
        self.wanted: JsonObject = {}
        self.revision = revision_of(pod)
        self.delete = False
        self.deleted = False
        self.removed = False
        self.progress = Progress.RESTS
        self.sent: JsonObject | None = None
        """The status that the write under way is to bring about; None: it is the delete."""
        self.backoff: Backoff | None = None
        """Of a write that is tried again."""
        self.unread = False
        """The watch showed a status while a write was under way: `known` may lag behind it."""


def api_status(pod: Pod) -> JsonObject:
    """The status that the API has, as far as the typed pod tells."""
    tree: JsonObject = msgspec.to_builtins(pod.status)
    for condition in tree.get("conditions", ()):
        condition.setdefault("lastProbeTime", None)  # as a kubelet writes it
    if pod.status.host_ip:
        tree["hostIPs"] = [{"ip": pod.status.host_ip}]
    if pod.status.pod_ip:
        tree["podIPs"] = [{"ip": pod.status.pod_ip}]
    return tree


def shown_status(worker: PodWorker) -> JsonObject:
    """The status that the API has, as the watch shows it in the worker's pod. What a typed pod does
    not tell is as it was known before. The wanted one itself if they are the same: it is large."""
    known = api_status(worker.pod)
    for key in _UNTOLD:
        if key in worker.known:
            known[key] = worker.known[key]
    return worker.wanted if known == worker.wanted else known


_UNTOLD = ("allocatedResources", "resources")


def ends(worker: PodWorker) -> bool:
    """Whether the pod is over, or on its way there."""
    pod, facts = worker.pod, worker.facts
    return facts.final or facts.terminating or worker.removed or not podutil.is_active(pod)


def asks_anew(before: Pod, after: Pod) -> bool:
    """Whether something that the kubelet obeys changed: spec, annotations, deletion."""
    old, new = before.metadata, after.metadata
    return (
        old.generation != new.generation
        or old.deletion_timestamp != new.deletion_timestamp
        or old.annotations != new.annotations
        or (not new.generation and before.spec != after.spec)
    )


def heeds_status(before: Pod, after: Pod) -> bool:
    """Whether the pod machine reads what changed in the API's status: conditions of readiness
    gates, a phase that says that the pod is over, addresses that a command is told of."""
    old, new, spec = before.status, after.status, after.spec
    if new.phase in TERMINAL or spec.readiness_gates:
        return True
    if old.pod_ip == new.pod_ip and old.host_ip == new.host_ip:
        return False
    containers = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
    return any(container.command or container.args for container in containers)


def revision_of(pod: Pod) -> int:
    return int(pod.metadata.resource_version or 0)
