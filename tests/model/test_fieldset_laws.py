"""Field sets behave as the sets of paths that they stand for."""

import json

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.api.managedfields import fieldsets

Path = tuple[str, ...]
KEYS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'k:{"name":"y"}', "v:1"])
PATHS = st.lists(KEYS, min_size=1, max_size=4).map(tuple)
SETS = st.frozensets(PATHS, max_size=12)


def tree(members: frozenset[Path]) -> fieldsets.FieldSet:
    root: fieldsets.FieldSet = {}
    for path in members:
        node = root
        for key in path:
            node = node.setdefault(key, {})
        node[fieldsets.SELF] = fieldsets.LEAF
    return fieldsets.canonical(root)


def members(fields: fieldsets.FieldSet) -> frozenset[Path]:
    found = list(fieldsets.paths(fields))
    assert len(found) == len(set(found))
    assert json.dumps(fieldsets.canonical(fields)) == json.dumps(fields)
    return frozenset(found)


@given(SETS)
def test_a_set_survives_json(a: frozenset[Path]) -> None:
    encoded = json.dumps(tree(a))
    assert members(json.loads(encoded)) == a


@given(SETS, SETS)
def test_sets_of_fields_are_sets_of_paths(a: frozenset[Path], b: frozenset[Path]) -> None:
    left, right = tree(a), tree(b)
    before = json.dumps([left, right])
    assert members(fieldsets.union(left, right)) == a | b
    assert members(fieldsets.difference(left, right)) == a - b
    assert members(fieldsets.intersection(left, right)) == a & b
    assert json.dumps([left, right]) == before


@given(SETS, SETS)
def test_recursive_difference_takes_whole_branches(a: frozenset[Path], b: frozenset[Path]) -> None:
    kept = {path for path in a if not any(path[:n] in b for n in range(1, len(path) + 1))}
    assert members(fieldsets.recursive_difference(tree(a), tree(b))) == kept


@given(SETS, SETS)
def test_nothing_in_common_means_the_very_same_set(a: frozenset[Path], b: frozenset[Path]) -> None:
    left = tree(a)
    assert (fieldsets.difference(left, tree(b)) is left) == (not a & b)
