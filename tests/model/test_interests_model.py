"""Looking up who wants an event against asking everybody in turn."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.api.private import nodeset
from kubeherd.cluster.store.state import Attrs, EventType, Record, WatchEvent
from kubeherd.cluster.store.watch import nodesets
from kubeherd.cluster.store.watch.deliveries import WatchFilter, deliver, nodes_of
from kubeherd.cluster.store.watch.history import History
from kubeherd.cluster.store.watch.hub import Hub
from kubeherd.cluster.store.watch.interests import Interests

SETS = [nodeset.parse(text) for text in ("n1", "n:1-2", "a", "n2,b,")]
NAMES = st.sampled_from(["a", "b"])
WANTED = st.builds(
    WatchFilter,
    resource_key=st.sampled_from(["pods", "nodes"]),
    namespace=st.sampled_from(["", "n", "m"]),
    node_name=st.sampled_from(["", "n1", "n2"]),
    matches=st.sampled_from([None, lambda record: record.revision % 2 == 0]),
    name=st.sampled_from(["", "a", "b"]),
    nodes=st.sampled_from([None, *SETS]),
)
SETS_ASKED = st.sampled_from(SETS)
WRITES = st.tuples(
    st.sampled_from(["pods", "nodes"]),
    st.sampled_from(["n", "m"]),
    NAMES,
    st.sampled_from(["", "n1", "n2"]),
    st.booleans(),
)


def attrs_of(_resource_key: str, json: bytes) -> Attrs:
    return Attrs({}, {"spec.nodeName": orjson.loads(json)})


def events(writes: list[tuple[str, str, str, str, bool]]) -> list[WatchEvent]:
    """What happens by writes of (resource, namespace, name, node, whether it is deleted)."""
    there: dict[tuple[str, str, str], Record] = {}
    made = []
    for revision, (resource, namespace, name, node, gone) in enumerate(writes, 2):
        place = (resource, namespace, name)
        old = there.pop(place, None)
        if gone and old is None:
            continue
        record = Record(*place, revision, revision, orjson.dumps(node), attrs_of)
        if gone:
            type_ = EventType.DELETED
        else:
            type_ = EventType.MODIFIED if old else EventType.ADDED
            there[place] = record
        made.append(WatchEvent(type_, record, old))
    return made


@given(st.lists(WANTED, max_size=12), st.lists(WRITES, max_size=12), st.data())
def test_everybody_is_told_what_he_would_be_told_if_he_was_asked(
    wanted: list[WatchFilter], writes: list[tuple[str, str, str, str, bool]], data: st.DataObject
) -> None:
    happened = events(writes)
    hub = Hub(History(100, 1 << 20))
    watches = [hub.subscribe(one, 1) for one in wanted]
    leaving = data.draw(st.sets(st.sampled_from(watches)) if watches else st.just(set()))
    for watch in leaving:
        hub.unsubscribe(watch)
    hub.publish(happened)
    for watch in watches:
        one = watch.filter
        about = [e for e in happened if e.record.resource_key == one.resource_key]
        expected = [] if watch in leaving else [deliver(event, one) for event in about]
        told = watch.take()
        assert told == [delivery for delivery in expected if delivery is not None]


@given(st.lists(WRITES, max_size=20), st.data())
def test_what_is_new_for_a_set_of_nodes_is_found_as_by_looking_at_all(
    writes: list[tuple[str, str, str, str, bool]], data: st.DataObject
) -> None:
    history = History(8, 1 << 20)
    for event in events(writes):
        history.append(event)
        history.compact()
        resource, nodes = data.draw(st.sampled_from(["pods", "nodes"])), data.draw(SETS_ASKED)
        since = data.draw(st.integers(history.compacted, event.revision))
        newer = history.since(resource, "", since)
        expected = [one for one in newer if any(name in nodes for name in nodes_of(one))]
        assert history.since(resource, "", since, nodes) == expected


@pytest.mark.parametrize("limit", [1, 2])
def test_sets_in_use_are_found_however_many_there_were(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodesets, "MAX_SETS", limit)
    monkeypatch.setattr(nodesets, "MAX_NAMES", limit)
    found = nodesets.NodeSets()
    for nodes in SETS:
        found.add(nodes)
    found.discard(SETS[0])
    found.add(nodeset.parse("c"))
    assert found.of_any(["n1", "n2"]) == (SETS[1], SETS[3])
    assert found.of("a") == (SETS[2],)


@given(st.lists(WANTED))
def test_nothing_is_left_of_those_who_have_gone(wanted: list[WatchFilter]) -> None:
    interests = Interests[int]()
    for number, one in enumerate(wanted):
        interests.add(one, number)
    assert sorted(interests) == list(range(len(wanted)))
    for number, one in enumerate(wanted):
        interests.discard(one, number)
        interests.discard(one, number)
    assert not len(interests)
    assert not interests._shapes
