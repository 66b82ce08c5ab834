"""Deployments and ReplicaSets for tests of the pure code."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import LabelSelector, ObjectMeta, OwnerReference
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.controller.deployment.annotations import DESIRED_REPLICAS, MAX_REPLICAS, REVISION
from kubeherd.controller.deployment.limits import desired, max_replicas
from kubeherd.controller.deployment.model import Now, Observed, Plan
from kubeherd.controller.deployment.plan import plan
from kubeherd.controller.workload.apps import (
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdateDeployment,
)

LABELS = {"app": "web"}
BEGAN = datetime(2016, 5, 20, tzinfo=UTC)


def at(minutes: float) -> str:
    """A time after the beginning, as text."""
    return format_time(BEGAN + timedelta(minutes=minutes))


def moment(seconds: float = 3600.0) -> Now:
    """That many seconds after the beginning."""
    now = BEGAN + timedelta(seconds=seconds)
    return Now(format_time(now), lambda text: (now - parse_time(text)).total_seconds())


def template(image: str = "web:1") -> JsonObject:
    """A pod template."""
    return {
        "metadata": {"labels": dict(LABELS)},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


def deployment(
    replicas: int = 10,
    *,
    surge: int | str = 0,
    unavailable: int | str = 0,
    strategy: str = "RollingUpdate",
    image: str = "web:1",
    annotations: dict[str, str] | None = None,
    status: DeploymentStatus | None = None,
    **spec: object,
) -> Deployment:
    """A Deployment ``default/web``."""
    rolling = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    made = DeploymentSpec(
        replicas=replicas,
        selector=LabelSelector(match_labels=dict(LABELS)),
        template=template(image),
        strategy=DeploymentStrategy(
            type=strategy, rolling_update=rolling if strategy == "RollingUpdate" else None
        ),
    )
    return Deployment(
        metadata=ObjectMeta(
            name="web",
            namespace="default",
            uid="uid-web",
            generation=1,
            resource_version="1",
            labels=dict(LABELS),
            annotations=annotations or {},
        ),
        spec=msgspec.structs.replace(made, **spec),
        status=status or DeploymentStatus(),
    )


def replica_set(
    name: str,
    replicas: int,
    *,
    image: str = "web:1",
    age: float = 0,
    revision: str = "",
    annotations: dict[str, str] | None = None,
    owned: bool = True,
    status: ReplicaSetStatus | None = None,
) -> ReplicaSet:
    """A ReplicaSet of it; `age`: its creation, in minutes after the beginning."""
    owner = OwnerReference(
        api_version="apps/v1", kind="Deployment", name="web", uid="uid-web", controller=True
    )
    noted = {REVISION: revision} if revision else {}
    labels = {**LABELS, "pod-template-hash": name}
    made = template(image)
    made["metadata"]["labels"] = labels
    return ReplicaSet(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            resource_version="1",
            creation_timestamp=at(age),
            labels=labels,
            annotations={**noted, **(annotations or {})},
            owner_references=(owner,) if owned else (),
        ),
        spec=ReplicaSetSpec(
            replicas=replicas, selector=LabelSelector(match_labels=labels), template=made
        ),
        status=status or ReplicaSetStatus(),
    )


def running(replica_set: ReplicaSet, available: int | None = None) -> ReplicaSet:
    """The ReplicaSet with all pods there, and ready, or so many of them available."""
    replicas = replica_set.spec.replicas or 0
    up = replicas if available is None else available
    return msgspec.structs.replace(
        replica_set,
        status=ReplicaSetStatus(
            replicas=replicas,
            ready_replicas=up,
            available_replicas=up,
            terminating_replicas=0,
            observed_generation=1,
        ),
    )


def sized(replica_set: ReplicaSet, of: Deployment) -> ReplicaSet:
    """The ReplicaSet with the annotations of a Deployment's size."""
    noted = {
        **replica_set.metadata.annotations,
        DESIRED_REPLICAS: str(desired(of)),
        MAX_REPLICAS: str(max_replicas(of)),
    }
    metadata = msgspec.structs.replace(replica_set.metadata, annotations=noted)
    return msgspec.structs.replace(replica_set, metadata=metadata)


class World:
    """A Deployment with its ReplicaSets: carries plans out, and plays the ReplicaSet controller."""

    def __init__(self, of: Deployment, sets: Iterable[ReplicaSet] = ()) -> None:
        self.deployment = of
        self.sets = {one.metadata.name: one for one in sets}
        self.time_s = 3600.0

    def plan(self) -> Plan:
        """What a sync does now."""
        return plan(Observed(self.deployment, list(self.sets.values())), moment(self.time_s))

    def sync(self) -> Plan:
        """Do it."""
        chosen = self.plan()
        if chosen.create is not None:
            made = msgspec.convert(chosen.create.tree, ReplicaSet)
            metadata = msgspec.structs.replace(
                made.metadata,
                uid=f"uid-{chosen.create.name}",
                creation_timestamp=at(self.time_s / 60),
            )
            if chosen.create.name in self.sets:
                raise AssertionError(f"a second {chosen.create.name}")
            self.sets[chosen.create.name] = msgspec.structs.replace(made, metadata=metadata)
        for change in chosen.changes:
            self.sets[change.before.metadata.name] = change.after
        for surplus in chosen.deletes:
            del self.sets[surplus.metadata.name]
        if chosen.status is not None:
            noted = {**self.deployment.metadata.annotations, REVISION: chosen.revision}
            metadata = msgspec.structs.replace(self.deployment.metadata, annotations=noted)
            self.deployment = msgspec.structs.replace(
                self.deployment, metadata=metadata, status=chosen.status
            )
        self.time_s += 1
        return chosen

    def settle(self, *names: str) -> None:
        """The pods of these ReplicaSets, or of all, are there and available."""
        for name in names or list(self.sets):
            self.sets[name] = running(self.sets[name])

    def until_settled(self, most: int = 100) -> None:
        """Syncs and running pods in turn, until a sync writes nothing."""
        for _ in range(most):
            if not self.sync().writes and all(one == running(one) for one in self.sets.values()):
                return
            self.settle()
        raise AssertionError(f"no fixed point: {self.plan()}")
