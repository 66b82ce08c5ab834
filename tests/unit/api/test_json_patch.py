"""JSON patch (RFC 6902 as Kubernetes applies it) and merge patch (RFC 7386)."""

import copy
from typing import Any

import pytest

from kubeherd.cluster.api.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge
from kubeherd.cluster.api.patches import json_patch, merge_patch

TREE = {"a": {"b": [1, 2, 3]}, "c": "d", "e/f": {"~": 1}}


def op(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **more}


@pytest.mark.parametrize(
    ("operation", "path", "value"),
    [
        (op("add", "/a/b/1", value=9), ("a", "b"), [1, 9, 2, 3]),
        (op("add", "/a/b/-", value=9), ("a", "b"), [1, 2, 3, 9]),
        (op("add", "/a/b/3", value=9), ("a", "b"), [1, 2, 3, 9]),
        (op("add", "/c", value=9), ("c",), 9),
        (op("remove", "/a/b/0"), ("a", "b"), [2, 3]),
        (op("remove", "/a/b/-1"), ("a", "b"), [1, 2]),
        (op("replace", "/a/b/2", value=9), ("a", "b"), [1, 2, 9]),
        (op("replace", "/new", value=9), ("new",), 9),
        (op("replace", "/e~1f/~0", value=9), ("e/f", "~"), 9),
        (op("copy", "/x", **{"from": "/a"}), ("x",), {"b": [1, 2, 3]}),
        (op("move", "/x", **{"from": "/a/b/0"}), ("x",), 1),
        (op("test", "/a/b", value=[1, 2, 3]), ("c",), "d"),
        (op("test", "/absent", value=None), ("c",), "d"),
    ],
)
def test_each_operation_changes_a_copy(
    operation: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    before = copy.deepcopy(TREE)
    found: Any = json_patch(TREE, [operation])
    for key in path:
        found = found[key]
    assert found == value
    assert before == TREE


@pytest.mark.parametrize(
    "operation",
    [
        op("remove", "/nothing"),
        op("remove", "/a/b/3"),
        op("remove", ""),
        op("add", "/a/b/4", value=1),
        op("add", "/a/b/x", value=1),
        op("add", "/no/where", value=1),
        op("add", "/c/x", value=1),
        op("add", "/c"),
        op("replace", "/a/b/9", value=1),
        op("test", "/c", value="x"),
        op("test", "/a/b/0", value=True),
        op("copy", "/x", **{"from": "/absent"}),
        op("move", "/x", **{"from": "/absent"}),
        op("jump", "/x"),
        {"op": "add", "path": 3, "value": 1},
    ],
)
def test_what_does_not_apply_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        json_patch(TREE, [operation])
    text = "the server rejected our request due to an error in our request"
    assert caught.value.message == text
    assert caught.value.details == {}


@pytest.mark.parametrize("patch", [{}, "x", [1], None])
def test_what_is_no_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(BadRequest):
        json_patch(TREE, patch)


def test_too_many_operations() -> None:
    with pytest.raises(RequestEntityTooLarge) as caught:
        json_patch({}, [op("test", "/a", value=None)] * 10_001)
    assert "maximum operations in a JSON patch is 10000, got 10001" in caught.value.message


def test_later_operations_see_earlier_ones_and_copies_are_independent() -> None:
    patched = json_patch(
        {"a": {"x": 1}},
        [
            op("add", "/a/y", value=[]),
            op("copy", "/b", **{"from": "/a"}),
            op("add", "/b/y/-", value=1),
            op("add", "/a/y/-", value=2),
        ],
    )
    assert patched == {"a": {"x": 1, "y": [2]}, "b": {"x": 1, "y": [1]}}


def test_patched_values_are_not_written_into() -> None:
    value: dict[str, Any] = {}
    json_patch({}, [op("add", "/a", value=value), op("add", "/a/b", value=1)])
    assert value == {}


@pytest.mark.parametrize(
    ("tree", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": [1, 2]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": "c"}, {"a": "c"}),
    ],
)
def test_a_merge_patch_changes_a_copy(tree: Any, patch: Any, merged: Any) -> None:
    before = copy.deepcopy(tree)
    assert merge_patch(tree, patch) == merged
    assert tree == before


def test_merge_patch_must_be_an_object() -> None:
    with pytest.raises(ApiError) as caught:
        merge_patch({}, [1])
    assert caught.value.status_code == 400


def test_a_value_can_be_copied_into_itself() -> None:
    patched = json_patch(
        {"a": {"x": {}}},
        [op("add", "/a/x/y", value=1), op("copy", "/a/x/z", **{"from": "/a"})],
    )
    assert patched == {"a": {"x": {"y": 1, "z": {"x": {"y": 1}}}}}


def test_copies_of_copies_are_bounded() -> None:
    double = [op("copy", "/a/-", **{"from": "/a"})]
    with pytest.raises(Invalid):
        json_patch({"a": ["x" * 100]}, double * 40)


def test_nesting_is_bounded() -> None:
    deeper = [op("add", "/a" * depth, value={}) for depth in range(1, 300)]
    assert json_patch({}, deeper[:90])
    with pytest.raises(Invalid):
        json_patch({}, deeper)
    with pytest.raises(Invalid):
        json_patch({"a": {}}, [op("copy", "/a/a", **{"from": "/a"})] * 250)
