"""Pods as values, and a driver that steps the pod machine along its own wake-ups."""

from collections.abc import Callable
from typing import Any

import msgspec

from kubeherd.agents.faking.volumefiles import VolumeFiles
from kubeherd.agents.pods.facts import Moment, PodFacts
from kubeherd.agents.pods.machine import Step, step
from kubeherd.agents.pods.sync import LogKind, NodeView
from kubeherd.cluster.api.objects import Node, Pod

Tree = dict[str, Any]
NODE = NodeView(name="node-1", host_ips=("10.0.0.17",))
UID = "11111111-2222-3333-4444-555555555555"


def container(name: str = "web", **fields: object) -> Tree:
    return {"name": name, "image": "nginx:1.27", "imagePullPolicy": "IfNotPresent", **fields}


def pod(
    *containers: Tree,
    init: list[Tree] | None = None,
    annotations: dict[str, str] | None = None,
    deleted_grace_s: int | None = None,
    status: Tree | None = None,
    **spec: object,
) -> Pod:
    """A pod; annotations without their prefix."""
    metadata: Tree = {
        "name": "web-0",
        "namespace": "shop",
        "uid": UID,
        "generation": 1,
        "annotations": {f"kubeherd.io/{k}": v for k, v in (annotations or {}).items()},
    }
    if deleted_grace_s is not None:
        metadata["deletionTimestamp"] = "2026-01-01T01:00:00Z"
        metadata["deletionGracePeriodSeconds"] = deleted_grace_s
    tree = {
        "metadata": metadata,
        "spec": {
            "restartPolicy": "Always",
            "nodeName": "node-1",
            "terminationGracePeriodSeconds": 30,
            "containers": list(containers) or [container()],
            "initContainers": init or [],
            **spec,
        },
        "status": status or {"phase": "Pending", "qosClass": "BestEffort"},
    }
    return msgspec.convert(tree, Pod)


def admitting_node(**fields: object) -> Node:
    """A node to be admitted to; `fields` beside `taints` are allocatable resources."""
    tree = {
        "metadata": {"name": "node-1", "labels": {"disk": "ssd"}},
        "spec": {"taints": fields.pop("taints", [])},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3", **fields}},
    }
    return msgspec.convert(tree, Node)


def at(seconds: float) -> Moment:
    return Moment(seconds, f"T+{seconds:g}")


class Driver:
    """Steps one pod; collects events as (nominal second, type, reason, message)."""

    def __init__(
        self, pod: Pod, facts: PodFacts | None = None, node: NodeView = NODE, now_s: float = 0.0
    ) -> None:
        self.pod = pod
        self.node = node
        self.facts = facts or PodFacts(uid=UID, pod_ip="10.244.1.2")
        self.now_s = now_s
        self.events: list[tuple[float, str, str, str]] = []
        self.logs: list[str] = []
        self.step: Step = self._step()

    def _step(self) -> Step:
        self.step = step(self.pod, self.facts, self.node, at(self.now_s))
        self.facts = self.step.facts
        if isinstance(self.node.volumes, VolumeFiles):
            self.node.volumes.keep(self.step.written)
        self.events += [(self.now_s, e.type, e.reason, e.message) for e in self.step.events]
        self.logs += [
            f"{self.now_s:g} {line.container} {line.text}"
            for line in self.step.logs
            if line.kind is not LogKind.BEGIN
        ]
        return self.step

    def change(self, pod: Pod) -> Step:
        self.pod = pod
        return self._step()

    def until(self, second: float) -> Step:
        """Step at every wake-up up to `second`, and once there."""
        while self.step.next_wake_s is not None and self.step.next_wake_s < second:
            assert self.step.next_wake_s > self.now_s
            self.now_s = self.step.next_wake_s
            self._step()
        self.now_s = second
        return self._step()

    @property
    def status(self) -> Tree:
        return self.step.status

    def state(self, index: int = 0) -> Tree:
        return dict(self.status["containerStatuses"][index]["state"])

    def condition(self, type_: str) -> Tree:
        return next(c for c in self.status["conditions"] if c["type"] == type_)

    def reasons(self, keep: Callable[[str], bool] = lambda _: True) -> list[tuple[float, str]]:
        return [(s, reason) for s, _, reason, _ in self.events if keep(reason)]
