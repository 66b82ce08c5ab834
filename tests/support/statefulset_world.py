"""Builders, and a small reference cluster that carries plans of the StatefulSet controller out.

The cluster is instant and forgetful: created pods are Pending, deleted ones are gone (or
terminating, when asked for). What plan() decides is not repeated here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import (
    Condition,
    ControllerRevision,
    LabelSelector,
    ObjectMeta,
    OwnerReference,
    PartialObject,
    Pod,
    PodStatus,
)
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.controller.statefulset import history as histories
from kubeherd.controller.statefulset import status as statuses
from kubeherd.controller.statefulset.identity import parse
from kubeherd.controller.statefulset.model import History, Observed, Plan, PodWork, Verb
from kubeherd.controller.statefulset.plan import plan
from kubeherd.controller.statefulset.podtemplate import put_right
from kubeherd.controller.workload.apps import (
    ClaimRetentionPolicy,
    RollingUpdateStatefulSet,
    StatefulSet,
    StatefulSetOrdinals,
    StatefulSetSpec,
    StatefulSetStatus,
    StatefulSetUpdateStrategy,
)
from kubeherd.controller.workload.revisions import REVISION_LABEL, revision_data

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
UID = "set-uid"
NS = "ns"
LABELS = {"app": "a"}
ON_DELETE = StatefulSetUpdateStrategy(type="OnDelete")
RETENTION = (None, *(
    ClaimRetentionPolicy(when_deleted=deleted, when_scaled=scaled)
    for deleted in ("Retain", "Delete")
    for scaled in ("Retain", "Delete")
))  # fmt: skip


def rolling(partition: int = 0) -> StatefulSetUpdateStrategy:
    return StatefulSetUpdateStrategy(
        type="RollingUpdate", rolling_update=RollingUpdateStatefulSet(partition=partition)
    )


def owner(uid: str = UID, name: str = "web", kind: str = "StatefulSet") -> OwnerReference:
    return OwnerReference(
        api_version="v1" if kind == "Pod" else "apps/v1",
        kind=kind,
        name=name,
        uid=uid,
        controller=True,
        block_owner_deletion=True,
    )


def template(image: str = "img:1") -> JsonObject:
    return {
        "metadata": {"labels": dict(LABELS)},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


def claim_template(name: str = "data") -> JsonObject:
    requests = {"requests": {"storage": "1Gi"}}
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": requests},
    }


def statefulset(
    replicas: int = 3,
    *,
    image: str = "img:1",
    parallel: bool = False,
    strategy: StatefulSetUpdateStrategy | None = None,
    start: int | None = None,
    claims: Sequence[str] = (),
    retention: ClaimRetentionPolicy | None = None,
    **spec: object,
) -> StatefulSet:
    fields: dict[str, Any] = {
        "replicas": replicas,
        "selector": LabelSelector(match_labels=dict(LABELS)),
        "template": template(image),
        "service_name": "svc",
        "pod_management_policy": "Parallel" if parallel else "OrderedReady",
        "update_strategy": strategy or rolling(),
        "volume_claim_templates": [claim_template(name) for name in claims],
        "persistent_volume_claim_retention_policy": retention,
        "ordinals": None if start is None else StatefulSetOrdinals(start=start),
        **spec,
    }
    return StatefulSet(
        metadata=ObjectMeta(name="web", namespace=NS, uid=UID, generation=1, resource_version="1"),
        spec=StatefulSetSpec(**fields),
    )


def pod(
    name: str,
    *,
    revision: str = "",
    phase: str = "Running",
    ready: bool = True,
    ready_at_s: float = 0.0,
    deleting: bool = False,
    owned_by: OwnerReference | None = owner(),  # noqa: B008 - immutable
    **more: str,
) -> Pod:
    """A pod with the identity of its name; `more`: labels."""
    conditions = []
    if ready:
        at = format_time(EPOCH + timedelta(seconds=ready_at_s))
        conditions = [Condition(type="Ready", status="True", last_transition_time=at)]
    identity = {
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(parse(name).ordinal),
    }
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=NS,
            uid=f"uid-{name}",
            resource_version="1",
            labels={**LABELS, **identity, REVISION_LABEL: revision, **more},
            deletion_timestamp=format_time(EPOCH) if deleting else None,
            owner_references=(owned_by,) if owned_by else (),
        ),
        status=PodStatus(phase=phase, conditions=conditions),
    )


def claim(
    name: str, references: Sequence[OwnerReference] = (), *, deleting: bool = False
) -> PartialObject:
    return PartialObject(
        metadata=ObjectMeta(
            name=name,
            namespace=NS,
            resource_version="1",
            owner_references=tuple(references),
            deletion_timestamp=format_time(EPOCH) if deleting else None,
        )
    )


def revision(
    of: StatefulSet, number: int, *, image: str = "", name: str = ""
) -> ControllerRevision:
    """A revision owned by a StatefulSet, of its own template or of one with another image."""
    data = revision_data(template(image) if image else of.spec.template)
    return ControllerRevision(
        metadata=ObjectMeta(
            name=name or f"web-r{number}",
            namespace=NS,
            uid=f"uid-r{number}",
            resource_version="1",
            labels=dict(LABELS),
            owner_references=(owner(of.metadata.uid),),
        ),
        data=data,
        revision=number,
    )


def replaced(of: StatefulSet, **spec: object) -> StatefulSet:
    """The StatefulSet with other spec fields (`image`: the template's), one generation on."""
    if "image" in spec:
        spec["template"] = template(str(spec.pop("image")))
    metadata = msgspec.structs.replace(of.metadata, generation=of.metadata.generation + 1)
    return msgspec.structs.replace(
        of, metadata=metadata, spec=msgspec.structs.replace(of.spec, **spec)
    )


def deleting(of: StatefulSet) -> StatefulSet:
    metadata = msgspec.structs.replace(of.metadata, deletion_timestamp=format_time(EPOCH))
    return msgspec.structs.replace(of, metadata=metadata)


def works(chosen: Plan, verb: Verb) -> list[str]:
    """The names of the pods to which a plan does this, in order."""
    return [work.name for phase in chosen.phases for work in phase if work.verb is verb]


def created(chosen: Plan) -> list[str]:
    return works(chosen, Verb.CREATE)


def deleted(chosen: Plan) -> list[str]:
    return works(chosen, Verb.DELETE)


Failing = Callable[[PodWork], bool]


@dataclass
class World:
    """A StatefulSet with its pods and claims, and a clock; `sync` carries one plan out.

    `failing`: works that fail; the plan is then carried out as far as an ordered StatefulSet's is.
    """

    of: StatefulSet
    pods: dict[str, Pod] = field(default_factory=dict)
    revisions: list[ControllerRevision] = field(default_factory=list)
    claims: dict[str, PartialObject] = field(default_factory=dict)
    time_s: float = 0.0
    graceful: bool = False
    failing: Failing = lambda _: False
    deletes: int = 0
    made: int = 0

    @property
    def history(self) -> History:
        return histories.build(
            self.of,
            revision_data(self.of.spec.template),
            labels.from_selector(self.of.spec.selector),
            self.revisions,
            self.of.status.collision_count or 0,
        )

    def age_s(self, text: str) -> float:
        return (EPOCH + timedelta(seconds=self.time_s) - parse_time(text)).total_seconds()

    def plan(self) -> Plan:
        observed = Observed(
            statefulset=self.of,
            pods=list(self.pods.values()),
            claims=self.claims,
            age_s=self.age_s,
        )
        return plan(observed, self.history, labels.from_selector(self.of.spec.selector))

    def sync(self) -> Plan:
        """One sync; the plan that was carried out."""
        self._write_history()
        chosen = self.plan()
        self.apply(chosen)
        return chosen

    def is_at_rest(self) -> bool:
        """Whether a sync would write nothing."""
        chosen, history = self.plan(), self.history
        return not (
            any(chosen.phases)
            or chosen.adopt_pods
            or chosen.release_pods
            or chosen.delete_revisions
            or history.create
            or history.renumber
            or history.adopt
            or statuses.differs(self.of, chosen.status)
        )

    def _write_history(self) -> None:
        history = self.history
        if history.create is not None:
            self.revisions.append(msgspec.convert(history.create, ControllerRevision))
        if history.renumber is not None:
            old = history.renumber.revision
            self.revisions.remove(old)
            self.revisions.append(msgspec.structs.replace(old, revision=history.renumber.number))

    def apply(self, chosen: Plan) -> None:
        for found in chosen.adopt_pods:
            self._own(found, [owner()])
        for found in chosen.release_pods:
            self._own(found, [])
        went_well = all(self._phase(phase) for phase in chosen.phases)
        rolled = chosen.roll is not None and went_well
        numbers = chosen.status_rolled if rolled else chosen.status
        if statuses.differs(self.of, numbers):
            tree = statuses.status_tree(numbers, self.of.metadata.generation)
            self.of = msgspec.structs.replace(
                self.of, status=msgspec.convert(tree, StatefulSetStatus)
            )
        gone = {one.metadata.name for one in chosen.delete_revisions}
        self.revisions = [one for one in self.revisions if one.metadata.name not in gone]

    def _phase(self, phase: Sequence[PodWork]) -> bool:
        for work in phase:
            self.deletes += work.verb is Verb.DELETE
            self.made += work.verb is Verb.CREATE
            if self.failing(work) or not self._work(work):
                return False
        return True

    def _work(self, work: PodWork) -> bool:
        for tree in work.create_claims:
            made = msgspec.convert(tree, PartialObject)
            self.claims[made.metadata.name] = made
        if work.failure:
            return False
        if work.tree is not None:
            made_pod = msgspec.convert(work.tree, Pod)
            if work.name in self.pods:  # the server: AlreadyExists
                assert not self._is_own(self.pods[work.name]), "a second pod of this name"
                return False
            metadata = msgspec.structs.replace(made_pod.metadata, uid=f"uid-{self.made}")
            self.pods[work.name] = msgspec.structs.replace(
                made_pod, metadata=metadata, status=PodStatus(phase="Pending")
            )
        for change in work.own_claims:
            self.claims[change.name] = claim(change.name, change.references)
        if work.fixes_pod:
            fixed = put_right(self.of, msgspec.to_builtins(self.pods[work.name]))
            self.pods[work.name] = msgspec.convert(fixed, Pod)
        if work.verb is Verb.DELETE:
            self.delete(work.name)
        return True

    def _is_own(self, found: Pod) -> bool:
        controller = found.metadata.controller()
        return controller is not None and controller.uid == self.of.metadata.uid

    def _own(self, target: Pod, references: list[OwnerReference]) -> None:
        metadata = msgspec.structs.replace(target.metadata, owner_references=references)
        self.pods[metadata.name] = msgspec.structs.replace(target, metadata=metadata)

    def delete(self, name: str) -> None:
        """Somebody deletes a pod; with it go the claims that it owns."""
        found = self.pods[name]
        if self.graceful and found.status.phase not in ("Failed", "Succeeded"):
            metadata = msgspec.structs.replace(
                found.metadata, deletion_timestamp=format_time(EPOCH)
            )
            self.pods[name] = msgspec.structs.replace(found, metadata=metadata)
        else:
            self._gone(name)

    def _gone(self, name: str) -> None:
        uid = self.pods.pop(name).metadata.uid
        self.claims = {
            key: found
            for key, found in self.claims.items()
            if not any(one.uid == uid for one in found.metadata.owner_references)
        }

    def finish_deletions(self) -> None:
        """The kubelet stopped what was terminating; the objects are gone."""
        for name in [n for n, p in self.pods.items() if p.metadata.deletion_timestamp]:
            self._gone(name)

    def set_phase(self, name: str, phase: str, *, ready: bool = False) -> None:
        at = format_time(EPOCH + timedelta(seconds=self.time_s))
        conditions = [Condition(type="Ready", status="True", last_transition_time=at)]
        status = PodStatus(phase=phase, conditions=conditions if ready else [])
        self.pods[name] = msgspec.structs.replace(self.pods[name], status=status)

    def make_ready(self, *names: str) -> None:
        """Turn pods (default: all) Ready now; those that are Ready already stay as they are."""
        for name in names or list(self.pods):
            if not self.pods[name].ready:
                self.set_phase(name, "Running", ready=True)

    def settle(self, after_each: Callable[[], None] = lambda: None, syncs: int = 200) -> None:
        """Sync and turn ready until nothing is written any more."""
        for _ in range(syncs):
            self.sync()
            after_each()
            self.finish_deletions()
            self.make_ready()
            self.time_s += 1000.0
            if self.is_at_rest():
                return
        raise AssertionError(f"the StatefulSet did not settle in {syncs} syncs")

    def update(self, **spec: object) -> None:
        """Change spec fields (`image`: the template's)."""
        self.of = replaced(self.of, **spec)

    def images(self) -> dict[str, str]:
        return {name: p.spec.containers[0].image for name, p in sorted(self.pods.items())}


def settled(replicas: int = 3, *, parallel: bool = False, **fields: Any) -> World:
    """A StatefulSet with all its pods ready."""
    world = World(statefulset(replicas, parallel=parallel, **fields))
    world.settle()
    return world


def numbers(world: World) -> tuple[int, int, int]:
    status = world.of.status
    return status.replicas, status.ready_replicas, status.updated_replicas
