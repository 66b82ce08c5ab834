"""From etcd's keys and values to rows. What cannot be read is told once, and left out."""

from typing import Any

import structlog

from kubeherd.cluster.api.etcd import keys, values
from kubeherd.cluster.store.engine import Row
from kubeherd.cluster.store.sharedengine import Compacted

_DELETE = 1
_MAX_TOLD = 100

_log = structlog.get_logger(__name__)


class RowReader:
    """Remembers of which keys it told that they cannot be read."""

    def __init__(self) -> None:
        self._told: set[bytes] = set()

    def row(self, kv: Any) -> Row | None:
        """The row of a key as it is; None for what is no object or cannot be read."""
        return self._row(kv, kv.mod_revision, deleted=False)

    def event(self, event: Any) -> Row | None:
        """The row of an event. Compacted, if the last state of what was deleted is not known. An
        object that cannot be read any more is gone, as it is for who reads it anew."""
        kv, before = event.kv, event.prev_kv
        if event.type != _DELETE:
            row = self._row(kv, kv.mod_revision, deleted=False)
            if row is None and before.mod_revision:
                return self._row(before, kv.mod_revision, deleted=True)
            return row
        if not before.mod_revision and keys.decode(kv.key) is not None:
            raise Compacted("etcd has forgotten what was deleted", kv.mod_revision)
        return self._row(before, kv.mod_revision, deleted=True)

    def _row(self, kv: Any, revision: int, *, deleted: bool) -> Row | None:
        key = keys.decode(kv.key)
        if key is None:
            return None
        try:
            value = values.to_json(key.resource_key, kv.value)
        except values.Unreadable as why:
            self._tell(kv.key, str(why))
            return None
        return Row(revision, kv.create_revision, deleted, *key, value)

    def _tell(self, key: bytes, why: str) -> None:
        if key in self._told or len(self._told) >= _MAX_TOLD:
            return
        self._told.add(key)
        _log.error("etcd_value_unreadable", key=key.decode(errors="replace"), why=why)
