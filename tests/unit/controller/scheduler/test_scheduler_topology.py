"""Required pod affinity and anti-affinity, hard topology spreading; also through the whole loop."""

from typing import Any

import pytest

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, NodeStatus, ObjectMeta, Pod, PodSpec, PodStatus
from kubeherd.cluster.client.client import PatchKind
from kubeherd.controller.scheduler import plan
from kubeherd.controller.scheduler.cache import Cache
from kubeherd.controller.scheduler.nodeinfo import placement, pod_info
from kubeherd.simulation.cluster import SimulatedCluster, pod_tree, simulated
from kubeherd.simulation.virtualtime import virtual

WEB = {"matchLabels": {"app": "web"}}
EVERYWHERE = {"a1", "a2", "b1", "c1"}
HOST, ZONE = "kubernetes.io/hostname", "zone"


def term(key: str = HOST, selector: JsonObject | None = None, **fields: object) -> JsonObject:
    return {"topologyKey": key, "labelSelector": selector or WEB, **fields}


def affinity(kind: str, *terms: JsonObject) -> JsonObject:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def spread(key: str = ZONE, **fields: object) -> JsonObject:
    return {
        "topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": WEB, **fields,
    }  # fmt: skip


def a_pod(name: str, node: str = "", app: str = "web", namespace: str = "ns", **spec: Any) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, uid=name, labels={"app": app}),
        spec=PodSpec(node_name=node, **spec),
        status=PodStatus(phase="Running"),
    )


def cluster_of(*pods: Pod) -> Cache:
    """Nodes a1, a2 in zone a, b1 in zone b, c1 without a zone."""
    cache = Cache()
    for name, zone in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "")):
        labels = {HOST: name} | ({ZONE: zone} if zone else {})
        status = NodeStatus(allocatable={"pods": "10"})
        cache.set_node(Node(metadata=ObjectMeta(name=name, labels=labels), status=status))
    for pod in pods:
        cache.set_pod(pod)
    return cache


def attempt(cache: Cache, pod: Pod) -> tuple[set[str], str]:
    """The feasible nodes, and the message if there are none."""
    info, where = pod_info(pod), placement(pod)
    where = plan.with_rules(where, cache.rules_for(info, where))
    result = plan.attempt(info, where, cache.nodes, {})
    message = "" if result.feasible else plan.failure_message(result)
    return {node.name for node in result.feasible}, message


@pytest.mark.parametrize(
    ("spec", "running", "feasible"),
    [
        (affinity("podAntiAffinity", term()), [a_pod("w", "a1")], {"a2", "b1", "c1"}),
        (affinity("podAntiAffinity", term(ZONE)), [a_pod("w", "a1")], {"b1", "c1"}),
        (affinity("podAntiAffinity", term(ZONE)), [a_pod("w", "a1", "db")], EVERYWHERE),
        (affinity("podAntiAffinity", term(ZONE)), [a_pod("w", "a1", namespace="other")],
         EVERYWHERE),
        (affinity("podAntiAffinity", term(ZONE, namespaces=["other"])),
         [a_pod("w", "a1", namespace="other")], {"b1", "c1"}),
        (affinity("podAntiAffinity", term(ZONE, namespaceSelector={})),
         [a_pod("w", "a1", namespace="other")], {"b1", "c1"}),
        (affinity("podAffinity", term(ZONE)), [a_pod("w", "a1")], {"a1", "a2"}),
        (affinity("podAffinity", term(ZONE)), [], {"a1", "a2", "b1"}),
        (affinity("podAffinity", term(ZONE, {"matchLabels": {"app": "db"}})), [], set()),
        (affinity("podAffinity", term(ZONE), term(HOST, {"matchLabels": {"app": "db"}})),
         [a_pod("w", "a1"), a_pod("d", "b1", "db")], set()),
    ],
)  # fmt: skip
def test_required_terms(spec: JsonObject, running: list[Pod], feasible: set[str]) -> None:
    assert attempt(cluster_of(*running), a_pod("p", affinity=spec))[0] == feasible


def test_pods_that_are_averse_keep_others_away() -> None:
    averse = a_pod("w", "a1", affinity=affinity("podAntiAffinity", term(ZONE)))
    cache = cluster_of(averse)
    assert attempt(cache, a_pod("p"))[0] == {"b1", "c1"}
    assert attempt(cache, a_pod("p", app="db"))[0] == {"a1", "a2", "b1", "c1"}
    cache.remove_pod("w")
    assert attempt(cache, a_pod("p"))[0] == {"a1", "a2", "b1", "c1"}


@pytest.mark.parametrize(
    ("constraint", "running", "feasible"),
    [
        (spread(), [a_pod("w", "a1")], {"b1"}),
        (spread(), [a_pod("w", "a1"), a_pod("x", "b1")], {"a1", "a2", "b1"}),
        (spread(maxSkew=2), [a_pod("w", "a1")], {"a1", "a2", "b1"}),
        (spread(minDomains=3), [a_pod("w", "a1"), a_pod("x", "b1")], set()),
        (spread(whenUnsatisfiable="ScheduleAnyway"), [a_pod("w", "a1")], {"a1", "a2", "b1", "c1"}),
        (spread(HOST), [a_pod("w", "a1"), a_pod("x", "a2")], {"b1", "c1"}),
    ],
)
def test_hard_spreading(constraint: JsonObject, running: list[Pod], feasible: set[str]) -> None:
    pod = a_pod("p", topology_spread_constraints=[constraint])
    assert attempt(cluster_of(*running), pod)[0] == feasible


def test_messages() -> None:
    near = affinity("podAffinity", term(ZONE, {"matchLabels": {"app": "db"}}))
    assert attempt(cluster_of(), a_pod("p", affinity=near))[1] == (
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules."
    )
    full = [a_pod(f"w{n}", n) for n in ("a1", "a2", "b1", "c1")]
    far = affinity("podAntiAffinity", term())
    assert attempt(cluster_of(*full), a_pod("p", affinity=far))[1] == (
        "0/4 nodes are available: 4 node(s) didn't match pod anti-affinity rules."
    )
    averse = [a_pod(f"w{n}", n, affinity=far) for n in ("a1", "a2", "b1", "c1")]
    assert attempt(cluster_of(*averse), a_pod("p"))[1] == (
        "0/4 nodes are available: 4 node(s) didn't satisfy existing pods anti-affinity rules."
    )
    pod = a_pod("p", topology_spread_constraints=[spread(minDomains=3)])
    assert attempt(cluster_of(a_pod("w", "a1"), a_pod("x", "b1")), pod)[1] == (
        "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints "
        "(missing required label), 3 node(s) didn't match pod topology spread constraints."
    )


def test_a_term_that_cannot_be_evaluated_is_refused_in_so_many_words() -> None:
    spec = affinity("podAffinity", term(namespaceSelector={"matchLabels": {"team": "a"}}))
    assert attempt(cluster_of(), a_pod("p", affinity=spec))[1] == (
        "0/4 nodes are available: "
        "4 pod affinity terms with a namespaceSelector are not supported by kubeherd."
    )


async def node_of(cluster: SimulatedCluster, name: str) -> str:
    return (await cluster.admin.get(PODS, Pod, name, "default")).spec.node_name


@virtual
async def test_an_averse_pod_waits_until_the_other_is_gone() -> None:
    async with simulated(nodes=1) as cluster:
        spec = affinity("podAntiAffinity", term())
        for name in ("first", "second"):
            tree = pod_tree(name, affinity=spec)
            tree["metadata"]["labels"] = {"app": "web"}
            await cluster.admin.create(PODS, tree, "default")
            await cluster.clock.sleep(3)
        assert (await node_of(cluster, "first"), await node_of(cluster, "second")) == ("node-0", "")
        waiting = await cluster.admin.get(PODS, Pod, "second", "default")
        condition = waiting.status.condition("PodScheduled")
        assert condition is not None
        assert condition.message == (
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. preemption: "
            "0/1 nodes are available: 1 No preemption victims found for incoming pod."
        )
        await cluster.admin.delete(PODS, "first", "default")
        await cluster.clock.sleep(15)
        assert await node_of(cluster, "second") == "node-0"


@virtual
async def test_a_pod_follows_the_one_it_wants_to_be_near_to() -> None:
    async with simulated(nodes=3) as cluster:
        spec = affinity("podAffinity", term(ZONE))
        await cluster.admin.create(PODS, pod_tree("follower", affinity=spec), "default")
        await cluster.clock.sleep(3)
        assert await node_of(cluster, "follower") == ""
        zone = {"metadata": {"labels": {ZONE: "z"}}}
        await cluster.admin.patch(NODES, "node-2", zone, kind=PatchKind.MERGE)
        leader = pod_tree("leader", "node-2")
        leader["metadata"]["labels"] = {"app": "web"}
        await cluster.admin.create(PODS, leader, "default")
        await cluster.clock.sleep(15)
        assert await node_of(cluster, "follower") == "node-2"
