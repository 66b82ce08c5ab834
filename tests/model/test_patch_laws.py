"""Laws of the patch formats."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.api.errors import ApiError, PlainError
from kubeherd.cluster.api.patches import json_patch, merge_patch, strategic, strategic_merge
from kubeherd.cluster.api.schemas import definitions as schemas

POD = schemas.definition("", "v1", "Pod")
SCALARS = st.sampled_from([0, 1, True, False, "", "x"])
NAMES = st.sampled_from(["a", "b", "c"])


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(
        leaves,
        lambda inner: st.lists(SCALARS, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    )
    return st.dictionaries(NAMES, values, max_size=3)


TREES = trees(SCALARS)
PATCHES = trees(SCALARS | st.none())


@given(TREES, PATCHES)
def test_merge_patch_is_idempotent_and_pure(tree: Any, patch: Any) -> None:
    before = copy.deepcopy((tree, patch))
    once = merge_patch(tree, patch)
    assert merge_patch(once, patch) == once
    assert (tree, patch) == before


@given(TREES)
def test_merge_patch_units(tree: Any) -> None:
    assert merge_patch(tree, {}) == tree
    assert merge_patch({}, tree) == tree
    assert merge_patch(tree, dict.fromkeys(tree)) == {}


@given(TREES, PATCHES)
def test_without_a_schema_strategic_merge_is_merge_patch(tree: Any, patch: Any) -> None:
    assert strategic_merge(tree, patch, None) == merge_patch(tree, patch)


@given(TREES, NAMES, SCALARS)
def test_json_patch_add_then_remove(tree: Any, name: str, value: Any) -> None:
    operations = [{"op": "add", "path": f"/{name}", "value": value}]
    undo = {"op": "remove", "path": f"/{name}"}
    if name in tree:
        undo = {"op": "replace", "path": f"/{name}", "value": tree[name]}
    assert json_patch(tree, [*operations, undo]) == tree


def containers(action: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    element = st.builds(
        lambda name, image, more: {"name": name, "image": image, **more}, NAMES, NAMES, action
    )
    return st.lists(element, max_size=3, unique_by=lambda c: c["name"]).map(
        lambda found: {"spec": {"containers": found}}
    )


PODS = containers(st.just({}))
POD_PATCHES = containers(st.sampled_from([{}, {}, {"$patch": "delete"}, {"args": ["x"]}]))


@given(PODS, POD_PATCHES)
def test_strategic_merge_of_keyed_lists(pod: Any, patch: Any) -> None:
    before = copy.deepcopy((pod, patch))
    merged = strategic_merge(pod, patch, POD)
    assert (pod, patch) == before
    assert "$patch" not in repr(merged)
    found = {c["name"]: c for c in merged["spec"]["containers"]}
    assert len(found) == len(merged["spec"]["containers"])
    patched = {c["name"]: c for c in patch["spec"]["containers"]}
    gone = {name for name, c in patched.items() if c.get("$patch") == "delete"}
    existing = {c["name"] for c in pod["spec"]["containers"]}
    assert found.keys() == (existing | patched.keys()) - gone
    for name in patched.keys() - gone:
        assert found[name].items() >= patched[name].items()
    again = strategic_merge(merged, patch, POD)
    assert {c["name"]: c for c in again["spec"]["containers"]} == found


@given(PODS, st.permutations(["a", "b", "c"]))
def test_element_order_is_obeyed(pod: Any, order: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in order]}}
    names = [c["name"] for c in strategic_merge(pod, patch, POD)["spec"]["containers"]]
    assert names == [name for name in order if name in names]


ELEMENTS = st.lists(
    st.builds(
        lambda name, more: {"name": name, **more},
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.dictionaries(st.sampled_from(["image", "args", "env"]), SCALARS | st.none(), max_size=2),
    ),
    min_size=1,
    max_size=5,
)


@given(ELEMENTS, ELEMENTS)
def test_plain_lists_are_merged_as_any(original: Any, patch: Any) -> None:
    spec = schemas.by_key("io.k8s.api.core.v1.PodSpec").properties["containers"]
    before = copy.deepcopy((original, patch))
    merged = strategic._MERGE._merge_list(original, patch, spec)
    assert merged == strategic._MERGE._merge_any(original, patch, spec)
    assert (original, patch) == before


PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "metadata": TREES,
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": st.lists(st.dictionaries(st.just("name") | NAMES, SCALARS)),
                "tolerations": st.lists(TREES, max_size=2),
                "imagePullSecrets": st.just([]) | st.just([{"name": "a"}]) | SCALARS,
                "volumes": st.lists(
                    st.builds(lambda name: {"name": name, "emptyDir": {"a": "b"}}, NAMES)
                ),
            },
        ),
    },
)


@given(PLAIN, PLAIN)
def test_a_patch_that_is_known_to_be_plain_is_merged_as_any(tree: Any, patch: Any) -> None:
    def merged(*, is_plain: bool) -> Any:
        try:
            return strategic_merge(tree, patch, POD, is_plain=is_plain)
        except (ApiError, PlainError) as error:
            return str(error)

    before = copy.deepcopy((tree, patch))
    assert merged(is_plain=True) == merged(is_plain=False)
    assert (tree, patch) == before
