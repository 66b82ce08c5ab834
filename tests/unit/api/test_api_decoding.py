"""Decoding: types as Go's decoder words them, unknown fields, what is dropped and what stays."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import ApiError, BadRequest
from kubeherd.cluster.api.serializer import decoding
from kubeherd.cluster.api.serializer.decodingrules import MAX_DEPTH

PREFIX = 'DaemonSet in version "v1" cannot be handled as a DaemonSet: '


def daemon_set(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
            },
        },
    }


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def refusal(tree: Any, resource: kinds.Resource = kinds.DAEMONSETS) -> str:
    with pytest.raises(BadRequest) as caught:
        decoding.decode(resource, tree)
    return caught.value.message


def test_wrong_type_inside_a_map_names_the_struct_and_the_path() -> None:
    tree = daemon_set()
    tree["spec"]["selector"]["matchLabels"]["x"] = True
    assert refusal(tree) == (
        PREFIX + "json: cannot unmarshal bool into Go struct field "
        "LabelSelector.spec.selector.matchLabels of type string"
    )


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"containers": {}}, ("object", "PodSpec", "containers", "[]v1.Container")),
        ({"hostNetwork": "yes"}, ("string", "PodSpec", "hostNetwork", "bool")),
        ({"priority": 2**31}, ("number 2147483648", "PodSpec", "priority", "int32")),
        ({"priority": 1.5}, ("number 1.5", "PodSpec", "priority", "int32")),
        ({"containers": [{"name": 1}]}, ("number", "Container", "containers.name", "string")),
        ({"restartPolicy": []}, ("array", "PodSpec", "restartPolicy", "v1.RestartPolicy")),
        ({"nodeSelector": "a"}, ("string", "PodSpec", "nodeSelector", "map[string]string")),
        ({"securityContext": 3}, ("number", "PodSpec", "securityContext", "v1.PodSecurityContext")),
    ],
)  # fmt: skip
def test_the_first_wrong_type_is_worded_as_go_words_it(
    spec: dict[str, Any], problem: tuple[str, str, str, str]
) -> None:
    value, struct, path, go_type = problem
    assert refusal(daemon_set(**spec)) == (
        f"{PREFIX}json: cannot unmarshal {value} into Go struct field "
        f"{struct}.spec.template.spec.{path} of type {go_type}"
    )


def test_wrong_quantity_time_and_base64_have_texts_of_their_own() -> None:
    bad_quantity = daemon_set(containers=[{"name": "c", "resources": {"limits": {"cpu": "many"}}}])
    assert refusal(bad_quantity).startswith(PREFIX + "quantities must match the regular expression")
    bad_time = daemon_set()
    bad_time["metadata"]["creationTimestamp"] = "yesterday"
    assert refusal(bad_time) == (
        PREFIX + 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse '
        '"yesterday" as "2006"'
    )
    secret = {"metadata": {"name": "s"}, "data": {"k": "a$b"}}
    assert refusal(secret, kinds.SECRETS).endswith("illegal base64 data at input byte 1")


@pytest.mark.parametrize("tree", [[], "x", 1, None, True, 1.5])
def test_a_tree_that_is_no_object_is_refused(tree: Any) -> None:
    assert "into Go value of type v1.DaemonSet" in refusal(tree)


def test_unknown_fields_are_dropped_and_reported_with_list_indexes() -> None:
    tree = daemon_set(containers=[{"name": "a"}, {"name": "c", "foo": 1, "ports": [{"x": None}]}])
    tree["bar"] = {}
    assert decoding.decode(kinds.DAEMONSETS, tree) == [
        'unknown field "spec.template.spec.containers[1].foo"',
        'unknown field "spec.template.spec.containers[1].ports[0].x"',
        'unknown field "bar"',
    ]
    assert "bar" not in tree
    assert tree["spec"]["template"]["spec"]["containers"][1] == {"name": "c", "ports": [{}]}


def test_field_names_are_case_sensitive() -> None:
    tree = pod(HostNetwork=True)
    assert decoding.decode(kinds.PODS, tree) == ['unknown field "spec.HostNetwork"']


def test_nulls_and_empty_collections_go_meaningful_zeros_stay() -> None:
    tree = pod(
        containers=[],
        nodeSelector={},
        tolerations=[],
        affinity=None,
        hostNetwork=False,
        nodeName="",
        automountServiceAccountToken=False,
        terminationGracePeriodSeconds=0,
        securityContext={},
        volumes=[
            {"name": "v", "emptyDir": {}},
            {"name": "h", "hostPath": {"path": "/", "type": ""}},
        ],
    )
    assert decoding.decode(kinds.PODS, tree) == []
    assert tree["spec"] == {
        "containers": [],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {},
        "volumes": [
            {"name": "v", "emptyDir": {}},
            {"name": "h", "hostPath": {"path": "/", "type": ""}},
        ],
    }


def test_a_null_in_a_map_or_a_list_is_a_zero_value() -> None:
    tree = {"metadata": {"name": "c", "labels": {"a": None}, "finalizers": [None]}}
    assert decoding.decode(kinds.CONFIGMAPS, tree) == []
    assert tree["metadata"] == {"name": "c", "labels": {"a": ""}, "finalizers": [""]}


def test_quantities_and_times_become_canonical() -> None:
    tree = pod(
        containers=[{"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]
    )
    tree["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05.999+02:00"
    decoding.decode(kinds.PODS, tree)
    assert tree["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert tree["metadata"]["creationTimestamp"] == "2026-01-02T01:04:05Z"
    lease = {"metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}}
    decoding.decode(kinds.LEASES, lease)
    assert lease["spec"]["renewTime"] == "2026-01-02T03:04:05.000000Z"


def test_raw_values_are_kept_but_not_without_limit() -> None:
    data = {"spec": {"x": [1, None, "", {}], "y": 1.5}}
    tree = {"metadata": {"name": "r"}, "data": data, "revision": 1}
    assert decoding.decode(kinds.CONTROLLERREVISIONS, tree) == []
    assert tree["data"] == {"spec": {"x": [1, None, "", {}], "y": 1.5}}
    deep: Any = "x"
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    assert "max depth" in refusal({"data": deep, "revision": 1}, kinds.CONTROLLERREVISIONS)
    nan = {"data": {"a": float("nan")}, "revision": 1}
    assert "unsupported value" in refusal(nan, kinds.CONTROLLERREVISIONS)


def test_decoding_twice_changes_nothing_more() -> None:
    tree = daemon_set(priority=0, tolerations=[{"operator": "Exists", "key": ""}])
    decoding.decode(kinds.DAEMONSETS, tree)
    once = copy.deepcopy(tree)
    assert decoding.decode(kinds.DAEMONSETS, tree) == []
    assert tree == once


def test_kinds_that_are_no_resources_can_be_decoded() -> None:
    options: dict[str, Any] = {"gracePeriodSeconds": 0, "x": 1}
    assert decoding.decode_kind("", "v1", "DeleteOptions", options) == ['unknown field "x"']
    assert options == {"gracePeriodSeconds": 0}


JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["metadata", "spec", "status", "template", "containers", "name", "labels", "limits",
             "resources", "selector", "matchLabels", "conditions", "updateStrategy", "data",
             "rollingUpdate", "maxSurge", "ports", "x", "ownerReferences", "creationTimestamp"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(JSON_TREES)
def test_any_tree_is_decoded_or_refused(tree: Any) -> None:
    for resource in (kinds.DAEMONSETS, kinds.PODS, kinds.CONTROLLERREVISIONS, kinds.SECRETS):
        own = copy.deepcopy(tree)
        try:
            decoding.decode(resource, own)
        except ApiError as error:
            status = error.status_code
        else:
            status = 400
            assert decoding.decode(resource, own) == []
        assert status == 400
