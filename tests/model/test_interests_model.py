"""Looking up who wants an event against asking everybody in turn."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.store.deliveries import WatchFilter, deliver
from kubeherd.cluster.store.history import History
from kubeherd.cluster.store.hub import Hub
from kubeherd.cluster.store.interests import Interests
from kubeherd.cluster.store.state import Attrs, EventType, Record, WatchEvent

NAMES = st.sampled_from(["a", "b"])
WANTED = st.builds(
    WatchFilter,
    resource_key=st.sampled_from(["pods", "nodes"]),
    namespace=st.sampled_from(["", "n", "m"]),
    node_name=st.sampled_from(["", "n1", "n2"]),
    matches=st.sampled_from([None, lambda record: record.revision % 2 == 0]),
    name=st.sampled_from(["", "a", "b"]),
)
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
