"""DaemonSets on a cluster of real processes: one pod per node, nodes come and go, rollouts."""

import itertools
import time
from collections.abc import Callable
from functools import partial

import pytest
from liveherd import Herd
from patience import PATIENCE_S
from prometheus_client.parser import text_string_to_metric_families

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS, NODES
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet
from kubeherd.cluster.launcher.control import Op

pytestmark = pytest.mark.integration


def images(herd: Herd, name: str) -> set[str]:
    return {pod.spec.containers[0].image for pod in herd.pods(name)}


def has_only(herd: Herd, image: str) -> bool:
    return images(herd, "web") == {image}


async def test_one_pod_per_node(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    status = herd.daemonset("web").status
    assert (status.desired_number_scheduled, status.number_ready) == (3, 3)
    assert (status.number_misscheduled, status.number_unavailable) == (0, 0)
    assert len({pod.status.pod_ip for pod in herd.pods("web")}) == 3


async def test_added_node_gets_its_pod(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    assert await herd.node(Op.NODE_ADD, count=1) == ["node-3"]
    await herd.until_running("web", "node-0", "node-1", "node-2", "node-3")


async def test_removed_node_takes_its_pod_away(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    await herd.node(Op.NODE_REMOVE, "node-1")
    await herd.client.delete(NODES, "node-1")
    await herd.until(lambda: len(herd.pods("web")) == 2, "the pod of node-1 is gone")
    await herd.until_running("web", "node-0", "node-2")


async def test_killed_node_keeps_its_pod_and_comes_back(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    before = {pod.spec.node_name: pod.metadata.uid for pod in herd.pods("web")}
    await herd.node(Op.NODE_KILL, "node-1")
    await herd.until(lambda: herd.view.ready_nodes() == {"node-0", "node-2"}, "NotReady")
    await herd.until(lambda: herd.ready_on("web") == ["node-0", "node-2"], "its pod is not ready")
    condition = next(c for c in herd.view.nodes["node-1"].status.conditions if c.type == "Ready")
    assert (condition.status, condition.reason) == ("Unknown", "NodeStatusUnknown")
    await herd.node(Op.NODE_START, "node-1")
    await herd.until_running("web", "node-0", "node-1", "node-2")
    assert {pod.spec.node_name: pod.metadata.uid for pod in herd.pods("web")} == before


async def test_frozen_node_goes_not_ready_and_thaws(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    await herd.node(Op.NODE_FREEZE, "node-2")
    await herd.until(lambda: herd.view.ready_nodes() == {"node-0", "node-1"}, "NotReady")
    await herd.node(Op.NODE_THAW, "node-2")
    await herd.until_running("web", "node-0", "node-1", "node-2")


async def test_rolling_update_and_rollback(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web", "app:1"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    await herd.set_image("web", "app:2")
    await herd.until(lambda: images(herd, "web") == {"app:2"}, "the new image everywhere")
    await herd.until_running("web", "node-0", "node-1", "node-2")

    revisions = (await herd.client.list(CONTROLLERREVISIONS, ControllerRevision, "default")).items
    assert sorted(r.revision for r in revisions) == [1, 2]
    first = next(r for r in revisions if r.revision == 1)
    await herd.client.patch(DAEMONSETS, "web", first.data, "default")
    await herd.until(lambda: images(herd, "web") == {"app:1"}, "the old image everywhere")
    await herd.until_running("web", "node-0", "node-1", "node-2")
    revisions = (await herd.client.list(CONTROLLERREVISIONS, ControllerRevision, "default")).items
    assert sorted(r.revision for r in revisions) == [2, 3]


async def test_rollout_stops_at_a_broken_image(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web", "app:1"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    await herd.set_image("web", "app:nonexistent")
    await herd.until(lambda: len(herd.ready_on("web")) == 2, "one pod is down")
    await herd.set_image("web", "app:3")
    await herd.until(lambda: images(herd, "web") == {"app:3"}, "the good image everywhere")
    await herd.until_running("web", "node-0", "node-1", "node-2")


async def test_deleted_daemonset_takes_its_pods_and_revisions_away(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    await herd.client.delete(DAEMONSETS, "web", "default")
    await herd.until(lambda: not herd.pods("web"), "no pods")
    with pytest.raises(NotFound):
        await herd.client.get(DAEMONSETS, DaemonSet, "web", "default")


@pytest.mark.kubeherd(nodes=4, nodes_per_agent=2)
async def test_several_nodes_in_one_process(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2", "node-3")
    assert await herd.node(Op.NODE_KILL, "node-0") == ["node-0", "node-1"]
    await herd.until(lambda: herd.view.ready_nodes() == {"node-2", "node-3"}, "both NotReady")
    await herd.node(Op.NODE_START, "node-1")
    await herd.until_running("web", "node-0", "node-1", "node-2", "node-3")


SHORT = {
    ("POST", "pods", ""),
    ("POST", "pods", "binding"),
    ("PATCH", "pods", "status"),
    ("DELETE", "pods", ""),
    ("POST", "events", ""),
    ("PUT", "leases", ""),
}


async def short_writes(herd: Herd) -> set[tuple[str, str, str]]:
    """Verb, resource and subresource of the writes that went the short way at least once."""
    text = (await herd.client.send("GET", "/metrics")).body.decode()
    return {
        (sample.labels["verb"], sample.labels["resource"], sample.labels["subresource"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "kubeherd_apiserver_short_writes_total"
    }


@pytest.mark.kubeherd(nodes=6, nodes_per_agent=3)
async def test_what_a_rollout_writes_goes_the_short_way(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    nodes = [f"node-{number}" for number in range(6)]
    await herd.apply(daemonset("web", "app:1"))
    await herd.until_running("web", *nodes)
    missing, end_s = SHORT, time.monotonic() + PATIENCE_S
    for version in itertools.count(2):  # the first of what is alike goes the general way
        if not missing or time.monotonic() > end_s:
            break
        image = f"app:{version}"
        await herd.set_image("web", image)
        await herd.until(partial(has_only, herd, image), "the new image")
        await herd.until_running("web", *nodes)
        missing = SHORT - await short_writes(herd)
    assert not missing
