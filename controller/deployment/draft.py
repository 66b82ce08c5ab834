"""A Deployment and its ReplicaSets as they will be: what the steps of a plan work on.

Where Kubernetes writes, and works on with the answer, a step returns another draft; in the end
what differs from what was observed is written, each object once. Invariant: a draft never changes.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from kubeherd.controller.deployment import annotations, conditions, limits, progress, rolling
from kubeherd.controller.deployment.annotations import REVISION
from kubeherd.controller.deployment.conditions import Reason, Type
from kubeherd.controller.deployment.model import Change, Creation, scaling_event
from kubeherd.controller.deployment.newreplicaset import new_replica_set, tree_of
from kubeherd.controller.deployment.replicasets import Divided, size
from kubeherd.controller.deployment.status import with_conditions
from kubeherd.controller.workload.apps import Deployment, DeploymentCondition, ReplicaSet
from kubeherd.controller.workload.events import Event


class Draft(msgspec.Struct, frozen=True):
    """`deployment` has the conditions and the revision that the sync gives it; `steps` are the
    events of what was scaled, by ReplicaSet."""

    deployment: Deployment
    sets: Divided
    create: Creation | None = None
    steps: Mapping[str, Sequence[Event]] = msgspec.field(default_factory=dict)

    def with_condition(self, condition: DeploymentCondition) -> "Draft":
        """With one condition set."""
        found = conditions.with_condition(self.deployment.status.conditions, condition)
        return msgspec.structs.replace(self, deployment=with_conditions(self.deployment, found))

    def with_revision(self, revision: str) -> "Draft":
        """With the revision noted on the Deployment."""
        metadata = self.deployment.metadata
        if metadata.annotations.get(REVISION, "") == revision:
            return self
        noted = {**metadata.annotations, REVISION: revision}
        metadata = msgspec.structs.replace(metadata, annotations=noted)
        deployment = msgspec.structs.replace(self.deployment, metadata=metadata)
        return msgspec.structs.replace(self, deployment=deployment)

    def resized(self, steps: Iterable[tuple[str, int]], *, annotated: bool = False) -> "Draft":
        """With new sizes, by name and one after the other, each with its event.

        `annotated`: also those whose size stays get the annotations of the size wanted now.
        """
        sets = {one.metadata.name: one for one in self.sets.all}
        events: dict[str, list[Event]] = {}
        for name, replicas in steps:
            before = sets[name]
            if size(before) != replicas:
                events.setdefault(name, []).append(scaling_event(name, size(before), replicas))
            elif not annotated:
                continue
            sets[name] = _with_size(before, replicas, self.deployment)
        return msgspec.structs.replace(self, sets=_replaced(self.sets, sets), steps=events)

    @property
    def scaled(self) -> bool:
        """Whether a ReplicaSet got another size."""
        return bool(self.steps)

    def changes(self, observed: Iterable[ReplicaSet]) -> list[Change]:
        """The ReplicaSets that have to be written; `observed`: as they are."""
        before = {one.metadata.name: one for one in observed}
        return [
            Change(known, one, self.steps.get(one.metadata.name, ()))
            for one in self.sets.all
            if (known := before.get(one.metadata.name)) is not None and known != one
        ]


def with_new_synced(draft: Draft, now: str) -> Draft:
    """The new ReplicaSet, if it is there, takes what it has from the Deployment (section 6)."""
    new, deployment = draft.sets.new, draft.deployment
    if new is None:
        return draft
    revision = annotations.highest_revision(draft.sets.old) + 1
    noted = annotations.of_new(deployment, new.metadata.annotations, revision)
    min_ready_s = deployment.spec.min_ready_seconds
    if noted != new.metadata.annotations or min_ready_s != new.spec.min_ready_seconds:
        new = msgspec.structs.replace(
            new,
            metadata=msgspec.structs.replace(new.metadata, annotations=noted),
            spec=msgspec.structs.replace(new.spec, min_ready_seconds=min_ready_s),
        )
    draft = msgspec.structs.replace(draft, sets=Divided(new, draft.sets.old))
    draft = draft.with_revision(noted.get(REVISION, ""))
    known = conditions.find(deployment.status.conditions, Type.PROGRESSING)
    if known is None and limits.has_progress_deadline(deployment):
        text = f'Found new replica set "{new.metadata.name}"'
        draft = draft.with_condition(progress.progressing(Reason.FOUND, text, now))
    return draft


def with_new_created(draft: Draft, now: str) -> Draft:
    """The same, and a new ReplicaSet is made if there is none (section 6)."""
    if draft.sets.new is not None:
        return draft
    deployment = draft.deployment
    revision = annotations.highest_revision(draft.sets.old) + 1
    new = new_replica_set(deployment, revision)
    replicas = rolling.new_size(deployment, draft.sets, new)
    new = msgspec.structs.replace(new, spec=msgspec.structs.replace(new.spec, replicas=replicas))
    name = new.metadata.name
    events = [scaling_event(name, 0, replicas)] if replicas else []
    draft = msgspec.structs.replace(
        draft,
        sets=Divided(new, draft.sets.old),
        create=Creation(tree_of(deployment, new), events),
    ).with_revision(str(revision))
    if limits.has_progress_deadline(deployment):
        text = f'Created new replica set "{name}"'
        draft = draft.with_condition(progress.progressing(Reason.CREATED, text, now))
    return draft


def _with_size(one: ReplicaSet, replicas: int, deployment: Deployment) -> ReplicaSet:
    noted = annotations.with_sizes(one.metadata.annotations, deployment)
    return msgspec.structs.replace(
        one,
        metadata=msgspec.structs.replace(one.metadata, annotations=noted),
        spec=msgspec.structs.replace(one.spec, replicas=replicas),
    )


def _replaced(sets: Divided, by_name: Mapping[str, ReplicaSet]) -> Divided:
    new = None if sets.new is None else by_name[sets.new.metadata.name]
    return Divided(new, [by_name[old.metadata.name] for old in sets.old])
