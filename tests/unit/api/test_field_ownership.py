"""managedFields and server-side apply against what Kubernetes 1.36 recorded (section 11).

The recording is one DaemonSet's life: created and patched by kubectl, then moved from client-side
to server-side apply (conflict-free take-over, JSON patch on managedFields, forced apply).
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import BadRequest, Conflict
from kubeherd.cluster.api.managedfields import apply, fieldsets
from kubeherd.cluster.api.managedfields import ownership as managedfields
from kubeherd.cluster.api.patches import json_patch

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "field-ownership.json").read_text())
STEPS = {step["case"]: step for step in RECORDED["steps"]}
TIME = "2026-11-23T03:02:06Z"
LATER = "2026-11-23T03:05:00Z"


def entries(tree: Any) -> Any:
    return tree["metadata"]["managedFields"]


def without_entries(tree: Any) -> Any:
    tree = copy.deepcopy(tree)
    tree["metadata"].pop("managedFields", None)
    return tree


def test_create_records_what_kubernetes_records() -> None:
    step = STEPS[14]
    found = managedfields.record_update(
        kinds.DAEMONSETS,
        None,
        without_entries(step["response"]),
        manager=step["manager"],
        time="2026-11-23T03:01:57Z",
    )
    assert json.dumps(found) == json.dumps(entries(step["response"]))


def test_patch_moves_ownership_of_what_it_changed() -> None:
    step = STEPS[25]
    new = without_entries(step["response"])
    # The template generation is set after fields are recorded.
    old = copy.deepcopy(RECORDED["live"])
    generation = "deprecated.daemonset.template.generation"
    old["metadata"]["annotations"][generation] = new["metadata"]["annotations"][generation]
    found = managedfields.record_update(
        kinds.DAEMONSETS, old, new, manager="kubectl-set", time="2026-11-23T03:01:58Z"
    )
    assert json.dumps(found) == json.dumps(entries(step["response"]))


@pytest.mark.parametrize(("case", "before"), [(60, 56), (61, 60)])
def test_applies_of_the_recording(case: int, before: int) -> None:
    step = STEPS[case]
    live = STEPS[before]["response"]
    untouched = copy.deepcopy(live)
    result = apply.apply(
        kinds.DAEMONSETS, live, step["request"], manager=step["manager"], time=TIME
    )
    assert result.tree["spec"] == step["response"]["spec"]
    assert json.dumps(entries(result.tree)) == json.dumps(entries(step["response"]))
    assert live == untouched


def test_kubectl_migrates_by_replacing_managed_fields() -> None:
    step, live = STEPS[62], STEPS[61]["response"]
    new = json_patch(live, step["request"])
    found = managedfields.record_update(kinds.DAEMONSETS, live, new, manager="kubectl", time=TIME)
    assert json.dumps(found) == json.dumps(entries(step["response"]))


def test_forced_apply_after_migration() -> None:
    step, live = STEPS[63], STEPS[62]["response"]
    result = apply.apply(
        kinds.DAEMONSETS, live, step["request"], manager="kubectl", time=TIME, force=True
    )
    applied = next(e for e in entries(step["response"]) if e["manager"] == "kubectl")
    assert applied in entries(result.tree)
    annotations = result.tree["metadata"]["annotations"]
    assert annotations == {
        **annotations,
        apply.LAST_APPLIED: step["response"]["metadata"]["annotations"][apply.LAST_APPLIED],
    }


def config_map(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n", "uid": "u"},
        "data": data,
    }


def create(tree: dict[str, Any], manager: str = "creator", time: str = TIME) -> dict[str, Any]:
    found = managedfields.record_update(kinds.CONFIGMAPS, None, tree, manager=manager, time=time)
    return {**tree, "metadata": {**tree["metadata"], "managedFields": found}}


def update(old: Any, new: Any, manager: str, time: str = LATER) -> Any:
    found = managedfields.record_update(kinds.CONFIGMAPS, old, new, manager=manager, time=time)
    return {**new, "metadata": {**new["metadata"], "managedFields": found}}


def owned(tree: Any) -> dict[str, Any]:
    return {e["manager"]: e["fieldsV1"] for e in entries(tree)}


def test_update_takes_changed_fields_and_drops_removed_ones() -> None:
    live = create(config_map(a="1", b="2", c="3"))
    live = update(live, config_map(a="1", b="9"), "editor")
    assert owned(live) == {
        "creator": {"f:data": {".": {}, "f:a": {}}},
        "editor": {"f:data": {"f:b": {}}},
    }


def test_update_without_change_changes_nothing() -> None:
    live = create(config_map(a="1"))
    assert entries(update(live, config_map(a="1"), "editor")) == entries(live)


def test_removal_keeps_the_managers_time() -> None:
    live = create(config_map(a="1", b="2"))
    live = update(live, config_map(a="1"), "creator")
    assert [e["time"] for e in entries(live)] == [TIME]


def test_update_of_an_untracked_object_stays_untracked() -> None:
    new = config_map(a="2")
    assert (
        managedfields.record_update(
            kinds.CONFIGMAPS, config_map(a="1"), new, manager="m", time=TIME
        )
        == []
    )


def test_managed_fields_can_be_reset_but_not_emptied() -> None:
    live = create(config_map(a="1"))
    reset, emptied = config_map(a="1"), config_map(a="1")
    reset["metadata"]["managedFields"] = [{}]
    emptied["metadata"]["managedFields"] = []
    assert managedfields.record_update(kinds.CONFIGMAPS, live, reset, manager="m", time=LATER) == []
    assert entries(update(live, emptied, "m")) == entries(live)


def test_status_and_spec_are_tracked_by_their_own_endpoints() -> None:
    live = STEPS[14]["response"]
    new = copy.deepcopy(live)
    new["status"]["numberReady"] = 3
    new["spec"]["minReadySeconds"] = 5
    by_status = managedfields.record_update(
        kinds.DAEMONSETS, live, new, manager="kcm", time=LATER, subresource="status"
    )
    assert by_status[-1] == {
        "manager": "kcm",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": LATER,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {"f:numberReady": {}}},
        "subresource": "status",
    }
    by_main = managedfields.record_update(kinds.DAEMONSETS, live, new, manager="m", time=LATER)
    assert by_main[-1]["fieldsV1"] == {"f:spec": {"f:minReadySeconds": {}}}


def test_old_updates_merge_into_ancient_changes() -> None:
    live = create(config_map(), "m00", "2026-01-01T00:00:00Z")
    data: dict[str, str] = {}
    for number in range(1, 13):
        data[f"k{number}"] = "x"
        time = f"2026-01-01T00:00:{number:02}Z"
        live = update(live, config_map(**data), f"m{number:02}", time)
    found = entries(live)
    assert len(found) == 10
    assert found[0]["manager"] == "ancient-changes"
    assert found[0]["time"] == "2026-01-01T00:00:03Z"
    assert set(found[0]["fieldsV1"]["f:data"]) >= {"f:k1", "f:k2", "f:k3"}


def test_the_first_apply_creates_and_owns() -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    result = apply.apply(kinds.CONFIGMAPS, None, body, manager="m", time=TIME)
    assert result.changed
    assert entries(result.tree) == [
        {
            "manager": "m",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": TIME,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ]


def applied(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n"},
        "data": data,
    }


def do_apply(live: Any, body: Any, manager: str, *, force: bool = False) -> Any:
    return apply.apply(kinds.CONFIGMAPS, live, body, manager=manager, time=LATER, force=force).tree


def test_apply_removes_what_it_no_longer_applies_unless_shared() -> None:
    live = do_apply(create(config_map(other="x")), applied(a="1", b="2", c="3"), "one")
    live = do_apply(live, applied(b="2"), "two")
    live = do_apply(live, applied(a="1"), "one")
    assert live["data"] == {"other": "x", "a": "1", "b": "2"}
    assert owned(live)["two"] == {"f:data": {"f:b": {}}}


def test_apply_conflicts_with_other_values_only() -> None:
    live = create(config_map(a="1", b="2"), "editor")
    assert do_apply(live, applied(a="1"), "one")["data"] == {"a": "1", "b": "2"}
    with pytest.raises(Conflict) as caught:
        do_apply(live, applied(a="9"), "one")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "editor" using v1: .data.a'
    )
    assert caught.value.causes == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "editor" using v1',
            "field": ".data.a",
        }
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = create(config_map(a="1", b="2"), "editor")
    live = do_apply(live, applied(z="1"), "applier")
    with pytest.raises(Conflict) as caught:
        do_apply(live, applied(a="9", b="9", z="9"), "one")
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "applier":\n- .data.z\n'
        'conflicts with "editor" using v1:\n- .data.a\n- .data.b'
    )
    assert caught.value.status_code == 409


def test_force_takes_ownership() -> None:
    live = create(config_map(a="1", b="2"), "editor")
    live = do_apply(live, applied(a="9"), "one", force=True)
    assert live["data"] == {"a": "9", "b": "2"}
    assert owned(live) == {
        "one": {"f:data": {"f:a": {}}},
        "editor": {"f:data": {".": {}, "f:b": {}}},
    }


def test_untracked_objects_belong_to_before_first_apply() -> None:
    with pytest.raises(Conflict, match='conflict with "before-first-apply" using v1'):
        do_apply(config_map(a="1"), applied(a="2"), "one")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"apiVersion": "v2"}, "invalid object type: v2, Kind=ConfigMap"),
        ({"metadata": {"managedFields": []}}, "metadata.managedFields must be nil"),
    ],
)
def test_applied_trees_that_are_refused(change: dict[str, Any], part: str) -> None:
    with pytest.raises(BadRequest, match=part):
        do_apply(None, {**applied(), **change}, "one")


def test_an_apply_is_for_the_version_of_the_url() -> None:
    autoscalers = kinds.resource("autoscaling", "v2", "horizontalpodautoscalers")
    body = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}
    with pytest.raises(BadRequest) as caught:
        apply.apply(autoscalers, None, body, manager="m", time=TIME)
    assert caught.value.message == (
        "Incorrect version specified in apply patch. Specified patch version: autoscaling/v1, "
        "expected: autoscaling/v2"
    )


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": list(containers)},
    }


def test_an_element_without_its_key_has_the_zero_key() -> None:
    applied = apply.apply(kinds.PODS, None, pod({"image": "x"}), manager="m", time=TIME)
    assert applied.tree["spec"]["containers"] == [{"image": "x"}]  # validation refuses it later


def test_list_elements_merge_and_leave_by_key() -> None:
    def run(live: Any, body: Any, manager: str) -> Any:
        return apply.apply(kinds.PODS, live, body, manager=manager, time=TIME).tree

    live = run(None, pod({"name": "a", "image": "a:1"}, {"name": "b"}), "one")
    live = run(live, pod({"name": "c"}), "two")
    assert [c["name"] for c in live["spec"]["containers"]] == ["a", "b", "c"]
    live = run(live, pod({"name": "b"}), "one")
    assert live["spec"]["containers"] == [{"name": "b"}, {"name": "c"}]


def test_paths_are_shown_as_kubernetes_shows_them() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:x.io/y", 'v:"z"')
    assert apply.shown_path(path) == '.spec[containerPort=80,protocol="TCP"].x.io/y[="z"]'


def test_conflicting_sets_are_path_sets() -> None:
    left: dict[str, Any] = {"f:a": {".": {}, "f:b": {}}}
    assert fieldsets.difference(left, {"f:a": {}}) == {"f:a": {"f:b": {}}}
    assert fieldsets.recursive_difference(left, {"f:a": {}}) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"f:data": 5},
        {"f:data": {"x": {}}},
        {"k:{": {}},
        {"k:[]": {}},
        {"v:{": {}},
        {"i:x": {}},
        "f:data",
    ],
)
def test_broken_managed_fields_of_a_client_are_ignored(fields: Any) -> None:
    live = create(config_map(a="1"))
    new = config_map(a="1")
    new["metadata"]["managedFields"] = [{**entries(live)[0], "fieldsV1": fields}]
    assert entries(update(live, new, "m")) == entries(live)


def test_repeated_managers_of_a_client_are_ignored() -> None:
    live = create(config_map(a="1"))
    new = config_map(a="1")
    sent = {**entries(live)[0], "manager": "twice"}
    new["metadata"]["managedFields"] = [sent, sent]
    assert entries(update(live, new, "m")) == entries(live)


def test_managed_fields_of_a_client_are_kept_in_canonical_form() -> None:
    live = create(config_map(a="1"))
    new = config_map(a="1")
    sent = {**entries(live)[0], "manager": "z"}
    new["metadata"]["managedFields"] = [
        {**sent, "fieldsV1": {"f:data": {"f:b": {}, "f:a": {".": {}}}}}
    ]
    assert json.dumps(owned(update(live, new, "m"))) == '{"z": {"f:data": {"f:a": {}, "f:b": {}}}}'
