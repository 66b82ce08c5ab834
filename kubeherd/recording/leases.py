"""Leases seen as writes, told as a history does: samples of heartbeats, and who leads. Pure.

The API server that records does the same (`cluster.apiserver.recording.writes`), so that a history
has one form, whoever wrote it.
"""

from collections.abc import Iterator
from typing import Final

from kubeherd.checks.objects import at, key, number, seconds, text
from kubeherd.history import Heartbeat, Leads, Record, Speed, Verb, Write
from kubeherd.history.records import HEARTBEAT_S

_RESOURCE: Final = "leases.coordination.k8s.io"
_NODES: Final = "kube-node-lease"


class Leases:
    """`speed` is that of the cluster to begin with; 0 if it is not known."""

    def __init__(self, speed: float) -> None:
        self._speed = speed or 1.0
        self._beats: dict[str, float] = {}
        self._holders: dict[str, tuple[str, int]] = {}

    def told(self, record: Record) -> Iterator[Record]:
        """What a history says of this; of what is no Lease the same."""
        if isinstance(record, Speed):
            self._speed = record.speed
        if not isinstance(record, Write) or record.resource != _RESOURCE:
            yield record
        elif record.namespace == _NODES:
            yield from self._of_node(record)
        else:
            yield record
            yield from self._of_leader(record)

    def _of_node(self, write: Write) -> Iterator[Record]:
        if write.verb is Verb.DELETE:
            self._beats.pop(write.name, None)
            yield write
            return
        last = self._beats.get(write.name)
        if last is None:
            yield write
        elif (write.at - last) * self._speed < HEARTBEAT_S:
            return
        self._beats[write.name] = write.at
        renewed = seconds(at(write.object, "spec", "renewTime"))
        yield Heartbeat(at=write.at, node=write.name, revision=write.revision, renewed=renewed)

    def _of_leader(self, write: Write) -> Iterator[Record]:
        lease = key(write.namespace, write.name)
        holder = text(write.object, "spec", "holderIdentity")
        term = holder, number(write.object, "spec", "leaseTransitions")
        if write.verb is Verb.DELETE:
            term = "", term[1]
        if self._holders.get(lease) != term:
            self._holders[lease] = term
            yield Leads(
                at=write.at,
                lease=lease,
                holder=term[0],
                transitions=term[1],
                revision=write.revision,
            )
