"""From records of a history to what a store holds.

A history of an API server has objects as they were stored, one that was made by watching any
cluster as that cluster shows them: here they get the form in which they are stored. Heartbeats are
renewals of Leases. Objects of kinds that nobody defines are kept and not shown.
"""

from datetime import UTC, datetime
from typing import Any, Final

import orjson

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.timestamps import format_micro_time
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.customresources.watching import DEFINITIONS
from kubeherd.cluster.apiserver.replaying.store import ReplayedStore
from kubeherd.history import Began, Heartbeat, Record, Verb, Write

_NODE_LEASES: Final = "leases.coordination.k8s.io", "kube-node-lease"


class Filler:
    """Takes the records of one history in order; `settle` comes before anybody reads."""

    def __init__(self, store: ReplayedStore) -> None:
        self._store = store
        self._began = 0
        self._first: list[Write] | None = []
        """What was there when the history began; None once that is in the store."""
        self._has_gap = False

    def take(self, record: Record) -> None:
        """What a record says of the state; others than those of writes say nothing."""
        if isinstance(record, Began):
            self._began = self._began or record.revision
        elif isinstance(record, Write):
            self._write(record)
        elif isinstance(record, Heartbeat) and record.revision > self._began:
            self.settle()
            self._renew(record)

    def settle(self) -> None:
        """Bring into the store what waits for what belongs to it."""
        if self._first is not None:
            first, self._first = self._first, None
            newest = max((one.revision for one in first), default=0)
            # definitions first: by them the objects of their resources are stored
            for write in sorted(first, key=lambda one: one.resource != DEFINITIONS.group_resource):
                self._store.amend(*self._stored(write), deleted=write.verb is Verb.DELETE)
            self._store.resume(max(self._began, newest))
        if self._has_gap:
            self._has_gap = False
            self._store.resume(self._store.revision)

    def _write(self, write: Write) -> None:
        if write.restored and self._first is not None:
            self._first.append(write)
            return
        if self._first is not None:
            self.settle()
        deleted = write.verb is Verb.DELETE
        place, revision, json = self._stored(write)
        if not write.restored and revision >= self._store.revision:
            self._store.happen(place, revision, json, deleted=deleted)
            return
        known = self._store.get(*place)
        # found by a list after a gap, or told late
        if write.restored or known is None or known.revision < revision:
            self._store.amend(place, revision, json, deleted=deleted)
            self._store.revision = max(self._store.revision, revision)
            self._has_gap = True

    def _renew(self, beat: Heartbeat) -> None:
        """Most renewals are not in the history, and each is of one member."""
        place = *_NODE_LEASES, beat.node
        lease = self._store.get(*place)
        if lease is None or beat.revision <= self._store.revision or not beat.renewed:
            return
        tree = lease.load()
        renewed = format_micro_time(datetime.fromtimestamp(beat.renewed, UTC))
        tree["spec"] = {**(tree.get("spec") or {}), "renewTime": renewed}
        tree["metadata"]["resourceVersion"] = str(beat.revision)
        self._store.happen(place, beat.revision, codecs.dumps_json_to_keep(tree))

    def _stored(self, write: Write) -> tuple[tuple[str, str, str], int, bytes]:
        """Where an object is stored, as what."""
        tree: dict[str, Any] = {**write.object}
        tree["metadata"] = {
            **(tree.get("metadata") or {}),
            "resourceVersion": str(write.revision),
        }
        key, stored = self._in_storage(write.resource, tree)
        place = key, write.namespace, write.name
        return place, write.revision, codecs.dumps_json_to_keep(stored)

    def _in_storage(self, resource_key: str, tree: JsonObject) -> tuple[str, JsonObject]:
        resource = kinds.for_kind(tree.get("apiVersion", ""), tree.get("kind", ""))
        if resource is not None:
            kind = served.of(resource)
            return kind.key, kind.stored(tree)
        definition = self._store.get(DEFINITIONS.group_resource, "", resource_key)
        if definition is None:
            return resource_key, tree
        from kubeherd.cluster.apiserver.customresources.table import (  # noqa: PLC0415 - few have any
            custom_kind,
        )

        kind = custom_kind(orjson.loads(definition.json))
        return kind.key, kind.stored(tree)
