"""The file of a snapshot: what was written comes back, and nothing else counts as a snapshot."""

import gzip

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.snapshot import fileformat
from kubeherd.snapshot.model import Entry, Origin, Snapshot, SnapshotError, entry_of

TEXT = st.text(max_size=8)
TREES = st.dictionaries(TEXT, st.recursive(st.none() | st.booleans() | TEXT, st.lists), max_size=3)
ENTRIES = st.builds(
    Entry,
    resource=TEXT,
    namespace=TEXT,
    name=TEXT,
    created=st.integers(0, 10**15),
    revision=st.integers(0, 10**15),
    object=TREES.map(lambda tree: msgspec.Raw(msgspec.json.encode(tree))),
)
SNAPSHOTS = st.builds(
    Snapshot,
    origin=st.sampled_from(Origin),
    revision=st.integers(0, 10**15),
    entries=st.lists(ENTRIES, max_size=4),
    saved=TEXT,
    saved_by=TEXT,
    settings=st.none() | TREES,
    notes=st.lists(TEXT, max_size=2).map(tuple),
)


def a_pod(name: str) -> Entry:
    tree = {"kind": "Pod", "metadata": {"name": name, "namespace": "x", "resourceVersion": "7"}}
    return entry_of("pods", tree, created=3)


WHOLE = fileformat.encode(
    Snapshot(origin=Origin.KUBEHERD, revision=9, entries=[a_pod("a"), a_pod("b")])
)


@settings(max_examples=40)
@given(SNAPSHOTS)
def test_what_was_written_comes_back(snapshot):
    assert fileformat.decode(fileformat.encode(snapshot)) == snapshot


def test_an_entry_has_its_revisions_beside_the_object_and_not_in_it():
    entry = a_pod("a")
    assert (entry.namespace, entry.name, entry.created, entry.revision) == ("x", "a", 3, 7)
    assert entry.tree()["metadata"] == {"name": "a", "namespace": "x"}


@pytest.mark.parametrize("version", ["", "0", "x1", "９", "9" * 40])
def test_a_version_that_is_no_revision_counts_as_none(version):
    tree = {"metadata": {"name": "a", "resourceVersion": version}}
    assert entry_of("pods", tree).revision == 0


@pytest.mark.parametrize("at", range(2, len(WHOLE), 7))
def test_a_file_that_was_cut_short_is_refused(at):
    with pytest.raises(SnapshotError, match=r"not complete|damaged"):
        fileformat.decode(WHOLE[:at])


@pytest.mark.parametrize("at", range(10, len(WHOLE), 5))
def test_a_file_with_a_wrong_byte_is_refused(at):
    broken = bytearray(WHOLE)
    broken[at] ^= 0x10
    with pytest.raises(SnapshotError):
        fileformat.decode(bytes(broken))


def packed(*lines: bytes) -> bytes:
    return gzip.compress(b"".join(line + b"\n" for line in lines))


def test_a_file_that_was_changed_and_packed_again_is_refused():
    lines = gzip.decompress(WHOLE).splitlines()
    assert fileformat.decode(packed(*lines)).revision == 9
    lines[1] = lines[1].replace(b'"name":"a"', b'"name":"c"')
    with pytest.raises(SnapshotError, match="was changed after it was written"):
        fileformat.decode(packed(*lines))


def test_a_line_that_went_missing_is_noticed():
    lines = gzip.decompress(WHOLE).splitlines()
    with pytest.raises(SnapshotError, match="checksum differs"):
        fileformat.decode(packed(lines[0], *lines[2:]))
    with pytest.raises(SnapshotError, match="end is missing"):
        fileformat.decode(packed(*lines[:-1]))


def test_a_newer_format_is_named():
    with pytest.raises(SnapshotError, match=r"has version 2 .* knows version 1 only"):
        fileformat.decode(packed(b'{"format":"kubeherd-snapshot","version":2}'))


@pytest.mark.parametrize("line", [b"", b"{}", b"hello", b'{"format":"else","version":1}', b"\xff"])
def test_another_file_of_gzip_is_no_snapshot(line):
    with pytest.raises(SnapshotError, match="is not a snapshot of kubeherd"):
        fileformat.decode(packed(line))


def test_a_line_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fileformat, "MAX_LINE_BYTES", 100)
    with pytest.raises(SnapshotError, match="too long"):
        fileformat.decode(packed(b"x" * 200))
