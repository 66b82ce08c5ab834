"""The garbage collector on virtual time: background, foreground, orphan, namespaces."""

from typing import Any

from controllerworld import node, play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import (
    CONFIGMAPS,
    CONTROLLERREVISIONS,
    DAEMONSETS,
    LEASES,
    NODES,
    PODS,
    resource,
)
from kubeherd.controller.garbage.controller import GarbageCollector


def owned(tree: JsonObject, *owners: JsonObject) -> JsonObject:
    tree["metadata"]["ownerReferences"] = list(owners)
    return tree


def ref(kind: str, name: str, **more: Any) -> JsonObject:
    api_version = "apps/v1" if kind == "DaemonSet" else "v1"
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": f"uid-{name}", **more}


def daemonset_with_pods(api: FakeApi) -> None:
    api.put(DAEMONSETS, {"metadata": {"name": "ds", "namespace": "ns"}, "spec": {}})
    blocking = ref("DaemonSet", "ds", controller=True, blockOwnerDeletion=True)
    for number in range(3):
        api.put(PODS, owned(pod(f"p{number}", "a"), blocking))
    revision = {"metadata": {"name": "rev", "namespace": "ns"}, "revision": 1}
    api.put(CONTROLLERREVISIONS, owned(revision, blocking))


async def delete(api: FakeApi, name: str, policy: str) -> None:
    body = b'{"propagationPolicy":"%s"}' % policy.encode()
    await api.request("DELETE", DAEMONSETS.path("ns", name), body=body)


def test_background_deletion_takes_the_dependents() -> None:
    async def scenario(api: FakeApi) -> None:
        daemonset_with_pods(api)
        await api.clock.sleep(1)
        assert api.writes == []
        await delete(api, "ds", "Background")
        await api.clock.sleep(1)
        assert api.get(CONTROLLERREVISIONS, "rev", "ns") is None
        pods = api.all(PODS)
        assert len(pods) == 3
        assert all(p["metadata"]["deletionTimestamp"] for p in pods), "gracefully"

    play(GarbageCollector, scenario=scenario)


def test_for_an_owner_that_is_gone_the_server_is_asked_once() -> None:
    """Not by every worker that has a dependent of it."""

    async def scenario(api: FakeApi) -> None:
        for number in range(50):
            api.put(PODS, owned(pod(f"p{number}", "a"), ref("DaemonSet", "ds")))
        await api.clock.sleep(1)
        assert all(p["metadata"]["deletionTimestamp"] for p in api.all(PODS))
        assert api.count("GET", DAEMONSETS.path("ns", "ds")) == 1

    play(GarbageCollector, scenario=scenario)


def test_foreground_deletion_waits_for_blocking_dependents() -> None:
    async def scenario(api: FakeApi) -> None:
        daemonset_with_pods(api)
        await api.clock.sleep(1)
        await delete(api, "ds", "Foreground")
        await api.clock.sleep(1)
        assert api.get(DAEMONSETS, "ds", "ns") is not None
        for number in range(3):
            api.remove(PODS, f"p{number}", "ns")
        await api.clock.sleep(1)
        assert api.get(DAEMONSETS, "ds", "ns") is None
        assert api.get(CONTROLLERREVISIONS, "rev", "ns") is None

    play(GarbageCollector, scenario=scenario)


def test_orphaning_releases_the_dependents() -> None:
    async def scenario(api: FakeApi) -> None:
        daemonset_with_pods(api)
        await api.clock.sleep(1)
        await delete(api, "ds", "Orphan")
        await api.clock.sleep(1)
        assert api.get(DAEMONSETS, "ds", "ns") is None
        left = [*api.all(PODS), *api.all(CONTROLLERREVISIONS)]
        assert len(left) == 4
        assert not any(t["metadata"].get("ownerReferences") for t in left)
        assert not any(t["metadata"].get("deletionTimestamp") for t in left)

    play(GarbageCollector, scenario=scenario)


def test_lease_goes_with_its_node_but_not_with_a_renewal() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        meta = {"name": "a", "namespace": "kube-node-lease", "uid": "uid-of-the-lease"}
        lease = {"metadata": meta, "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
        api.put(LEASES, owned(lease, ref("Node", "a")))
        spec = {"renewTime": "2026-01-01T00:00:10.000000Z"}
        api.change(LEASES, "a", {"spec": spec}, "kube-node-lease")
        await api.clock.sleep(1)
        assert api.get(LEASES, "a", "kube-node-lease") is not None
        await api.clock.sleep(1)
        api.remove(NODES, "a")
        await api.clock.sleep(1)
        assert api.get(LEASES, "a", "kube-node-lease") is None

    play(GarbageCollector, scenario=scenario)


def test_owner_of_the_same_name_with_another_uid_is_no_owner() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CONFIGMAPS, {"metadata": {"name": "boss", "namespace": "ns", "uid": "new"}})
        api.put(
            CONFIGMAPS,
            owned({"metadata": {"name": "x", "namespace": "ns"}}, ref("ConfigMap", "boss")),
        )
        await api.clock.sleep(1)
        assert api.get(CONFIGMAPS, "x", "ns") is None
        assert api.get(CONFIGMAPS, "boss", "ns") is not None

    play(GarbageCollector, scenario=scenario)


def test_dangling_references_are_dropped_while_one_owner_lives() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CONFIGMAPS, {"metadata": {"name": "alive", "namespace": "ns"}})
        x = {"metadata": {"name": "x", "namespace": "ns"}}
        api.put(CONFIGMAPS, owned(x, ref("ConfigMap", "alive"), ref("ConfigMap", "gone")))
        await api.clock.sleep(1)
        kept = api.get(CONFIGMAPS, "x", "ns")
        assert kept is not None
        assert [r["name"] for r in kept["metadata"]["ownerReferences"]] == ["alive"]

    play(GarbageCollector, scenario=scenario)


def test_owner_in_another_namespace_counts_as_absent_and_is_reported() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CONFIGMAPS, {"metadata": {"name": "boss", "namespace": "other"}})
        x = {"metadata": {"name": "x", "namespace": "ns"}}
        api.put(CONFIGMAPS, owned(x, ref("ConfigMap", "boss")))
        await api.clock.sleep(1)
        assert api.get(CONFIGMAPS, "x", "ns") is None

    api = play(GarbageCollector, scenario=scenario)
    assert (
        "x",
        "OwnerRefInvalidNamespace",
        "ownerRef [v1/ConfigMap, namespace: ns, name: boss, uid: uid-boss] does not exist in"
        ' namespace "ns"',
    ) in api.events()


def test_cluster_scoped_object_with_a_namespaced_owner_is_left_alone() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, owned(node("a"), ref("ConfigMap", "nobody")))
        await api.clock.sleep(1)
        assert api.get(NODES, "a") is not None

    play(GarbageCollector, scenario=scenario)


def test_foreground_circle_is_broken() -> None:
    async def scenario(api: FakeApi) -> None:
        for name, other in (("x", "y"), ("y", "x")):
            tree = {"metadata": {"name": name, "namespace": "ns"}}
            api.put(CONFIGMAPS, owned(tree, ref("ConfigMap", other, blockOwnerDeletion=True)))
        await api.clock.sleep(1)
        body = b'{"propagationPolicy":"Foreground"}'
        await api.request("DELETE", CONFIGMAPS.path("ns", "x"), body=body)
        await api.clock.sleep(2)
        assert api.all(CONFIGMAPS) == []

    play(GarbageCollector, scenario=scenario)


def test_a_kind_is_collected_soon_after_its_definition_came() -> None:
    definitions = resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    jobs = resource("batch", "v1", "jobs")  # stands for the kind that the definition makes

    async def scenario(api: FakeApi) -> None:
        await api.clock.sleep(2)
        asked = api.count("GET", "/apis")
        api.groups.append(("batch", "v1"))
        for number in range(5):
            api.put(definitions, {"metadata": {"name": f"things{number}.example.com"}})
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "uid-j"}
        api.put(jobs, {"metadata": {"name": "j", "namespace": "ns"}})
        child = {"metadata": {"name": "child", "namespace": "ns", "ownerReferences": [owner]}}
        api.put(CONFIGMAPS, child)
        await api.clock.sleep(1)
        assert api.count("GET", "/apis") == asked + 1, "once for all five"
        api.remove(jobs, "j", "ns")
        await api.clock.sleep(1)
        assert api.get(CONFIGMAPS, "child", "ns") is None

    play(GarbageCollector, scenario=scenario)
