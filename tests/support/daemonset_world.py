"""Builders, and a small reference cluster that carries plans of the DaemonSet controller out.

The cluster is instant and forgetful: created pods are bound and Pending, deleted ones are gone (or
terminating, when asked for). What plan() decides is not repeated here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from kubeherd.cluster.api.helpers.podutil import is_terminal, is_terminating
from kubeherd.cluster.api.helpers.scheduling import target_node_name
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import (
    Condition,
    ControllerRevision,
    DaemonSet,
    DaemonSetSpec,
    DaemonSetStatus,
    DaemonSetUpdateStrategy,
    LabelSelector,
    Node,
    NodeSpec,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
    RollingUpdateDaemonSet,
    Taint,
)
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.controller.daemonset.model import HASH_LABEL, BackoffEntry, Known, Now, Plan
from kubeherd.controller.daemonset.owner import owner as owner_of
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.plan import plan
from kubeherd.controller.daemonset.site import key_of
from kubeherd.controller.daemonset.template import Template

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
UID = "ds-uid"
NS = "ns"
LABELS = {"app": "a"}


def owner(uid: str = UID, name: str = "ds", kind: str = "DaemonSet") -> OwnerReference:
    return OwnerReference(
        api_version="apps/v1",
        kind=kind,
        name=name,
        uid=uid,
        controller=True,
        block_owner_deletion=True,
    )


def rolling(max_unavailable: int | str = 1, max_surge: int | str = 0) -> DaemonSetUpdateStrategy:
    return DaemonSetUpdateStrategy(
        type="RollingUpdate",
        rolling_update=RollingUpdateDaemonSet(max_unavailable=max_unavailable, max_surge=max_surge),
    )


ON_DELETE = DaemonSetUpdateStrategy(type="OnDelete")


def template(image: str = "img:1", spec: JsonObject | None = None) -> JsonObject:
    return {
        "metadata": {"labels": dict(LABELS)},
        "spec": {"containers": [{"name": "c", "image": image}], **(spec or {})},
    }


def daemonset(
    image: str = "img:1",
    *,
    name: str = "ds",
    uid: str = UID,
    spec: JsonObject | None = None,
    strategy: DaemonSetUpdateStrategy | None = None,
    selector: LabelSelector | None = None,
    min_ready_s: int = 0,
    history_limit: int | None = None,
    annotations: dict[str, str] | None = None,
    generation: int = 1,
    deleting: bool = False,
    status: DaemonSetStatus | None = None,
) -> DaemonSet:
    return DaemonSet(
        metadata=ObjectMeta(
            name=name,
            namespace=NS,
            uid=uid,
            generation=generation,
            resource_version="1",
            annotations=annotations or {},
            deletion_timestamp=format_time(EPOCH) if deleting else None,
        ),
        spec=DaemonSetSpec(
            selector=LabelSelector(match_labels=dict(LABELS)) if selector is None else selector,
            template=template(image, spec),
            min_ready_seconds=min_ready_s,
            update_strategy=strategy or rolling(),
            revision_history_limit=history_limit,
        ),
        status=status or DaemonSetStatus(),
    )


def node(
    name: str, *, labels: dict[str, str] | None = None, taints: list[Taint] | None = None
) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels=labels or {}),
        spec=NodeSpec(taints=taints or []),
    )


def nodes(count: int, *, taints: list[Taint] | None = None) -> list[Node]:
    return [node(f"n{index}", taints=taints) for index in range(count)]


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    return Taint(key=key, value=value, effect=effect)


def aimed_at(node_name: str) -> JsonObject:
    field_ = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field_]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def pod(
    name: str,
    node_name: str,
    *,
    hash_: str = "",
    phase: str = "Running",
    ready: bool = False,
    ready_at_s: float = 0.0,
    created_s: float = 0.0,
    bound: bool = True,
    deleting: bool = False,
    owned_by: OwnerReference | None = owner(),  # noqa: B008 - immutable
    labels: dict[str, str] | None = None,
    namespace: str = NS,
    resource_version: str = "1",
) -> Pod:
    conditions = []
    if ready:
        at = format_time(EPOCH + timedelta(seconds=ready_at_s))
        conditions = [Condition(type="Ready", status="True", last_transition_time=at)]
    found = dict(LABELS) if labels is None else dict(labels)
    if hash_:
        found[HASH_LABEL] = hash_
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            uid=f"uid-{name}",
            labels=found,
            resource_version=resource_version,
            creation_timestamp=format_time(EPOCH + timedelta(seconds=created_s)),
            deletion_timestamp=format_time(EPOCH) if deleting else None,
            owner_references=(owned_by,) if owned_by else (),
        ),
        spec=PodSpec(
            node_name=node_name if bound else "", affinity=None if bound else aimed_at(node_name)
        ),
        status=PodStatus(phase=phase, conditions=conditions),
    )


def revision(
    ds: DaemonSet, number: int, *, image: str = "", name: str = "", hash_: str = ""
) -> ControllerRevision:
    """A revision owned by a DaemonSet, of its own template or of one with another image."""
    of = ds if not image else replaced(ds, image=image)
    hash_ = hash_ or f"h{number}"
    return ControllerRevision(
        metadata=ObjectMeta(
            name=name or f"ds-{hash_}",
            namespace=NS,
            uid=f"uid-{name or hash_}",
            resource_version="1",
            labels={**LABELS, HASH_LABEL: hash_},
            owner_references=(owner(ds.metadata.uid),),
        ),
        data=Template(of).data,
        revision=number,
    )


def replaced(ds: DaemonSet, *, image: str = "", **spec: object) -> DaemonSet:
    """The DaemonSet with another image or other spec fields, one generation on."""
    if image:
        spec["template"] = {
            **ds.spec.template,
            "spec": {**ds.spec.template["spec"], "containers": [{"name": "c", "image": image}]},
        }
    metadata = msgspec.structs.replace(ds.metadata, generation=ds.metadata.generation + 1)
    return msgspec.structs.replace(
        ds, metadata=metadata, spec=msgspec.structs.replace(ds.spec, **spec)
    )


def now(seconds: float = 0.0) -> Now:
    moment = EPOCH + timedelta(seconds=seconds)
    return Now(monotonic_s=seconds, age_s=lambda text: (moment - parse_time(text)).total_seconds())


def created(chosen: Plan) -> list[str]:
    """All node names that a plan creates pods on, in order."""
    return [*chosen.creates, *chosen.update_creates]


def deleted(chosen: Plan) -> list[str]:
    """The names of all pods that a plan deletes, in order."""
    return [p.metadata.name for p in (*chosen.deletes, *chosen.update_deletes)]


def placement(ds: DaemonSet, nodes: Iterable[Node], pods: Iterable[Pod]) -> Placement:
    """What a DaemonSet's placement is if it was made from nothing."""
    made = Placement(owner_of(ds), Template(ds))
    for found in nodes:
        made.put_node(found.metadata.name, found)
    for one in pods:
        made.put_pod(key_of(one), one)
    return made


def by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """Pods by the node that they are on or on the way to, without those that are over."""
    out: dict[str, list[Pod]] = {}
    for one in pods:
        if target_node_name(one) and not (is_terminating(one) and is_terminal(one)):
            out.setdefault(target_node_name(one), []).append(one)
    return out


@dataclass
class World:
    """A DaemonSet, its nodes and pods, and a clock; `sync` makes one plan and carries it out."""

    ds: DaemonSet
    nodes: list[Node]
    pods: dict[str, Pod] = field(default_factory=dict)
    revisions: list[ControllerRevision] = field(default_factory=list)
    backoff: dict[str, BackoffEntry] = field(default_factory=dict)
    hold: str = ""
    time_s: float = 0.0
    graceful: bool = False
    _made: int = 0

    def plan(self) -> Plan:
        return self.plan_on(placement(self.ds, self.nodes, self.pods.values()))

    def plan_on(self, kept: Placement) -> Plan:
        """The plan on a placement that is already there."""
        known = Known(
            daemonset=self.ds,
            node_of=lambda name: next((n for n in self.nodes if n.metadata.name == name), None),
            revisions=self.revisions,
            backoff=self.backoff,
            hold=self.hold,
        )
        return plan(known, kept, now(self.time_s))

    def sync(self) -> tuple[int, int]:
        """One sync; (pods created, pods deleted)."""
        chosen = self.plan()
        self.apply(chosen)
        return len(created(chosen)), len(deleted(chosen))

    def apply(self, chosen: Plan) -> None:
        self.hold = chosen.hold
        self.backoff = {**self.backoff, **chosen.backoff}
        self._apply_history(chosen)
        for claimed in chosen.adopt_pods:
            self._own(claimed, owner(self.ds.metadata.uid))
        for released in chosen.release_pods:
            self._own(released, None)
        for name in created(chosen):
            self.add(name, chosen.hash)
        for name in deleted(chosen):
            self.delete(name)
        numbers = chosen.status
        if numbers is not None:
            status = DaemonSetStatus(
                desired_number_scheduled=numbers.desired,
                current_number_scheduled=numbers.current,
                number_misscheduled=numbers.misscheduled,
                number_ready=numbers.ready,
                number_available=numbers.available,
                number_unavailable=numbers.unavailable,
                updated_number_scheduled=numbers.updated,
                observed_generation=self.ds.metadata.generation,
                collision_count=self.ds.status.collision_count,
            )
            self.ds = msgspec.structs.replace(self.ds, status=status)

    def _apply_history(self, chosen: Plan) -> None:
        gone = {r.metadata.name for r in (*chosen.delete_duplicates, *chosen.delete_revisions)}
        patched = {patch.revision.metadata.name: patch for patch in chosen.patch_revisions}
        kept = []
        for found in self.revisions:
            name = found.metadata.name
            if name in gone:
                continue
            patch = patched.get(name)
            if patch is not None and patch.number is not None:
                found = msgspec.structs.replace(found, revision=patch.number)  # noqa: PLW2901
            if patch is not None and patch.hash:
                labels = {**found.metadata.labels, HASH_LABEL: patch.hash}
                metadata = msgspec.structs.replace(found.metadata, labels=labels)
                found = msgspec.structs.replace(found, metadata=metadata)  # noqa: PLW2901
            kept.append(found)
        if chosen.create_revision is not None:
            kept.append(msgspec.convert(chosen.create_revision, ControllerRevision))
        self.revisions = kept
        for relabel in chosen.relabel_pods:
            metadata = relabel.pod.metadata
            labels = {**metadata.labels, HASH_LABEL: relabel.hash}
            self.pods[metadata.name] = msgspec.structs.replace(
                relabel.pod, metadata=msgspec.structs.replace(metadata, labels=labels)
            )

    def _own(self, target: Pod, reference: OwnerReference | None) -> None:
        references = (reference,) if reference else ()
        metadata = msgspec.structs.replace(target.metadata, owner_references=references)
        self.pods[metadata.name] = msgspec.structs.replace(target, metadata=metadata)

    def add(self, node_name: str, hash_: str, *, ready: bool = False) -> Pod:
        """Put a Pending (or ready) pod on a node."""
        self._made += 1
        made = pod(
            f"p{self._made:04d}",
            node_name,
            hash_=hash_,
            phase="Running" if ready else "Pending",
            ready=ready,
            ready_at_s=self.time_s,
            created_s=self.time_s,
        )
        self.pods[made.metadata.name] = made
        return made

    def delete(self, name: str) -> None:
        if self.graceful:
            found = self.pods[name]
            metadata = msgspec.structs.replace(
                found.metadata, deletion_timestamp=format_time(EPOCH)
            )
            self.pods[name] = msgspec.structs.replace(found, metadata=metadata)
        else:
            self.pods.pop(name, None)

    def finish_deletions(self) -> None:
        """The kubelet stopped what was terminating; the objects are gone."""
        self.pods = {
            name: found
            for name, found in self.pods.items()
            if found.metadata.deletion_timestamp is None
        }

    def make_ready(self, *names: str) -> None:
        """Turn pods (default: all) Ready now; those that are Ready already stay as they are."""
        for name in names or list(self.pods):
            found = self.pods[name]
            if found.ready:
                continue
            at = format_time(EPOCH + timedelta(seconds=self.time_s))
            ready = Condition(type="Ready", status="True", last_transition_time=at)
            self.pods[name] = msgspec.structs.replace(
                found, status=PodStatus(phase="Running", conditions=[ready])
            )

    def make_unready(self, *names: str) -> None:
        for name in names:
            self.pods[name] = msgspec.structs.replace(
                self.pods[name], status=PodStatus(phase="Running")
            )

    def settle(self) -> None:
        """Sync and turn ready until nothing is written any more."""
        for _ in range(200):
            chosen = self.plan()
            self.apply(chosen)
            self.finish_deletions()
            all_ready = all(found.ready for found in self.pods.values())
            self.make_ready()
            if all_ready and not chosen.writes and chosen.status is None:
                return
        raise AssertionError("the DaemonSet did not settle in 200 syncs")

    def update(self, image: str = "", **spec: object) -> None:
        """Change the template's image or other spec fields."""
        self.ds = replaced(self.ds, image=image, **spec)

    @property
    def hash(self) -> str:
        return self.plan().hash

    def by_hash(self, hash_: str) -> list[Pod]:
        return [p for p in self.pods.values() if p.metadata.labels.get(HASH_LABEL) == hash_]
