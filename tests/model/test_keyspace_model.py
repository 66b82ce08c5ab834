"""The keyspace against a dictionary: whatever comes, goes and is asked for, lists are in order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.store.keyspace import Keyspace
from kubeherd.cluster.store.state import Attrs, Record

POOL = [f"{namespace}/{name:03}" for namespace in ("a", "a-b", "ab", "b") for name in range(300)]


def record(key: str, revision: int) -> Record:
    namespace, name = key.split("/")
    return Record("widgets", namespace, name, revision, revision, b"{}", Attrs())


@given(
    st.lists(
        st.tuples(st.sampled_from((1, 2, 400)), st.sampled_from((1, 3, 300)), st.booleans()),
        max_size=6,
    ),
    st.integers(0, 1000),
)
def test_lists_are_what_a_sorted_dictionary_gives(steps: list[tuple[int, int, bool]], seed: int):
    chance = random.Random(seed)
    keyspace, expected, revision = Keyspace(), dict[str, int](), 0
    for written, deleted, asked in steps:
        for key in chance.sample(POOL, written):
            revision += 1
            keyspace.load(record(key, revision), deleted=False)
            expected[key] = revision
        for key in chance.sample(POOL, deleted):
            revision += 1
            keyspace.load(record(key, revision), deleted=True)
            expected.pop(key, None)
        if asked:
            for namespace in ("", "a", "ab", "nobody"):
                listed = [(one.key, one.revision) for one in keyspace.list("widgets", namespace)]
                assert listed == [
                    (key, at)
                    for key, at in sorted(expected.items())
                    if not namespace or key.startswith(f"{namespace}/")
                ]
