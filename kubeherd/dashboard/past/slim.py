"""Of a record what a herd or a timeline is made of, and no more: so that many can be kept. Pure."""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from kubeherd.checks.objects import at, condition, controller_of, items, labels, part, seconds, text
from kubeherd.herd.herd import HASHES
from kubeherd.history import Heartbeat, Record, Verb, Write
from kubeherd.history.records import Object

LEASES: Final = "leases.coordination.k8s.io"
_OF_NODES: Final = (LEASES, "kube-node-lease")
Tree = dict[str, Any]


def slim(write: Write) -> Write:
    """The same write for a herd or a timeline."""
    make = _MAKERS.get(write.resource)
    return write if make is None else replace(write, object=make(write.object), actor=None)


def kept(record: Record) -> Record:
    """What is kept of a record: of a node's Lease a heartbeat, of all else the same."""
    of_node = isinstance(record, Write) and (record.resource, record.namespace) == _OF_NODES
    if not isinstance(record, Write) or not of_node or record.verb is Verb.DELETE:
        return record
    renewed = seconds(at(record.object, "spec", "renewTime"))
    heard = renewed if record.restored else record.at
    return Heartbeat(at=heard, node=record.name, revision=record.revision, renewed=renewed)


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


def _lease(tree: Object) -> Tree:
    return {"spec": _chosen(part(tree, "spec"), "holderIdentity", "renewTime")}


def _chosen(tree: Object, *names: str) -> Tree:
    return {name: tree[name] for name in names if name in tree}


_MAKERS: Final[dict[str, Callable[[Object], Tree]]] = {
    "pods": _pod,
    "nodes": _node,
    "events": _event,
    LEASES: _lease,
}
