"""A set of node names is what was encoded: no name more, none less."""

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.api.private import nodeset

numbered = st.builds(
    "{}{}{}".format,
    st.sampled_from(["node-", "edge", "", "n1-", "a.b-"]),
    st.sampled_from(["", "0", "00"]),
    st.integers(0, 30),
)
names = st.sets(numbered | st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True))


@given(names, names)
def test_exactly_the_encoded_names_are_in_the_set(given_names: set[str], others: set[str]) -> None:
    found = nodeset.parse(nodeset.encode(given_names))
    assert {name for name in given_names | others if name in found} == given_names


def test_a_fleet_takes_few_bytes() -> None:
    assert nodeset.encode([f"node-{n}" for n in range(500, 1000)]) == "node-:500-999"
    assert nodeset.encode(["edge", "node-1", "node-3", "node-2"]) == "edge,node-:1-3"
    assert nodeset.encode(["node-7"]) == "node-7"
