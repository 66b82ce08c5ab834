"""Laws of managedFields and server-side apply, on pods with keyed lists and maps."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import Conflict
from kubeherd.cluster.api.managedfields import apply, fieldsets
from kubeherd.cluster.api.managedfields import ownership as managedfields

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2"])
TIMES = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")


def _pod(labels: dict[str, str], found: list[dict[str, Any]], node: str | None) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": found} if found else {}
    if node is not None:
        spec["nodeName"] = node
    metadata: dict[str, Any] = {"name": "p", "namespace": "n"}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


_ENV = st.lists(
    st.builds(lambda name, value: {"name": name, "value": value}, NAMES, VALUES),
    max_size=2,
    unique_by=lambda item: item["name"],
)
_CONTAINERS = st.lists(
    st.builds(
        lambda name, image, env: {"name": name, "image": image, **({"env": env} if env else {})},
        NAMES,
        VALUES,
        _ENV,
    ),
    max_size=3,
    unique_by=lambda item: item["name"],
)
PODS = st.builds(
    _pod,
    st.dictionaries(NAMES, VALUES, max_size=3),
    _CONTAINERS,
    st.none() | VALUES,
)


def tracked(tree: Any, manager: str = "creator") -> Any:
    tree = copy.deepcopy(tree)
    found = managedfields.record_update(kinds.PODS, None, tree, manager=manager, time=TIMES[0])
    tree["metadata"]["uid"] = "u"
    if found:
        tree["metadata"]["managedFields"] = found
    return tree


def everything(tree: Any) -> set[tuple[str, ...]]:
    """Every field that the tree has, by path."""
    root = managedfields.tracker(kinds.PODS)
    assert root is not None
    changed, _ = root.diff(None, tree)
    return set(fieldsets.paths(changed or {}))


def owners(tree: Any) -> dict[str, set[tuple[str, ...]]]:
    return {
        f"{e['operation']} {e['manager']}": set(fieldsets.paths(e["fieldsV1"]))
        for e in managedfields.entries_of(tree)
    }


@given(PODS, PODS)
def test_updates_leave_every_field_with_one_owner(old: Any, new: Any) -> None:
    live = tracked(old)
    found = managedfields.record_update(kinds.PODS, live, new, manager="editor", time=TIMES[1])
    by_owner = owners({"metadata": {"managedFields": found}})
    if not managedfields.entries_of(live):
        assert by_owner == {}
        return
    owned = [path for paths in by_owner.values() for path in paths]
    assert len(owned) == len(set(owned))
    assert set(owned) >= {path for path in everything(new) if "." not in path}


@given(PODS, PODS)
def test_differences_mirror_each_other(old: Any, new: Any) -> None:
    root = managedfields.tracker(kinds.PODS)
    assert root is not None
    changed, removed = (set(fieldsets.paths(found or {})) for found in root.diff(old, new))
    back_changed, back_removed = (
        set(fieldsets.paths(found or {})) for found in root.diff(new, old)
    )
    assert removed <= back_changed
    assert back_removed <= changed
    assert changed - back_removed == back_changed - removed
    assert root.diff(old, old) == (None, None)


@given(PODS, PODS)
def test_apply_is_idempotent_and_pure(live: Any, body: Any) -> None:
    live = tracked(live)
    before = copy.deepcopy((live, body))
    once = apply.apply(kinds.PODS, live, body, manager="m", time=TIMES[0], force=True)
    twice = apply.apply(kinds.PODS, once.tree, body, manager="m", time=TIMES[1], force=True)
    assert (live, body) == before
    assert not twice.changed
    assert twice.tree == once.tree


@given(PODS, PODS)
def test_what_is_applied_is_there_and_owned(live: Any, body: Any) -> None:
    result = apply.apply(
        kinds.PODS, tracked(live), body, manager="m", time=TIMES[1], force=True
    ).tree
    labels = body["metadata"].get("labels", {})
    assert result["metadata"].get("labels", {}).items() >= labels.items()
    found = {c["name"]: c for c in result["spec"].get("containers", [])}
    for container in body["spec"].get("containers", []):
        assert found[container["name"]]["image"] == container["image"]
    root = managedfields.tracker(kinds.PODS)
    assert root is not None
    assert owners(result).get("Apply m", set()) == set(fieldsets.paths(root.owned(body)))


@given(PODS, PODS)
def test_applying_nothing_gives_everything_back(live: Any, body: Any) -> None:
    live = tracked(live)
    if not managedfields.entries_of(live):
        return  # untracked: its fields would go to before-first-apply
    try:
        applied = apply.apply(kinds.PODS, live, body, manager="m", time=TIMES[1]).tree
    except Conflict:
        return
    nothing = _pod({}, [], None)
    del nothing["spec"]  # an empty struct would be owned as such
    result = apply.apply(kinds.PODS, applied, nothing, manager="m", time=TIMES[1]).tree

    def sorted_containers(tree: Any) -> list[Any]:
        return sorted(tree["spec"].get("containers", []), key=lambda c: str(c["name"]))

    assert sorted_containers(result) == sorted_containers(live)
    assert result["metadata"].get("labels") == live["metadata"].get("labels")
    assert result["spec"].get("nodeName") == live["spec"].get("nodeName")
    assert owners(result) == owners(live)
