"""Histories made by hand: a herd of any size, a DaemonSet on it, a rollout and what goes wrong.

    story = HerdStory(50)
    story.settle()
    story.roll("app:2", pods=20)
    story.kill("node-3")
    story.records

Times are those of the story; nothing waits.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kubeherd.faults import Fault, Nodes, effects
from kubeherd.history import (
    Began,
    FaultBegan,
    FaultEnded,
    Heartbeat,
    Leads,
    Process,
    Record,
    Verb,
    Violation,
    Write,
)

BEGAN = 1_790_000_000.0
NAMESPACE, NAME = "shop", "agent"
MANAGER = "kube-system/kube-controller-manager"

Tree = dict[str, Any]


def stamp(at: float) -> str:
    """A moment as the API writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class HerdStory:
    """`records` is what has happened; every method adds what it names and lets time pass."""

    def __init__(
        self,
        nodes: int | Sequence[str],
        *,
        zones: Sequence[str] = ("zone-a", "zone-b", "zone-c"),
        budget: int | str = "10%",
    ) -> None:
        self.at = BEGAN
        self.records: list[Record] = []
        names = [f"node-{n}" for n in range(nodes)] if isinstance(nodes, int) else nodes
        self.nodes = list(names)
        each = len(names) / len(zones)
        self._zones = {name: zones[int(n / each)] for n, name in enumerate(names)}
        self._budget = budget
        self._revision = 0
        self._images: list[str] = []
        self._pods: dict[str, Tree] = {}
        """By node."""
        self._updated: set[str] = set()
        self._available: set[str] = set()
        self._lost: set[str] = set()
        self._add(Began(at=self.at, source="cluster", seed=1, speed=1.0, nodes=tuple(names)))

    # --- what happens ---

    def settle(self) -> None:
        """Nodes, processes, and the DaemonSet's first revision everywhere."""
        for name in ("apiserver", "controller-manager"):
            self._add(Process(at=self.at, name=name, running=True, ready=True, why="running"))
        self._add(Leads(at=self.at, lease=MANAGER, holder="manager-0"))
        for name in self.nodes:
            self._add(Process(at=self.at, name=name, running=True, ready=True, nodes=(name,)))
            self._write("nodes", self._node(name, "True"), Verb.CREATE)
        self.image("app:1")
        for name in self.nodes:
            self._pod_begins(name)
            self._pod_changes(name, phase="Running", ready=True)
        self.status()
        self.beats()

    def image(self, image: str, cause: str = "") -> None:
        """A new revision is wanted; nothing has been replaced yet."""
        self._images.append(image)
        self._updated.clear()
        annotations = {"kubernetes.io/change-cause": cause or f"to {image}"}
        tree = {
            "metadata": {
                "name": f"{NAME}-{self.hash}",
                "namespace": NAMESPACE,
                "labels": {"controller-revision-hash": self.hash},
                "annotations": annotations,
                "ownerReferences": [self._owner()],
            },
            "revision": len(self._images),
            "data": {"spec": {"template": self._template(image)}},
        }
        self._write("controllerrevisions.apps", tree, Verb.CREATE)
        self.status()

    def roll(self, image: str, *, pods: int, step_s: float = 0.2) -> None:
        """The rollout of an image has come this far."""
        self.image(image)
        for name in self.nodes[:pods]:
            self.replace(name, step_s)

    def replace(self, node: str, step_s: float = 0.2) -> None:
        """A node gets a pod of the newest revision."""
        self._pod_changes(node, ready=False, deleted=True)
        self.status()
        self.passes(step_s)
        self._pod_ends(node)
        self._pod_begins(node)
        self.passes(step_s)
        self._pod_changes(node, phase="Running", ready=True)
        self.status()

    def kill(self, node: str) -> None:
        """Its power is cut; its Node says nothing of it yet."""
        killed = Process(at=self.at, name=node, running=False, why="killed", nodes=(node,))
        self._add(FaultBegan(at=self.at, fault=self._fault("crash", node, effects.Crash())))
        self._add(killed)

    def lose(self, node: str) -> None:
        """Nobody has heard of it for long enough."""
        self._lost.add(node)
        self._write("nodes", self._node(node, "Unknown"))
        self._pod_changes(node, ready=False)
        self.event(
            "Warning", "Node", "", node, "NodeNotReady", f"Node {node} status is now: NodeNotReady"
        )
        self.status()

    def cut(self, node: str) -> None:
        """A partition."""
        self._add(FaultBegan(at=self.at, fault=self._fault("cut", node, effects.Partition())))

    def heal(self, node: str) -> None:
        """The partition is over."""
        self._add(FaultEnded(at=self.at, id=self._id("cut", node)))

    def leader(self, holder: str) -> None:
        """Another controller manager leads."""
        self._add(Leads(at=self.at, lease=MANAGER, holder=holder))

    def violation(self, text: str, promise: str = "one-pod-per-node") -> None:
        """A promise did not hold."""
        self._add(Violation(at=self.at, promise=promise, text=text, revision=self._revision))

    def beats(self) -> None:
        """Every node that lives is heard of."""
        for name in self.nodes:
            if name not in self._lost:
                self._add(Heartbeat(at=self.at, node=name, renewed=self.at))

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.at += seconds

    def event(
        self, type_: str, kind: str, namespace: str, name: str, reason: str, message: str
    ) -> None:
        """An Event."""
        of = {"kind": kind, "namespace": namespace, "name": name}
        number = len(self.records)
        metadata = {"name": f"event-{number}", "namespace": namespace or "default"}
        tree = {"metadata": metadata, "involvedObject": of, "type": type_, "reason": reason}
        self._write("events", {**tree, "message": message}, Verb.CREATE)

    def pod_says(self, node: str, **facts: Any) -> None:
        """A pod of the DaemonSet as `facts` say: labels, annotations, message, name."""
        if "name" in facts:
            self._pod_ends(node)
            self._pod_begins(node, facts.pop("name"))
        self._pod_changes(node, **facts)

    # --- objects ---

    @property
    def hash(self) -> str:
        """Of the newest revision."""
        return f"{len(self._images):x}f6c9d8b7"

    def _node(self, name: str, ready: str) -> Tree:
        labels = {
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": self._zones[name],
            "disk": "ssd" if self.nodes.index(name) % 2 else "hdd",
        }
        taints = []
        if ready != "True":
            taints = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
        condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": stamp(self.at)}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints},
            "status": {"conditions": [condition]},
        }

    def _template(self, image: str) -> Tree:
        return {
            "metadata": {"labels": {"app": NAME}},
            "spec": {"containers": [{"name": "main", "image": image}]},
        }

    def _owner(self) -> Tree:
        return {"kind": "DaemonSet", "name": NAME, "uid": f"u-{NAME}", "controller": True}

    def _pod_begins(self, node: str, name: str = "") -> None:
        number = len(self.records)
        self._pods[node] = tree = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name or f"{NAME}-{number:05x}",
                "namespace": NAMESPACE,
                "uid": f"u-{number}",
                "labels": {"app": NAME, "controller-revision-hash": self.hash},
                "annotations": {},
                "ownerReferences": [self._owner()],
            },
            "spec": {"nodeName": node, **self._template(self._images[-1])["spec"]},
            "status": {"phase": "Pending"},
        }
        self._updated.add(node)
        self._write("pods", tree, Verb.CREATE)

    def _pod_changes(
        self,
        node: str,
        *,
        phase: str = "",
        ready: bool | None = None,
        deleted: bool = False,
        waiting: str = "",
        message: str = "",
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
    ) -> None:
        before = self._pods[node]
        metadata = {
            **before["metadata"],
            "labels": {**before["metadata"]["labels"], **(labels or {})},
            "annotations": {**before["metadata"]["annotations"], **(annotations or {})},
            **({"deletionTimestamp": stamp(self.at)} if deleted else {}),
        }
        status = dict(before["status"])
        if phase:
            status["phase"] = phase
        if ready is not None:
            status["conditions"] = [{"type": "Ready", "status": str(ready)}]
            (self._available.add if ready else self._available.discard)(node)
        if waiting:
            state = {"waiting": {"reason": waiting, "message": message}}
            status["containerStatuses"] = [{"name": "main", "restartCount": 3, "state": state}]
        self._pods[node] = {**before, "metadata": metadata, "status": status}
        self._write("pods", self._pods[node])

    def _pod_ends(self, node: str) -> None:
        self._write("pods", self._pods.pop(node), Verb.DELETE)

    def status(self) -> None:
        """The DaemonSet says how far it is."""
        tree = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {
                "name": NAME,
                "namespace": NAMESPACE,
                "uid": f"u-{NAME}",
                "generation": len(self._images),
                "labels": {"app": NAME},
            },
            "spec": {
                "selector": {"matchLabels": {"app": NAME}},
                "template": self._template(self._images[-1]),
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": self._budget, "maxSurge": 0},
                },
            },
            "status": {
                "observedGeneration": len(self._images),
                "desiredNumberScheduled": len(self.nodes),
                "currentNumberScheduled": len(self._pods),
                "updatedNumberScheduled": len(self._updated),
                "numberReady": len(self._available),
                "numberAvailable": len(self._available),
            },
        }
        self._write("daemonsets.apps", tree)

    def _fault(self, what: str, node: str, effect: effects.Effect) -> Fault:
        return Fault(id=self._id(what, node), target=Nodes((node,)), effect=effect, at=self.at)

    def _id(self, what: str, node: str) -> str:
        return f"{what}-{self.nodes.index(node)}"

    def _write(self, resource: str, tree: Tree, verb: Verb = Verb.UPDATE) -> None:
        self._revision += 1
        metadata = tree["metadata"]
        version = {"resourceVersion": str(self._revision), "uid": f"u-{metadata['name']}"}
        self._add(
            Write(
                at=self.at,
                revision=self._revision,
                verb=verb,
                resource=resource,
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
                uid=metadata.get("uid", version["uid"]),
                object={**tree, "metadata": {**version, **metadata}},
            )
        )

    def _add(self, record: Record) -> None:
        self.records.append(record)


def told(nodes: int) -> HerdStory:
    """A story with everything in it: half of a rollout, a node that died, a partition that was
    healed, another leader."""
    story = HerdStory(nodes)
    story.settle()
    story.passes(5)
    story.roll("app:2", pods=nodes // 2, step_s=20 / nodes)
    story.beats()
    story.kill(story.nodes[-1])
    story.cut(story.nodes[0])
    story.passes(10)
    story.beats()
    story.heal(story.nodes[0])
    story.leader("manager-1")
    story.passes(30)
    story.lose(story.nodes[-1])
    story.passes(5)
    story.beats()
    return story
