"""Laws of pruning, defaults and validation, over generated schemas and objects."""

import copy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from kubeherd.cluster.api.customresources import defaulting, ownership, pruning, validation

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from([1, -1, "x", "", True, None, 1.5])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
LEAVES = st.sampled_from([
    {"type": "string"}, {"type": "integer", "default": 1}, {"type": "boolean", "nullable": True},
    {"type": "integer", "minimum": 1}, {"x-kubernetes-int-or-string": True},
    {"type": "string", "enum": ["x"]}, {"type": "object", "default": {}},
    {"x-kubernetes-preserve-unknown-fields": True},
])  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(
            lambda fields, needed: {"type": "object", "properties": fields, "required": needed},
            st.dictionaries(NAMES, inner, min_size=1, max_size=3),
            st.lists(NAMES, max_size=2, unique=True),
        )
        | st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(lambda values: {"type": "object", "additionalProperties": values}, inner)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)
ROOTS = st.dictionaries(NAMES, SCHEMAS, min_size=1, max_size=3).map(
    lambda fields: {"type": "object", "properties": fields}
)


@given(OBJECTS, ROOTS)
def test_pruning_and_defaulting_change_nothing_the_second_time(
    tree: dict[str, Any], schema: dict[str, Any]
) -> None:
    pruning.prune(tree, schema)
    defaulting.default(tree, schema)
    once = copy.deepcopy(tree)
    assert pruning.prune(tree, schema) == []
    defaulting.default(tree, schema)
    assert tree == once


@given(OBJECTS, ROOTS)
def test_what_does_not_change_is_never_refused(
    tree: dict[str, Any], schema: dict[str, Any]
) -> None:
    assert validation.validate(tree, schema, copy.deepcopy(tree)) == []


@given(OBJECTS, OBJECTS, ROOTS)
def test_ratcheting_only_takes_causes_away(
    new: dict[str, Any], old: dict[str, Any], schema: dict[str, Any]
) -> None:
    strict = validation.validate(new, schema)
    assert all(cause in strict for cause in validation.validate(new, schema, old))


@given(OBJECTS, OBJECTS, ROOTS)
@example({"c": {"c": {}}}, {"c": {"a": None, "c": {}}}, {"type": "object"})
def test_ownership_sees_exactly_the_changes(
    new: dict[str, Any], old: dict[str, Any], schema: dict[str, Any]
) -> None:
    node = ownership.root(schema)
    assert node.diff(new, copy.deepcopy(new)) == (None, None)
    changed, removed = node.diff(old, new)
    touched = {key[2:] for part in (changed, removed) for key in part or ()}
    assert touched == {k for k in old.keys() | new.keys() if _differs(old.get(k), new.get(k))}


def _differs(old: Any, new: Any) -> bool:
    """A null in a map is as good as nothing, as at the top of the object."""
    return bool(_without_nulls(old) != _without_nulls(new))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return value
