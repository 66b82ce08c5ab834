"""Builders of ReplicaSets and their pods, with times as seconds of a small world's clock."""

from dataclasses import dataclass, field
from datetime import timedelta

import daemonset_world
import msgspec
from daemonset_world import EPOCH, LABELS, NS

from kubeherd.cluster.api.helpers.podutil import AgeOf
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.labels import Selector, from_selector
from kubeherd.cluster.api.objects import (
    Condition,
    Container,
    LabelSelector,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
)
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.controller.replicaset import status as statuses
from kubeherd.controller.replicaset.model import Failure, Numbers, Observed, Plan
from kubeherd.controller.replicaset.plan import plan
from kubeherd.controller.workload.apps import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus

UID = "rs-uid"


def at(seconds: float) -> str:
    """The timestamp of a second of the world."""
    return format_time(EPOCH + timedelta(seconds=seconds))


def ages(now_s: float) -> AgeOf:
    """Ages as they are at a second of the world."""
    moment = EPOCH + timedelta(seconds=now_s)
    return lambda text: (moment - parse_time(text)).total_seconds()


def controlled_by(uid: str = UID, name: str = "rs", kind: str = "ReplicaSet") -> OwnerReference:
    return daemonset_world.owner(uid, name, kind)


def pod(
    name: str,
    *,
    node: str = "",
    phase: str = "Running",
    ready: bool = False,
    ready_at_s: float | None = 0.0,
    created_s: float | None = 0.0,
    restarts: int = 0,
    sidecar_restarts: int = 0,
    cost: str | None = None,
    deleting: bool = False,
    labels: dict[str, str] | None = None,
    owner: OwnerReference | None = controlled_by(),  # noqa: B008 - immutable
    namespace: str = NS,
    uid: str | None = None,
    resource_version: str = "1",
) -> Pod:
    """A pod of the ReplicaSet. Times None: not set."""
    since = None if ready_at_s is None else at(ready_at_s)
    ready_condition = Condition(type="Ready", status="True", last_transition_time=since)
    sidecars: list[JsonObject] = [{"name": "sidecar", "restartCount": sidecar_restarts}]
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            uid=f"uid-{name}" if uid is None else uid,
            resource_version=resource_version,
            labels=dict(LABELS) if labels is None else labels,
            annotations={}
            if cost is None
            else {"controller.kubernetes.io/pod-deletion-cost": cost},
            creation_timestamp="" if created_s is None else at(created_s),
            deletion_timestamp=at(0) if deleting else None,
            owner_references=(owner,) if owner else (),
        ),
        spec=PodSpec(
            node_name=node,
            init_containers=(
                Container(name="sidecar", restart_policy="Always"),
                Container(name="init"),
            ),
        ),
        status=PodStatus(
            phase=phase,
            conditions=[ready_condition] if ready else [],
            container_statuses=[{"restartCount": restarts}, {"restartCount": 0}],
            init_container_statuses=[*sidecars, {"name": "init", "restartCount": 77}],
        ),
    )


def replicaset(
    replicas: int | None = 2,
    *,
    labels: dict[str, str] | None = None,
    template_labels: dict[str, str] | None = None,
    min_ready_s: int = 0,
    deleting: bool = False,
    generation: int = 1,
    name: str = "rs",
    uid: str = UID,
    owner: OwnerReference | None = None,
    status: ReplicaSetStatus | None = None,
) -> ReplicaSet:
    """A ReplicaSet that selects `labels` and whose pods have `template_labels` (the same)."""
    wanted = dict(LABELS) if labels is None else labels
    return ReplicaSet(
        metadata=ObjectMeta(
            name=name,
            namespace=NS,
            uid=uid,
            generation=generation,
            resource_version="1",
            deletion_timestamp=at(0) if deleting else None,
            owner_references=(owner,) if owner else (),
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=min_ready_s,
            selector=LabelSelector(match_labels=wanted),
            template={
                "metadata": {"labels": wanted if template_labels is None else template_labels},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        ),
        status=status or ReplicaSetStatus(),
    )


@dataclass
class World:
    """A ReplicaSet, its pods and a clock; `sync` makes one plan and carries it out at once."""

    rs: ReplicaSet
    pods: dict[str, Pod] = field(default_factory=dict)
    time_s: float = 0.0
    _made: int = 0

    def plan(self) -> Plan:
        observed = Observed(self.rs, list(self.pods.values()), lambda: list(self.pods.values()))
        return plan(observed, self.selector(), ages(self.time_s))

    def selector(self) -> Selector:
        return from_selector(self.rs.spec.selector)

    def sync(self) -> Plan:
        """One sync; the plan that was carried out."""
        chosen = self.plan()
        self.apply(chosen)
        return chosen

    def apply(self, chosen: Plan) -> None:
        for claimed in chosen.adopt:
            self._own(claimed, [controlled_by(self.rs.metadata.uid)])
        for released in chosen.release:
            self._own(released, [])
        for _ in range(chosen.create):
            self._made += 1
            template = self.rs.spec.template["metadata"]["labels"]
            name = f"made{self._made:04d}"
            self.pods[name] = pod(name, phase="Pending", created_s=self.time_s, labels=template)
        for deleted in chosen.delete:
            del self.pods[deleted.metadata.name]
        self.write_status(chosen.count.numbers)

    def write_status(self, numbers: Numbers, failure: Failure | None = None) -> bool:
        """Store the status; whether that was necessary."""
        tree = statuses.changed(self.rs, numbers, failure, at(self.time_s))
        if tree is not None:
            stored = msgspec.convert(tree, ReplicaSetStatus)
            self.rs = msgspec.structs.replace(self.rs, status=stored)
        return tree is not None

    def scale(self, replicas: int) -> None:
        """Change the number that is wanted."""
        metadata = self.rs.metadata
        self.rs = msgspec.structs.replace(
            self.rs,
            metadata=msgspec.structs.replace(metadata, generation=metadata.generation + 1),
            spec=msgspec.structs.replace(self.rs.spec, replicas=replicas),
        )

    def _own(self, target: Pod, references: list[OwnerReference]) -> None:
        metadata = msgspec.structs.replace(target.metadata, owner_references=references)
        self.pods[metadata.name] = msgspec.structs.replace(target, metadata=metadata)
