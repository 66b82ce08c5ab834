"""Records of what the store kept: each write, each new leader, and a sample of heartbeats.

A renewal of a node's Lease is no write of a history but a heartbeat, and not each of these: nodes
renew every few seconds, and nothing else happens to most of them.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import field

from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.store.state import EventType, WatchEvent
from kubeherd.cluster.store.state import Record as Stored
from kubeherd.history import Actor, Heartbeat, Leads, Record, Verb, Write
from kubeherd.history.records import HEARTBEAT_S, Object

_LEASES: Final = "leases.coordination.k8s.io"
_NODE_LEASES: Final = "kube-node-lease"
_VERBS = {
    EventType.ADDED: Verb.CREATE,
    EventType.MODIFIED: Verb.UPDATE,
    EventType.DELETED: Verb.DELETE,
}


class _Meta(msgspec.Struct):
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owners: Any = field(default=None, name="ownerReferences")
    finalizers: list[str] | None = None


class _Spec(msgspec.Struct):
    holder: str | None = field(default="", name="holderIdentity")
    transitions: int | None = field(default=0, name="leaseTransitions")
    duration_s: int | None = field(default=0, name="leaseDurationSeconds")
    renewed: str | None = field(default="", name="renewTime")


class _Lease(msgspec.Struct):
    metadata: _Meta
    spec: _Spec | None = None

    @property
    def term(self) -> tuple[str, int]:
        """Who holds it, and for the how manieth time."""
        spec = self.spec or _Spec()
        return spec.holder or "", spec.transitions or 0

    @property
    def besides(self) -> object:
        """All that a renewal leaves alone."""
        spec = msgspec.structs.replace(self.spec or _Spec(), renewed="")
        return self.metadata, spec


class _Named(msgspec.Struct):
    metadata: _Meta


_lease = msgspec.json.Decoder(_Lease)
_named = msgspec.json.Decoder(_Named)


def uid_of(json: bytes) -> str:
    """The uid of a stored object."""
    return _named.decode(json).metadata.uid


class Writes:
    """Makes records of events; `shown` gives an object's uid, and what a record shows of it."""

    def __init__(self, speed: float, shown: Callable[[bytes], tuple[str, Object]]) -> None:
        self._speed = speed
        self._shown = shown
        self._beats: dict[str, float] = {}
        """When a heartbeat of a node was last recorded; as long as the node has its Lease."""

    def restored(self, stored: Stored, at: float) -> Write:
        """An object that exists when the history begins."""
        return self._write(Verb.CREATE, stored, at, None, restored=True)

    def of(self, event: WatchEvent, at: float, actor: Actor | None) -> Iterator[Record]:
        """What there is to tell of a write; `at` in seconds since the epoch."""
        stored = event.record
        if stored.resource_key != _LEASES:
            yield self._write(_VERBS[event.type], stored, at, actor)
            return
        lease = _lease.decode(stored.json)
        before = _lease.decode(event.previous.json) if event.previous is not None else None
        if stored.namespace == _NODE_LEASES:
            yield from self._of_node(event, lease, before, at, actor)
            return
        yield self._write(_VERBS[event.type], stored, at, actor)
        gone = event.type is EventType.DELETED
        holder, transitions = ("", lease.term[1]) if gone else lease.term
        if gone or before is None or before.term != lease.term:
            yield Leads(
                at=at,
                lease=stored.key,
                holder=holder,
                transitions=transitions,
                revision=event.revision,
            )

    def _of_node(
        self,
        event: WatchEvent,
        lease: _Lease,
        before: _Lease | None,
        at: float,
        actor: Actor | None,
    ) -> Iterator[Record]:
        node = event.record.name
        if (
            event.type is not EventType.MODIFIED
            or before is None
            or before.besides != lease.besides
        ):
            yield self._write(_VERBS[event.type], event.record, at, actor)
        if event.type is EventType.DELETED:
            self._beats.pop(node, None)
            return
        last = self._beats.get(node)
        if last is not None and (at - last) * self._speed < HEARTBEAT_S:
            return
        self._beats[node] = at
        renewed = lease.spec.renewed if lease.spec is not None else ""
        yield Heartbeat(
            at=at,
            node=node,
            revision=event.revision,
            renewed=parse_time(renewed).timestamp() if renewed else 0.0,
        )

    def _write(
        self, verb: Verb, stored: Stored, at: float, actor: Actor | None, *, restored: bool = False
    ) -> Write:
        uid, shown = self._shown(stored.json)
        return Write(
            at=at,
            revision=stored.revision,
            verb=verb,
            resource=stored.resource_key,
            namespace=stored.namespace,
            name=stored.name,
            uid=uid,
            object=shown,
            actor=actor,
            restored=restored,
        )
