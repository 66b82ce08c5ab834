"""Versions of an object that hold once what they have in common."""

import sys

import orjson
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.store import likeness
from kubeherd.cluster.store.state import Attrs, EventType, Record, WatchEvent

LONG_SPEC = {"containers": [{"name": f"c{i}", "image": "registry/image:1"} for i in range(40)]}

texts = st.text(alphabet=',"spectau:{}x', max_size=20)
trees = st.recursive(
    st.none() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.fixed_dictionaries(
    {"metadata": trees},
    optional={
        "spec": st.sampled_from([LONG_SPEC, {**LONG_SPEC, "nodeName": "node-1"}]) | trees,
        "status": trees,
    },
)


def record(revision: int, json: bytes) -> Record:
    return Record("pods", "default", "pod", revision, 1, json, Attrs())


def history(*versions: bytes, deleted: bool = False) -> list[Record]:
    """The versions of one object, all of which are past but the last one, if it is not deleted."""
    records = [record(revision, json) for revision, json in enumerate(versions, 1)]
    for number, new in enumerate(records):
        last = number == len(records) - 1
        type_ = EventType.DELETED if deleted and last else EventType.MODIFIED
        WatchEvent(type_, new, records[number - 1] if number else None).becomes_past()
    return records


def pod(revision: int, *, status: str, **spec: str) -> bytes:
    return orjson.dumps(
        {"metadata": {"rv": str(revision)}, "spec": {**LONG_SPEC, **spec}, "status": status}
    )


@given(st.lists(objects, min_size=1, max_size=6), st.booleans())
def test_every_version_is_what_was_written(trees: list[dict[str, object]], deleted: bool) -> None:
    versions = [orjson.dumps(tree) for tree in trees]
    past = history(*versions, deleted=deleted)
    assert [one.json for one in past] == versions
    assert [one.size for one in past] == [len(version) for version in versions]


@given(objects, objects)
def test_what_is_common_is_in_both(one: dict[str, object], other: dict[str, object]) -> None:
    old, new = orjson.dumps(one), orjson.dumps(other)
    common = likeness.in_common(old, new)
    assert common in old
    assert common in new
    if common:
        assert likeness.has(old, common)
        assert likeness.has(new, common)
        assert likeness.pieces(old, common).joined() == old


def test_a_spec_is_held_once_for_all_versions() -> None:
    versions = [pod(revision, status=f"phase {revision}") for revision in range(1, 6)]
    past = history(*versions, deleted=True)
    spec = likeness.in_common(versions[0], versions[1])
    assert len(spec) > len(orjson.dumps(LONG_SPEC))
    held = [one._json for one in past]
    kept = [one for one in held if isinstance(one, likeness.Pieces)]
    assert len(kept) == len(held)
    assert {id(one.common) for one in kept} == {id(past[0]._common or kept[0].common)}
    assert sum(sys.getsizeof(one.before) for one in kept) < len(versions[0])


def test_a_node_name_that_is_added_leaves_the_rest_in_common() -> None:
    unbound, bound = pod(1, status="Pending"), pod(2, status="Pending", nodeName="node-1")
    common = likeness.in_common(unbound, bound)
    assert len(orjson.dumps(LONG_SPEC)) - len(common) < len(b',"spec":{}')


def test_what_is_small_or_has_no_spec_stays_whole() -> None:
    small = orjson.dumps({"metadata": {}, "spec": {"a": 1}, "status": {}})
    assert likeness.in_common(small, small) == b""
    other = orjson.dumps({"metadata": {}, "data": {"key": "x" * 2000}})
    assert likeness.in_common(other, other) == b""


def test_what_selectors_read_is_held_once_where_it_is_equal() -> None:
    before = Attrs({"app": "web"}, {"status.phase": "Pending"})
    same = Attrs({"app": "web"}, {"status.phase": "Pending"})
    assert same.after(before) is before
    running = Attrs({"app": "web"}, {"status.phase": "Running"}).after(before)
    assert running.labels is before.labels
    assert running.fields == {"status.phase": "Running"}
    moved = Attrs({"app": "db"}, {"status.phase": "Pending"}).after(before)
    assert moved == Attrs({"app": "db"}, {"status.phase": "Pending"})
    assert moved.fields is before.fields
