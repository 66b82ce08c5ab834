"""A snapshot of etcd (`etcdctl snapshot save`, or the file member/snap/db of a stopped member).

Its bucket `key` is a log: the key of an entry is its revision (main, ``_``, sub; a ``t`` behind it
for a deletion), its value a mvccpb.KeyValue. The state is what is left when it is read to the end.
What a Kubernetes API server keeps there are objects (`cluster.api.etcd`), and a few things that are
none: allocations of addresses and ports, and the addresses of API servers. Sources:
go.etcd.io/etcd v3.6, server/storage/mvcc (revision.go, key_index.go), etcdutl/snapshot
(v3_snapshot.go); k8s.io/apiserver v1.36, pkg/storage/etcd3.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from kubeherd.cluster.api.etcd import keys, values
from kubeherd.cluster.api.etcd.values import Unreadable
from kubeherd.cluster.api.serializer.protobuf.wire import Expected, Malformed, Scanner, WireType
from kubeherd.snapshot.bbolt import Buffer, Damaged, Database
from kubeherd.snapshot.model import Entry, Origin, Snapshot, SnapshotError, entry_of

_REVISION_BYTES: Final = 17
_TOMBSTONE_BYTES: Final = 18
_PAGE_BYTES: Final = 512
_SHA256_BYTES: Final = 32
_LEAST_PARTS: Final = 3
"""Of a key: the prefix that the API server was told, the resource, the name."""
_NO_OBJECTS: Final = frozenset({"ranges", "masterleases", "peerserverleases"})
"""What is under these names, behind the prefix, is not shown by any API server."""
_KEY_VALUE: Expected = {
    1: ("Key", WireType.BYTES),
    2: ("CreateRevision", WireType.VARINT),
    3: ("ModRevision", WireType.VARINT),
    5: ("Value", WireType.BYTES),
}


class KeyValue(msgspec.Struct, frozen=True):
    """What etcd keeps under a key."""

    key: bytes
    created: int
    revision: int
    value: bytes


def read(data: Buffer) -> Snapshot:
    """The objects of the Kubernetes API in a snapshot. SnapshotError; its text follows on the name
    of the file."""
    check_sum(data)
    try:
        latest, revision = state(Database(data).bucket(b"key"))
    except (Damaged, Malformed) as error:
        raise SnapshotError(f"is damaged: {error}") from None
    return _objects(latest, revision)


def check_sum(data: Buffer) -> None:
    """SnapshotError unless the SHA-256 fits that `etcdctl snapshot save` appends to the pages; the
    file of a member has none."""
    more = len(data) % _PAGE_BYTES
    if more == 0:
        return
    if more != _SHA256_BYTES:
        raise SnapshotError("is damaged: it was cut short")
    content = memoryview(data)[:-_SHA256_BYTES]
    same = hashlib.sha256(content).digest() == data[-_SHA256_BYTES:]
    content.release()
    if not same:
        raise SnapshotError("was changed after it was written, or is damaged: its checksum differs")


def state(log: Iterator[tuple[bytes, bytes]]) -> tuple[Mapping[bytes, KeyValue], int]:
    """What is there after the last entry, by key, and the revision of that. Damaged; Malformed."""
    latest: dict[bytes, KeyValue] = {}
    revision = 0
    for place, value in log:
        if len(place) not in (_REVISION_BYTES, _TOMBSTONE_BYTES):
            raise Damaged("its log has a key that is no revision")
        revision = max(revision, int.from_bytes(place[:8], "big"))
        found = _key_value(value)
        if len(place) == _TOMBSTONE_BYTES:
            latest.pop(found.key, None)
        else:
            latest[found.key] = found
    return latest, revision


def _key_value(message: bytes) -> KeyValue:
    key, value, created, revision = b"", b"", 0, 0
    for number, wire in Scanner().fields("KeyValue", _KEY_VALUE, message):
        if number == 1:
            key = bytes(wire)
        elif number == 2:
            created = int(wire)
        elif number == 3:
            revision = int(wire)
        elif number == 5:
            value = bytes(wire)
    return KeyValue(key, created, revision, value)


def _objects(latest: Mapping[bytes, KeyValue], revision: int) -> Snapshot:
    entries: list[Entry] = []
    lost: Counter[str] = Counter()
    for found in latest.values():
        parts = found.key.decode(errors="replace").strip("/").split("/")
        if len(parts) < _LEAST_PARTS or parts[1] in _NO_OBJECTS:
            continue
        try:
            entries.append(_entry(parts, found))
        except Unreadable as error:
            name = f"{parts[2]}.{parts[1]}" if "." in parts[1] else parts[1]
            lost[f"{name}: {error}"] += 1
    if not entries:
        raise SnapshotError("holds no objects of Kubernetes")
    entries.sort(key=lambda entry: (entry.resource, entry.namespace, entry.name))
    notes = [f"cannot read {count} {what}" for what, count in sorted(lost.items())]
    return Snapshot(origin=Origin.ETCD, revision=revision, entries=entries, notes=notes)


def _entry(parts: Sequence[str], found: KeyValue) -> Entry:
    """The object under a key of these parts, whose first is the API server's prefix. Unreadable."""
    key = keys.decode(f"{keys.REGISTRY}{'/'.join(parts[1:])}".encode())
    if key is None:
        raise Unreadable("kubeherd does not know the kind")
    try:
        tree = msgspec.json.decode(values.to_json(key.resource_key, found.value))
        return entry_of(key.resource_key, tree, created=found.created, revision=found.revision)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"it is no object ({error})") from error
