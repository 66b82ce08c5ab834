"""Of a record what a herd or a timeline is made of, and no more: so that many can be kept. Pure."""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from kubeherd.checks.objects import at, condition, controller_of, items, labels, part, seconds, text
from kubeherd.herd.herd import HASHES
from kubeherd.history import Heartbeat, Record, Verb, Write
from kubeherd.history.records import Object

_LEASES: Final = "leases.coordination.k8s.io"
_BEATS: Final = "kube-node-lease"
Tree = dict[str, Any]


def slim(record: Record) -> Record:
    """The same record for a herd or a timeline; of a node's Lease a heartbeat."""
    if not isinstance(record, Write):
        return record
    if record.resource == _LEASES and record.namespace == _BEATS and record.verb is not Verb.DELETE:
        renewed = seconds(at(record.object, "spec", "renewTime"))
        heard = renewed if record.restored else record.at
        return Heartbeat(at=heard, node=record.name, revision=record.revision, renewed=renewed)
    make = _MAKERS.get(record.resource)
    return record if make is None else replace(record, object=make(record.object), actor=None)


def _pod(tree: Object) -> Tree:
    owner, own = controller_of(tree), labels(tree)
    metadata: Tree = {
        "labels": {one: own[one] for one in HASHES if one in own},
        "ownerReferences": [_chosen(owner, "kind", "name", "controller")] if owner else [],
    }
    if gone := at(tree, "metadata", "deletionTimestamp"):
        metadata["deletionTimestamp"] = gone
    status: Tree = {
        **_chosen(part(tree, "status"), "phase", "reason"),
        "conditions": [_chosen(condition(tree, "Ready"), "type", "status")],
        "containerStatuses": [
            _container(one) for one in items(tree, "status", "containerStatuses")
        ],
    }
    spec: Tree = {"containers": [_chosen(one, "image") for one in _containers(tree)]}
    if node := text(tree, "spec", "nodeName"):
        spec["nodeName"] = node
    return {"metadata": metadata, "spec": spec, "status": status}


def _containers(tree: Object) -> list[Object]:
    """The first, by which a revision is named; a pod has one, but who knows what others send."""
    return list(items(tree, "spec", "containers"))[:1] or [{}]


def _container(status: Object) -> Tree:
    kept: Tree = {"restartCount": status.get("restartCount", 0)}
    if why := text(status, "state", "waiting", "reason"):
        kept["state"] = {"waiting": {"reason": why}}
    return kept


def _node(tree: Object) -> Tree:
    ready = _chosen(condition(tree, "Ready"), "type", "status", "lastHeartbeatTime")
    return {
        "metadata": {"labels": labels(tree)},
        "spec": _chosen(part(tree, "spec"), "unschedulable", "taints"),
        "status": {"conditions": [ready]},
    }


def _event(tree: Object) -> Tree:
    return _chosen(tree, "involvedObject", "regarding", "type", "reason", "message", "note")


def _chosen(tree: Object, *names: str) -> Tree:
    return {name: tree[name] for name in names if name in tree}


_MAKERS: Final[dict[str, Callable[[Object], Tree]]] = {
    "pods": _pod,
    "nodes": _node,
    "events": _event,
}
