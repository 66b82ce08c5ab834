"""Static pods: what a manifest becomes, and the mirror pods that a node keeps in the API."""

from pathlib import Path
from typing import Any

import pytest
from agentworld import Agent, ready
from fakeapi import FakeApi, failing_writes

from kubeherd.agents.kubelet.staticpods import AGAIN_S
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.agents.pods.staticpods import NoPod, is_mirror_of, mirror_pod, static_pod
from kubeherd.cluster.api.errors import ServiceUnavailable
from kubeherd.cluster.api.kinds import PODS
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

SEEN = "2026-01-01T00:00:00Z"
MIRROR = "/api/v1/namespaces/kube-system/pods/etcd-node-1"
MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - {name: etcd, image: etcd:3}
"""


def manifest(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "etcd", "image": "etcd:3"}]
    return {"kind": "Pod", "metadata": {"name": "etcd"}, "spec": {"containers": containers, **spec}}


def test_a_static_pod_is_named_after_its_node_and_endures():
    pod = static_pod(manifest(), "node-1", "/etc/m/etcd.yaml", SEEN)
    assert pod["metadata"]["name"] == "etcd-node-1"
    assert pod["metadata"]["namespace"] == "default"
    assert pod["spec"]["nodeName"] == "node-1"
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    annotations = pod["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.source"] == "file"
    assert annotations["kubernetes.io/config.seen"] == SEEN
    again = static_pod(manifest(**pod["spec"]), "node-1", "/etc/m/etcd.yaml", SEEN)
    assert again["spec"]["tolerations"] == pod["spec"]["tolerations"]


def test_the_hash_is_of_content_node_and_file():
    def hashed(node: str, file: str, **spec: Any) -> str:
        annotations = static_pod(manifest(**spec), node, file, SEEN)["metadata"]["annotations"]
        return str(annotations["kubernetes.io/config.hash"])

    first = hashed("a", "f")
    assert first == hashed("a", "f")
    assert len({first, hashed("b", "f"), hashed("a", "g"), hashed("a", "f", hostNetwork=True)}) == 4


def test_its_mirror_belongs_to_the_node():
    pod = static_pod(manifest(), "node-1", "f", SEEN)
    mirror = mirror_pod(pod, "uid-1")
    assert mirror["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "uid-1", "controller": True}
    ]
    assert is_mirror_of(mirror["metadata"]["annotations"], pod)
    other = static_pod(manifest(hostNetwork=True), "node-1", "f", SEEN)
    assert not is_mirror_of(mirror["metadata"]["annotations"], other)
    assert not is_mirror_of({}, pod)


@pytest.mark.parametrize(
    "tree", [None, [], "pod", {"kind": "Service"}, {"kind": "Pod"}, {"kind": "Pod", "metadata": {}}]
)
def test_what_is_no_pod(tree: object):
    with pytest.raises(NoPod):
        static_pod(tree, "node-1", "f", SEEN)


def with_manifests(directory: Path, test: Any, prepare: Any = lambda _api: None) -> None:
    async def main(clock: VirtualClock) -> None:
        api = FakeApi(clock)
        prepare(api)
        config = NodeConfig(name="node-1", pod_manifest_path=str(directory))
        agent = Agent(api, clock, configs=[config])
        await agent.ready.wait()
        await test(api, clock)
        await agent.end()

    virtualtime.run_with_clock(main)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "etcd.yaml").write_text(MANIFEST)
    (tmp_path / "broken.yaml").write_text("kind: [")
    return tmp_path


def test_a_mirror_pod_is_made_and_runs(directory: Path):
    async def test(api: FakeApi, clock: VirtualClock) -> None:
        await clock.sleep(5)
        assert ready(api, MIRROR) == "True"
        node = api.objects["/api/v1/nodes/node-1"]["metadata"]["uid"]
        assert api.objects[MIRROR]["metadata"]["ownerReferences"][0]["uid"] == node
        assert [p for p in api.objects if "/pods/" in p] == [MIRROR]

    with_manifests(directory, test)


def test_it_comes_back_when_somebody_deletes_it(directory: Path):
    async def test(api: FakeApi, clock: VirtualClock) -> None:
        await clock.sleep(5)
        first = api.objects[MIRROR]["metadata"]["uid"]
        api.remove(PODS, "etcd-node-1", "kube-system")
        await clock.sleep(5)
        assert api.objects[MIRROR]["metadata"]["uid"] != first
        assert ready(api, MIRROR) == "True"

    with_manifests(directory, test)


def test_its_name_is_free_for_some_seconds(directory: Path):
    """Time for a client that waits for the end of the old one to see that the name is free."""

    async def test(api: FakeApi, clock: VirtualClock) -> None:
        await clock.sleep(5)
        api.remove(PODS, "etcd-node-1", "kube-system")
        await clock.sleep(AGAIN_S - 0.1)
        assert MIRROR not in api.objects
        await clock.sleep(0.2)
        assert MIRROR in api.objects

    with_manifests(directory, test)


def test_a_changed_manifest_replaces_it(directory: Path):
    def old(api: FakeApi) -> None:
        pod = static_pod(manifest(hostNetwork=True), "node-1", "f", SEEN)
        pod["metadata"]["namespace"] = "kube-system"
        pod["metadata"]["uid"] = "old"
        api.put(PODS, mirror_pod(pod, "uid"))

    async def test(api: FakeApi, clock: VirtualClock) -> None:
        await clock.sleep(5)
        assert api.objects[MIRROR]["metadata"]["uid"] != "old"
        assert "hostNetwork" not in api.objects[MIRROR]["spec"]

    with_manifests(directory, test, old)


def test_it_is_tried_again_when_the_server_refuses(directory: Path):
    def refuse(api: FakeApi) -> None:
        api.disturbance = failing_writes("/kube-system/pods", ServiceUnavailable("busy"))

    async def test(api: FakeApi, clock: VirtualClock) -> None:
        await clock.sleep(5)
        assert MIRROR not in api.objects
        api.disturbance = lambda _request: None
        await clock.sleep(60)
        assert MIRROR in api.objects

    with_manifests(directory, test, refuse)
