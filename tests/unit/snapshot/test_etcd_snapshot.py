"""Snapshots of etcd: one that was recorded, and files made for the purpose.

The recorded one is of etcd 3.4 under a kube-apiserver 1.36.2 with the storage that it has by
default: most objects in protobuf, custom ones, their definitions and APIServices in JSON.
"""

import hashlib
import json
import lzma
import random
from contextlib import suppress
from pathlib import Path

import pytest
from boltfile import bolt_file, key_value, log_key, with_sum

from kubeherd.snapshot import etcdsnapshot
from kubeherd.snapshot.bbolt import Damaged, Database
from kubeherd.snapshot.model import Origin, SnapshotError

RECORDED = lzma.decompress(
    (Path(__file__).parents[2] / "data" / "etcd-snapshot.db.xz").read_bytes()
)


def an_object(name: str, kind: str = "ConfigMap", **more: object) -> bytes:
    metadata = {"name": name, "namespace": "x"}
    return json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}).encode()


def an_entry(name: str, revision: int, value: bytes | None = None) -> tuple[bytes, bytes]:
    stored = an_object(name) if value is None else value
    key = f"/registry/configmaps/x/{name}".encode()
    return log_key(revision), key_value(key, stored, created=2, revision=revision)


def test_a_recorded_snapshot_is_read():
    found = etcdsnapshot.read(RECORDED)
    assert (found.origin, found.revision, len(found.entries)) == (Origin.ETCD, 383, 245)
    assert found.notes == []
    counts = found.counts()
    assert counts["pods"] == 5
    assert counts["nodes"] == 2
    assert counts["widgets.example.com"] == 1
    assert counts["customresourcedefinitions.apiextensions.k8s.io"] == 1
    assert counts["apiservices.apiregistration.k8s.io"] == 23
    maps = [entry.name for entry in found.entries if entry.resource == "configmaps"]
    assert "gone" not in maps  # it was deleted
    secret = next(e for e in found.entries if (e.resource, e.name) == ("secrets", "pw"))
    assert secret.tree()["data"] == {"password": "aHVudGVyMg=="}
    pod = next(e for e in found.entries if e.resource == "pods").tree()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 2


def test_a_recorded_snapshot_with_a_wrong_byte_is_refused_or_the_same():
    rng = random.Random(5)
    for _ in range(20):
        broken = bytearray(RECORDED)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        with pytest.raises(SnapshotError, match="its checksum differs"):
            etcdsnapshot.read(bytes(broken))


def test_a_file_without_a_checksum_is_read_too():
    assert etcdsnapshot.read(RECORDED[:-32]) == etcdsnapshot.read(RECORDED)


def test_damage_in_a_file_without_a_checksum_never_raises_anything_else():
    rng = random.Random(7)
    whole = bolt_file([an_entry(f"m{at}", at + 2) for at in range(6)])
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.choice((rng.randrange(len(broken)), rng.randrange(200)))] ^= 1 << (
                rng.randrange(8)
            )
        cut = rng.choice((len(broken), rng.randrange(len(broken))))
        with suppress(SnapshotError):
            etcdsnapshot.read(bytes(broken[:cut]))


def test_the_newest_state_counts_and_what_was_deleted_is_gone():
    pairs = [
        an_entry("a", 2),
        an_entry("b", 3),
        an_entry("a", 4, an_object("a", data={"k": "new"})),
        (log_key(5, deleted=True), key_value(b"/registry/configmaps/x/b")),
        an_entry("c", 6),
        (log_key(7, deleted=True), key_value(b"/registry/configmaps/x/c")),
    ]
    found = etcdsnapshot.read(with_sum(bolt_file(pairs)))
    assert found.revision == 7
    (entry,) = found.entries
    assert (entry.resource, entry.name, entry.created, entry.revision) == ("configmaps", "a", 2, 4)
    assert entry.tree()["data"] == {"k": "new"}


@pytest.mark.parametrize("size", [512, 4096, 65536])
def test_pages_may_have_any_size(size):
    found = etcdsnapshot.read(bolt_file([an_entry("a", 2)], page_size=size))
    assert [entry.name for entry in found.entries] == ["a"]


def test_the_valid_one_of_the_first_two_pages_counts():
    file = bytearray(bolt_file([an_entry("a", 2)]))
    file[4096 + 20 : 4096 + 60] = bytes(40)
    assert len(list(Database(bytes(file)).bucket(b"key"))) == 1
    file[20:60] = bytes(40)
    with pytest.raises(Damaged, match="first pages"):
        Database(bytes(file))
    with pytest.raises(Damaged, match="no bucket lease"):
        Database(bolt_file([])).bucket(b"lease")


def test_a_tree_that_runs_in_a_circle_ends():
    pairs = [an_entry(f"m{at}", at + 2) for at in range(4)]
    file = bytearray(bolt_file(pairs))
    root = len(file) - 4096  # the branch, whose first child is now the branch itself
    file[root + 16 + 8 : root + 16 + 16] = (root // 4096).to_bytes(8, "little")
    with pytest.raises(SnapshotError, match="in its tree twice"):
        etcdsnapshot.read(bytes(file))


def test_what_is_no_object_of_the_api_is_passed_over_and_what_cannot_be_read_is_told():
    def of(key: str, value: bytes, revision: int) -> tuple[bytes, bytes]:
        return log_key(revision), key_value(key.encode(), value, created=1, revision=revision)

    pairs = [
        of("compact_rev_key", b"12", 2),
        of("/registry/ranges/serviceips", b"k8s\0rubbish", 3),
        of("/registry/masterleases/10.0.0.1", an_object("10.0.0.1", "Endpoints"), 4),
        of("/registry/secrets/x/s", b"k8s:enc:aescbc:v1:key:rubbish", 5),
        of("/registry/secrets/x/t", b"k8s:enc:aescbc:v1:key:rubbish", 6),
        of("/registry/pods/x/p", b"k8s\0", 7),
        of("/registry/example.com/widgets/x/w", b'{"kind": "Widget"', 8),
        of("/registry/example.com/gadgets/x/g", b'{"kind": "Gadget", "metadata": []}', 9),
        of("/openshift.io/configmaps/x/a", an_object("a"), 10),
        of("/openshift.io/routes/x/r", an_object("r", "Route"), 11),
    ]
    found = etcdsnapshot.read(bolt_file(pairs))
    assert [entry.name for entry in found.entries] == ["a"]
    assert len(found.notes) == 5
    notes = "\n".join(found.notes)
    assert "cannot read 2 secrets: it is encrypted" in notes
    assert "cannot read 1 pods: " in notes
    assert "cannot read 1 widgets.example.com: it is no object (" in notes
    assert "cannot read 1 gadgets.example.com: " in notes
    assert "cannot read 1 routes: kubeherd does not know the kind" in notes


def test_an_etcd_without_kubernetes_is_told_as_such():
    with pytest.raises(SnapshotError, match="holds no objects of Kubernetes"):
        etcdsnapshot.read(bolt_file([(log_key(2), key_value(b"mine", b"value"))]))


def test_the_checksum_is_that_of_all_that_is_before_it():
    file = bolt_file([an_entry("a", 2)])
    etcdsnapshot.check_sum(file + hashlib.sha256(file).digest())
    with pytest.raises(SnapshotError, match="its checksum differs"):
        etcdsnapshot.check_sum(file + hashlib.sha256(b"").digest())
