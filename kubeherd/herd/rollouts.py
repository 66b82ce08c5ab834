"""How far a workload is, from what its controller says of it, and what holds it up. Pure.

Numbers are those of the workload's own status, so they are what `kubectl rollout status` reads;
revisions are ControllerRevisions, of a Deployment its ReplicaSets.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from kubeherd.checks.objects import (
    at,
    controller_of,
    items,
    key,
    labels,
    name_of,
    number,
    part,
    scaled,
    text,
)
from kubeherd.herd.model import Cell, Health, Look, Revision, Rollout, Tile
from kubeherd.history import Verb, Write
from kubeherd.history.records import Object

_DAEMONSETS, _DEPLOYMENTS = "daemonsets.apps", "deployments.apps"
_STATEFULSETS, _REPLICASETS = "statefulsets.apps", "replicasets.apps"
_REVISIONS: Final = "controllerrevisions.apps"

WORKLOADS: Final = frozenset({_DAEMONSETS, _DEPLOYMENTS, _STATEFULSETS, _REPLICASETS})
SOURCES: Final = WORKLOADS | {_REVISIONS}
"""The resources that say something of rollouts."""
_KINDS: Final = {
    _DAEMONSETS: "DaemonSet",
    _DEPLOYMENTS: "Deployment",
    _STATEFULSETS: "StatefulSet",
    _REPLICASETS: "ReplicaSet",
}
_CAUSE: Final = "kubernetes.io/change-cause"
_NUMBER: Final = "deployment.kubernetes.io/revision"
_MAX_DIGITS: Final = 18
_MAX_NAMED: Final = 3


class Kept(msgspec.Struct, frozen=True):
    """What `Sources` knows."""

    workloads: dict[str, tuple[str, dict[str, Any]]]
    """By ``Kind namespace/name``: resource and object."""
    revisions: dict[str, dict[str, Revision]]
    """By workload, then by the name of the object that keeps the revision."""


class Sources:
    """The newest state of workloads and of their revisions."""

    def __init__(self) -> None:
        self._workloads: dict[str, tuple[str, Object]] = {}
        self._revisions: dict[str, dict[str, Revision]] = defaultdict(dict)

    def kept(self) -> Kept:
        """All of it."""
        workloads = {key: (of, dict(tree)) for key, (of, tree) in self._workloads.items()}
        return Kept(workloads, self._revisions)

    def take(self, kept: Kept) -> None:
        """Begin with this."""
        self._workloads.update(kept.workloads)
        self._revisions.update(kept.revisions)

    def see(self, write: Write) -> Collection[str]:
        """A write of one of `SOURCES`: which rollouts it changes, as `Rollout.key`."""
        gone = write.verb is Verb.DELETE
        owner = controller_of(write.object)
        owned = f"{text(owner, 'kind')} {key(write.namespace, text(owner, 'name'))}"
        if write.resource == _REVISIONS or (write.resource == _REPLICASETS and owner):
            if gone:
                self._revisions[owned].pop(write.name, None)
            else:
                self._revisions[owned][write.name] = _revision(write)
            return (owned,)
        mine = f"{_KINDS[write.resource]} {key(write.namespace, write.name)}"
        if gone:
            self._workloads.pop(mine, None)
            self._revisions.pop(mine, None)
        else:
            self._workloads[mine] = (write.resource, write.object)
        return (mine,)

    def rollout(self, of: str) -> Rollout | None:
        """How far it is; None if there is no such workload."""
        found = self._workloads.get(of)
        if found is None:
            return None
        resource, tree = found
        make = {_DAEMONSETS: _daemonset, _DEPLOYMENTS: _deployment}.get(resource, _replicated)
        rollout = make(_KINDS[resource], tree)
        rollout.revisions = tuple(
            sorted(self._revisions[of].values(), key=lambda one: (one.number, one.object))
        )
        rollout.paused = at(tree, "spec", "paused") is True
        seen = number(tree, "status", "observedGeneration")
        rollout.observed = seen >= number(tree, "metadata", "generation")
        return rollout


def _revision(write: Write) -> Revision:
    tree = write.object
    own = labels(tree)
    template = part(tree, "data", "spec", "template") or part(tree, "spec", "template")
    images = tuple(text(one, "image") for one in items(template, "spec", "containers"))
    annotations = part(tree, "metadata", "annotations")
    said = text(annotations, _NUMBER)[:_MAX_DIGITS]  # anybody may write there what he likes
    ordinal = number(tree, "revision") or (int(said) if said.isascii() and said.isdecimal() else 0)
    label = own.get("controller-revision-hash") or own.get("pod-template-hash") or ""
    return Revision(str(label), ordinal, images, text(annotations, _CAUSE), write.name)


def _base(kind: str, tree: Object) -> Rollout:
    return Rollout(
        kind,
        text(tree, "metadata", "namespace"),
        name_of(tree),
        ready=number(tree, "status", "readyReplicas"),
        available=number(tree, "status", "availableReplicas"),
        updated=number(tree, "status", "updatedReplicas"),
        strategy=text(tree, "spec", "updateStrategy", "type")
        or text(tree, "spec", "strategy", "type"),
    )


def _daemonset(kind: str, tree: Object) -> Rollout:
    found, status = _base(kind, tree), part(tree, "status")
    found.desired = number(status, "desiredNumberScheduled")
    found.updated = number(status, "updatedNumberScheduled")
    found.ready = number(status, "numberReady")
    found.available = number(status, "numberAvailable")
    rolling = part(tree, "spec", "updateStrategy", "rollingUpdate")
    found.budget = scaled(rolling.get("maxUnavailable"), found.desired, up=True)
    found.surge = scaled(rolling.get("maxSurge"), found.desired, up=True)
    return found


def _deployment(kind: str, tree: Object) -> Rollout:
    found = _base(kind, tree)
    found.desired = number(tree, "spec", "replicas", default=1)
    rolling = part(tree, "spec", "strategy", "rollingUpdate")
    found.budget = scaled(rolling.get("maxUnavailable"), found.desired, up=False)
    found.surge = scaled(rolling.get("maxSurge"), found.desired, up=True)
    return found


def _replicated(kind: str, tree: Object) -> Rollout:
    found = _base(kind, tree)
    found.desired = number(tree, "spec", "replicas", default=1)
    found.budget = 1
    if kind == "ReplicaSet":  # it knows no revisions
        found.updated, found.budget = found.desired, 0
    return found


# --- what holds it up ---


def holds_up(rollout: Rollout, nodes: Mapping[str, Tile], unbound: Mapping[str, Cell]) -> list[str]:
    """Why it does not go on, a line each, the most telling first; nothing if it is done."""
    if rollout.done:
        return []
    return list(_reasons(rollout, nodes, unbound))


def _reasons(
    rollout: Rollout, nodes: Mapping[str, Tile], unbound: Mapping[str, Cell]
) -> Iterator[str]:
    if rollout.paused:
        yield "it is paused"
    if not rollout.observed:
        yield "its controller has not seen the newest spec"
    wanted = rollout.revisions[-1].hash if rollout.revisions else ""
    old = rollout.updated < rollout.desired
    if old and rollout.strategy == "OnDelete":
        yield "OnDelete: old pods are replaced when they are deleted"
    owners = rollout.owners
    down = [
        tile.name
        for tile in nodes.values()
        if tile.health is not Health.READY and _has(tile, owners)
    ]
    if down:
        yield f"nodes that are not Ready: {_some(down)}"
    # Most pods of a large herd are Ready: they are passed over first.
    mine = [
        one
        for tile in nodes.values()
        for one in tile.pods.values()
        if one.look is not Look.READY and one.owner in owners
    ]
    mine += [one for one in unbound.values() if one.owner in owners]
    for why, looks in (
        ("terminating", (Look.TERMINATING,)),
        ("failed", (Look.FAILED,)),
    ):
        if found := [one.name for one in mine if one.look in looks]:
            yield f"{why}: {_some(found)}"
    if found := [one.name for one in mine if not one.node]:
        yield f"no node yet: {_some(found)}"
    unready = [one for one in mine if one.node and one.look in (Look.WAITING, Look.RUNNING)]
    if unready:
        yield f"not ready: {_some([_named(one) for one in unready])}"
    if old and rollout.budget and rollout.unavailable >= rollout.budget:
        spent = f"{rollout.unavailable} of {rollout.budget} unavailable"
        yield f"the budget is spent ({spent}): {rollout.desired - rollout.updated} old pods wait"
    elif old and wanted and not unready:
        yield f"{rollout.desired - rollout.updated} pods to go"


def _has(tile: Tile, owners: frozenset[str]) -> bool:
    return any(one.owner in owners for one in tile.pods.values())


def _named(cell: Cell) -> str:
    return f"{cell.name} ({cell.why})" if cell.why else cell.name


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_MAX_NAMED])
    return shown if len(names) <= _MAX_NAMED else f"{shown} and {len(names) - _MAX_NAMED} more"
