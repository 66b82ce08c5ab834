"""From what etcd says to rows: an object that cannot be read is not there."""

from typing import Any

import msgspec

from kubeherd.cluster.store.etcd.rows import RowReader

KEY = b"/registry/pods/ns/p"
GOOD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}'


class Kv(msgspec.Struct):
    mod_revision: int = 0
    value: bytes = b""
    key: bytes = KEY
    create_revision: int = 1


class Event(msgspec.Struct):
    kv: Any
    prev_kv: Any
    type: int = 0


def test_what_becomes_unreadable_is_deleted_once() -> None:
    reader = RowReader()
    row = reader.event(Event(Kv(5, b"k8s:enc:secret"), Kv(4, GOOD)))
    assert row is not None
    assert (row.revision, row.deleted, row.value) == (5, True, GOOD)
    assert reader.event(Event(Kv(6, b"k8s:enc:other"), Kv(5, b"k8s:enc:secret"))) is None
    assert reader.event(Event(Kv(7), Kv(6, b"k8s:enc:other"), 1)) is None
    assert reader.event(Event(Kv(5, b"k8s:enc:secret"), Kv())) is None
