"""Where daemon pods should run (spec section 4; TestNodeShouldRunDaemonPod)."""

import msgspec
import pytest
from daemonset_world import World, daemonset, node, nodes, taint

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.controller.daemonset.nodes import NodeRule

RUN, STAY, NEITHER = (True, True), (False, True), (False, False)


def affinity(*terms: JsonObject) -> JsonObject:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [*terms]}}
    return {"affinity": {"nodeAffinity": required}}


def zone(*values: str) -> JsonObject:
    return {"matchExpressions": [{"key": "zone", "operator": "In", "values": [*values]}]}


def named(*values: str) -> JsonObject:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [*values]}]}


PORTS = [{"containerPort": 666, "hostPort": 666}]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, RUN),
        ({"containers": [{"name": "c", "resources": {"requests": {"memory": "1Ti"}}}]}, RUN),
        ({"containers": [{"name": "c", "ports": PORTS}]}, RUN),
        ({"nodeName": "n0"}, RUN),
        ({"nodeName": "other"}, NEITHER),
        ({"nodeSelector": {"zone": "a"}}, RUN),
        ({"nodeSelector": {"zone": "b"}}, NEITHER),
        (affinity(zone("a", "b")), RUN),
        (affinity(zone("b")), NEITHER),
        (affinity(named("n0")), RUN),
        (affinity(named("other")), NEITHER),
        (affinity({**zone("a"), **named("other")}), NEITHER),
        (affinity(), NEITHER),
        (affinity({}), NEITHER),
        ({"nodeSelector": {"zone": "a"}, **affinity(zone("b"))}, NEITHER),
    ],
)
def test_should_a_node_run_the_pod(spec: JsonObject, expected: tuple[bool, bool]) -> None:
    rule = NodeRule(daemonset(spec=spec).spec.template)
    found = node("n0", labels={"zone": "a"})
    assert rule.decide(found) == expected
    cordoned = msgspec.structs.replace(
        found, spec=msgspec.structs.replace(found.spec, unschedulable=True)
    )
    assert rule.decide(cordoned) == expected


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        (["PreferNoSchedule"], RUN),
        (["NoSchedule"], STAY),
        (["NoExecute"], NEITHER),
        (["NoSchedule", "NoExecute"], NEITHER),
    ],
)
def test_taints_keep_new_pods_away_or_drive_pods_out(
    effects: list[str], expected: tuple[bool, bool]
) -> None:
    taints = [taint("x", effect) for effect in effects]
    assert NodeRule(daemonset().spec.template).decide(node("n0", taints=taints)) == expected


def test_a_node_selector_outranks_taints() -> None:
    rule = NodeRule(daemonset(spec={"nodeSelector": {"zone": "a"}}).spec.template)
    assert rule.decide(node("n0", taints=[taint("x")])) == NEITHER


def test_ored_affinity_terms() -> None:
    found = [*nodes(3), node("a0", labels={"zone": "a"}), node("a1", labels={"zone": "a"})]
    world = World(daemonset(spec=affinity(zone("a"), named("n1"))), found)
    assert list(world.plan().creates) == ["a0", "a1", "n1"]
