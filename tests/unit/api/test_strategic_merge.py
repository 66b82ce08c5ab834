"""Strategic merge patch with its directives (spec api-machinery, 10)."""

import copy
from typing import Any

import pytest

from kubeherd.cluster.api.errors import BadRequest, Invalid, PlainError
from kubeherd.cluster.api.patches import strategic_merge
from kubeherd.cluster.api.schemas import definitions as schemas

DAEMON_SET = schemas.definition("apps", "v1", "DaemonSet")
POD = schemas.definition("", "v1", "Pod")


def merge(tree: Any, patch: Any) -> Any:
    before = copy.deepcopy((tree, patch))
    merged = strategic_merge(tree, patch, POD)
    assert (tree, patch) == before
    return merged


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


A, B = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}


def test_elements_merge_by_key() -> None:
    merged = merge(containers(A, B), containers({"name": "b", "image": "b:2"}))
    assert merged == containers(A, {"name": "b", "image": "b:2"})


def test_new_elements_come_first() -> None:
    merged = merge(containers(A), containers({"name": "c"}))
    assert merged == containers({"name": "c"}, A)


def test_nested_lists_merge_too() -> None:
    tree = containers({**A, "env": [{"name": "X", "value": "1"}]})
    patch = containers({"name": "a", "env": [{"name": "X", "value": "2"}]})
    assert merge(tree, patch) == containers({**A, "env": [{"name": "X", "value": "2"}]})


def test_atomic_lists_are_replaced() -> None:
    tree = {"spec": {"tolerations": [{"key": "a"}, {"key": "b"}]}}
    patch = {"spec": {"tolerations": [{"key": "c"}]}}
    assert merge(tree, patch) == patch


def test_null_deletes_a_field() -> None:
    tree = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"nodeName": "x"}}
    patch = {"metadata": {"labels": {"a": None}}, "spec": {"nodeName": None, "hostname": None}}
    assert merge(tree, patch) == {"metadata": {"labels": {"b": "2"}}, "spec": {}}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (containers({"name": "a", "$patch": "delete"}), containers(B)),
        (containers({"name": "c"}, {"$patch": "replace"}), containers({"name": "c"})),
        (containers({"$patch": "replace"}), containers()),
        ({"spec": {"$patch": "replace", "nodeName": "n"}}, {"spec": {"nodeName": "n"}}),
        ({"spec": {"containers": [{"x": 1}], "$patch": "replace"}}, containers({"x": 1})),
        ({"spec": {"$patch": "delete"}}, {"spec": {}}),
        (
            {"spec": {"$patch": "merge", "nodeName": "n"}},
            {"spec": {"containers": [A, B], "nodeName": "n"}},
        ),
    ],
)
def test_the_patch_directive_replaces_and_deletes(patch: Any, expected: Any) -> None:
    assert merge(containers(A, B), patch) == expected


def test_primitive_lists_are_united() -> None:
    tree = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"finalizers": ["c", "a"]}}
    assert sorted(merge(tree, patch)["metadata"]["finalizers"]) == ["a", "b", "c"]


def test_delete_from_primitive_list() -> None:
    tree = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"]}}
    assert merge(tree, patch) == {"metadata": {"finalizers": ["b"]}}


def test_set_element_order() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}, {"name": "c"}],
            "containers": [{"name": "c"}],
        }
    }
    names = [c["name"] for c in merge(containers(A, B), patch)["spec"]["containers"]]
    assert names == ["b", "a", "c"]


def test_set_element_order_keeps_server_elements_where_they_were() -> None:
    tree = containers(A, {"name": "server"}, B)
    patch = {"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}}
    names = [c["name"] for c in merge(tree, patch)["spec"]["containers"]]
    assert names == ["a", "server", "b"]


def test_patched_elements_must_be_in_the_order_list() -> None:
    patch = {
        "spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "c"}]}
    }
    with pytest.raises(BadRequest, match="The order in patch list"):
        merge(containers(A), patch)


def test_retain_keys_drops_the_others() -> None:
    tree = {"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"x": 1}}}}
    patch = {"spec": {"updateStrategy": {"$retainKeys": ["type"], "type": "OnDelete"}}}
    merged = strategic_merge(tree, patch, DAEMON_SET)
    assert merged == {"spec": {"updateStrategy": {"type": "OnDelete"}}}


def test_retain_keys_must_name_what_the_patch_sets() -> None:
    patch = {"spec": {"$retainKeys": ["nodeName"], "hostname": "x"}}
    with pytest.raises(Invalid):
        merge({"spec": {}}, patch)


@pytest.mark.parametrize(
    ("patch", "part"),
    [
        ({"spec": {"$retainKeys": "x"}}, "invalid patch format of retainKeys"),
        ({"spec": {"$setElementOrder/containers": {}}}, "invalid patch format of setElementOrder"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}, "primitive list"),
        ([], "error decoding patch"),
    ],
)
def test_malformed_patches_are_bad_requests(patch: Any, part: str) -> None:
    with pytest.raises(BadRequest) as caught:
        merge({"metadata": {"finalizers": ["a"]}, **containers(A, B)}, patch)
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (
            containers({"image": "x"}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            containers({"$patch": "delete"}),
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            {"spec": {"containers": ["x"]}},
            "list element types are not identical: "
            "[[map[image:a:1 name:a] map[image:b:1 name:b]] [x]]",
        ),
        (
            {"spec": {"$patch": "explode"}},
            "unknown patch type: explode in map: map[$patch:explode]",
        ),
        (
            containers({"name": "z", "$patch": "bogus"}),
            "unknown patch type: bogus in map: map[$patch:bogus name:z]",
        ),
        (
            containers({"name": "a", "$patch": "merge"}),
            "merging lists cannot yet be specified in the patch",
        ),
    ],
)
def test_patches_for_which_kubernetes_has_no_status(patch: Any, message: str) -> None:
    with pytest.raises(PlainError) as caught:
        merge({"metadata": {"finalizers": ["a"]}, **containers(A, B)}, patch)
    assert caught.value.message == message
    assert (caught.value.status_code, caught.value.status_reason) == (500, "")


def test_lists_of_lists_are_not_merged() -> None:
    with pytest.raises(Invalid):
        merge({"spec": {"containers": []}}, {"spec": {"containers": [[1]]}})


def test_directives_are_never_stored() -> None:
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]},
        "spec": {
            "containers": [
                {"name": "a", "$patch": "delete"},
                {"name": "b", "$retainKeys": ["name"]},
            ],
            "$setElementOrder/containers": [{"name": "b"}],
            "affinity": {"$patch": "replace", "nodeAffinity": {"x": None}},
        },
    }
    assert "$" not in repr(merge({}, patch))
    assert merge({}, patch)["spec"]["containers"] == [{"name": "b"}]


def test_duplicate_types_of_primitives_stay_apart() -> None:
    merged = strategic_merge({"a": {"b": 1}}, {"a": {"b": True}}, None)
    assert merged["a"]["b"] is True
