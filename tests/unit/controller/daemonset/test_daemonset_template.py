"""The pods that are created (spec 4.2, 6; daemonset_util_test.go)."""

import copy

import pytest
from daemonset_world import World, daemonset, nodes, placement, pod

from kubeherd.cluster.api.helpers.scheduling import target_node_name
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.controller.daemonset.model import HASH_LABEL, Terms
from kubeherd.controller.daemonset.nodes import with_default_tolerations
from kubeherd.controller.daemonset.site import is_updated
from kubeherd.controller.daemonset.template import Template, pod_labels, with_target_node

GENERATION = {"deprecated.daemonset.template.generation": "3"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
AIMED = {
    "nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    ]
}


def test_a_created_pod_has_the_template_and_its_owner() -> None:
    ds = daemonset(annotations=GENERATION, spec={"nodeName": "n1", "hostNetwork": True})
    ds.spec.template["metadata"] |= {"annotations": {"a": "b"}, "finalizers": ["x/y"]}
    made = Template(ds).pod(ds, "h", "n1")
    assert made["metadata"] == {
        "generateName": "ds-",
        "namespace": "ns",
        "labels": {"app": "a", "pod-template-generation": "3", HASH_LABEL: "h"},
        "annotations": {"a": "b"},
        "finalizers": ["x/y"],
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "name": "ds",
                "uid": "ds-uid",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    assert "nodeName" not in made["spec"]
    assert made["spec"]["affinity"] == {"nodeAffinity": {REQUIRED: AIMED}}
    assert [t["key"].split("/")[1] for t in made["spec"]["tolerations"]] == [
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
        "network-unavailable",
    ]


def test_every_node_gets_its_own_pod_and_the_template_is_left_alone() -> None:
    ds = daemonset()
    before = copy.deepcopy(ds.spec.template)
    template = Template(ds)
    made = [template.pod(ds, "h", name) for name in ("n0", "n1")]
    targets = [
        p["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"][0]["matchFields"][0]
        for p in made
    ]
    assert [target["values"] for target in targets] == [["n0"], ["n1"]]
    assert ds.spec.template == before
    assert Template(ds).pod(ds, "other", "n0")["metadata"]["labels"][HASH_LABEL] == "other"


@pytest.mark.parametrize(
    ("hash_", "generation", "added"),
    [
        ("h", 3, {HASH_LABEL: "h", "pod-template-generation": "3"}),
        ("", 3, {"pod-template-generation": "3"}),
        ("h", None, {HASH_LABEL: "h"}),
        ("", None, {}),
    ],
)
def test_labels_are_added_as_far_as_known(
    hash_: str, generation: int | None, added: dict[str, str]
) -> None:
    given = {"app": "a"}
    assert pod_labels(given, hash_, generation) == {"app": "a", **added}
    assert given == {"app": "a"}


@pytest.mark.parametrize(
    "affinity",
    [
        None,
        {},
        {"podAffinity": {"x": 1}},
        {"nodeAffinity": {PREFERRED: [{"weight": 1}]}},
        {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}},
        {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [1]}, {}]}}},
    ],
)
def test_required_affinity_is_replaced_the_rest_kept(affinity: JsonObject | None) -> None:
    made = with_target_node({"spec": {} if affinity is None else {"affinity": affinity}}, "n1")
    expected = copy.deepcopy(affinity or {})
    expected.setdefault("nodeAffinity", {})[REQUIRED] = AIMED
    assert made["spec"]["affinity"] == expected


def test_a_users_toleration_is_overwritten_in_place() -> None:
    not_ready: JsonObject = {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 30,
    }
    mine: JsonObject = {"key": "mine", "operator": "Exists"}
    out = with_default_tolerations([mine, not_ready], host_network=False)
    assert out[0] == mine
    assert out[1] == {k: v for k, v in not_ready.items() if k != "tolerationSeconds"}
    assert len(out) == 7


def test_another_effect_is_another_toleration() -> None:
    other: JsonObject = {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoSchedule",
    }
    assert len(with_default_tolerations([other], host_network=False)) == 7


@pytest.mark.parametrize(
    ("labels", "hash_", "generation", "expected"),
    [
        ({HASH_LABEL: "h"}, "h", None, True),
        ({HASH_LABEL: "h"}, "x", None, False),
        ({"pod-template-generation": "3"}, "x", 3, True),
        ({"pod-template-generation": "2", HASH_LABEL: "h"}, "h", 3, True),
        ({"pod-template-generation": "2", HASH_LABEL: "x"}, "h", 3, False),
        ({"pod-template-generation": "3"}, "h", None, False),
        ({}, "", None, False),
    ],
)
def test_updated_by_hash_or_by_generation(
    labels: dict[str, str], hash_: str, generation: int | None, expected: bool
) -> None:
    terms = Terms(hash=hash_, generation=generation)
    assert is_updated(pod("p", "n0", labels=labels), terms) is expected


def test_target_node_of_a_daemon_pod() -> None:
    assert target_node_name(pod("p", "n0")) == "n0"
    assert target_node_name(pod("p", "n0", bound=False)) == "n0"


def test_pods_by_node() -> None:
    """TestGetNodesToDaemonPods: claimed pods only; without those that have ended and terminate."""
    world = World(daemonset(), nodes(2))
    world.pods = {
        "own": pod("own", "n0"),
        "orphan": pod("orphan", "n1", owned_by=None),
        "foreign": pod("foreign", "n0", labels={"app": "x"}, owned_by=None),
        "done": pod("done", "n1", phase="Failed", deleting=True),
    }
    chosen = world.plan()
    assert [p.metadata.name for p in chosen.adopt_pods] == ["orphan"]
    assert not chosen.creates
    made = placement(world.ds, world.nodes, world.pods.values())
    on = {name: [p.metadata.name for p in made.site(name).pods] for name in ("n0", "n1")}
    assert on == {"n0": ["own"], "n1": ["orphan"]}
    assert "done" in {p.metadata.name for p in made.pods.values()}
