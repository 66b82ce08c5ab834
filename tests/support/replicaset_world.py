"""Builders of ReplicaSets and their pods, with times as seconds of a small world's clock."""

from datetime import timedelta

import daemonset_world
from daemonset_world import EPOCH, LABELS, NS

from kubeherd.cluster.api.helpers.podutil import AgeOf
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import (
    Condition,
    Container,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
)
from kubeherd.cluster.api.timestamps import format_time, parse_time

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
            owner_references=[owner] if owner else [],
        ),
        spec=PodSpec(
            node_name=node,
            init_containers=[
                Container(name="sidecar", restart_policy="Always"),
                Container(name="init"),
            ],
        ),
        status=PodStatus(
            phase=phase,
            conditions=[ready_condition] if ready else [],
            container_statuses=[{"restartCount": restarts}, {"restartCount": 0}],
            init_container_statuses=[*sidecars, {"name": "init", "restartCount": 77}],
        ),
    )
