"""The agent against an API server: registration, heartbeats, pods, absence (spec 1, 2, 10, 14)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import virtualtime
from fakeapi import FakeApi, undisturbed
from kubelet_pods import Tree
from stubtransport import Request

from agents.__main__ import until_stopped
from agents.fleet import Fleet
from agents.node import NodeConfig
from cluster.api.errors import ApiError, InternalError, ServiceUnavailable
from cluster.api.kinds import LEASES, NODES, PODS
from cluster.client.client import ApiClient
from cluster.runtime.clock import VirtualClock
from cluster.runtime.rng import Rng

NODE = "/api/v1/nodes/node-1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"
POD = "/api/v1/namespaces/shop/pods/web-0"


class Agent:
    """One agent process with one node, started and stopped at will."""

    def __init__(self, api: FakeApi, clock: VirtualClock, **options: Any) -> None:
        client = ApiClient(api, clock)
        names = options.pop("names", ("node-1",))
        self.fleet = Fleet(
            [NodeConfig(name=name) for name in names],
            lambda _: client,
            one_identity=len(names) > 1,
            clock=clock,
            rng=Rng(7),
            **options,
        )
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(until_stopped(self.fleet, self.stop, self.ready.set))

    async def end(self) -> None:
        self.stop.set()
        await self.task


def with_agent(
    test: Callable[[FakeApi, VirtualClock, Agent], Awaitable[None]], **options: Any
) -> None:
    async def main(clock: VirtualClock) -> None:
        api = FakeApi(clock)
        agent = Agent(api, clock, **options)
        await agent.ready.wait()
        await test(api, clock, agent)
        await agent.end()

    virtualtime.run_with_clock(main)


def a_pod(**fields: Any) -> Tree:
    return {
        "metadata": {
            "name": fields.pop("name", "web-0"),
            "namespace": "shop",
            "generation": 1,
            "annotations": fields.pop("annotations", {}),
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "web", "image": "nginx"}],
            **fields,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def delete_gracefully(tree: Tree) -> None:
    tree["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:10:00Z",
        "deletionGracePeriodSeconds": 30,
        "generation": 2,
    }


def ready(api: FakeApi, path: str = POD) -> str:
    conditions = api.objects[path]["status"].get("conditions", [])
    return str(next((c["status"] for c in conditions if c["type"] == "Ready"), ""))


def test_a_new_node_registers_reports_and_leases() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        await clock.sleep(1)
        node = api.objects[NODE]
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
        assert node["metadata"]["annotations"] == {
            "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            "kubeherd.io/pod-cidr": "10.244.1.0/24",
        }
        posted = next(sent.tree for sent in api.requests if sent.method == "POST")
        assert posted["status"]["conditions"][3]["status"] == "False"
        assert [(c["type"], c["status"]) for c in node["status"]["conditions"]] == [
            ("MemoryPressure", "False"),
            ("DiskPressure", "False"),
            ("PIDPressure", "False"),
            ("Ready", "True"),
        ]
        lease = api.objects[LEASE]
        assert lease["metadata"]["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": node["metadata"]["uid"]}
        ]
        assert lease["spec"]["holderIdentity"] == "node-1"
        assert lease["spec"]["leaseDurationSeconds"] == 40
        assert lease["spec"]["renewTime"].endswith("Z")
        reasons = {t["reason"] for p, t in api.objects.items() if "/events/" in p}
        assert {"Starting", "NodeReady", "NodeHasSufficientMemory"} <= reasons

    with_agent(test)


def test_cadence_of_lease_and_status() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        await clock.sleep(1)
        api.requests.clear()
        await clock.sleep(600)
        assert 57 <= api.count("PUT", LEASE) <= 60
        assert api.count("GET", LEASE) == 0
        assert 1 <= api.count("PATCH", f"{NODE}/status") <= 3

    with_agent(test)


def test_a_status_set_to_unknown_is_put_right_within_one_interval() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        await clock.sleep(5)

        def unknown(tree: Tree) -> None:
            tree["status"]["conditions"][3]["status"] = "Unknown"

        api.edit(NODE, unknown)
        await clock.sleep(11)
        assert ready(api, NODE) == "True"

    with_agent(test)


def test_faked_conditions_and_slow_heartbeats() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        def fake(tree: Tree) -> None:
            tree["metadata"]["annotations"] |= {
                "kubeherd.io/not-ready": "PLEG is not healthy",
                "kubeherd.io/disk-pressure": "true",
                "kubeherd.io/heartbeat-interval-seconds": "100",
            }

        api.edit(NODE, fake)
        await clock.sleep(1)
        conditions = {c["type"]: c for c in api.objects[NODE]["status"]["conditions"]}
        assert conditions["Ready"]["reason"] == "KubeletNotReady"
        assert conditions["Ready"]["message"] == "PLEG is not healthy"
        assert conditions["DiskPressure"]["status"] == "True"
        await clock.sleep(20)
        api.requests.clear()
        await clock.sleep(1000)
        assert 8 <= api.count("PUT", LEASE) <= 11

    with_agent(test)


def test_a_lost_lease_race_is_repaired() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        await clock.sleep(1)
        api.edit(LEASE, lambda tree: tree["spec"].update(renewTime="x"))
        await clock.sleep(11)
        assert api.objects[LEASE]["spec"]["renewTime"] != "x"
        api.remove(LEASES, "node-1", "kube-node-lease")
        await clock.sleep(12)
        assert LEASE in api.objects

    with_agent(test)


def test_a_deleted_node_is_not_registered_again() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        await clock.sleep(1)
        api.remove(NODES, "node-1")
        api.remove(LEASES, "node-1", "kube-node-lease")
        await clock.sleep(120)
        assert NODE not in api.objects
        assert LEASE not in api.objects
        await agent.end()
        again = Agent(api, clock)
        await again.ready.wait()
        assert ready(api, NODE) == "True"
        await again.end()

    with_agent(test)


def test_a_pod_runs_with_one_write_and_goes_with_two() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod())
        await clock.sleep(0.1)
        assert ready(api) == "True"
        assert [c["type"] for c in api.objects[POD]["status"]["conditions"]][-1] == "PodScheduled"
        assert api.count("PATCH", f"{POD}/status") == 1
        await clock.sleep(30)
        assert api.count("PATCH", f"{POD}/status") == 1
        uid = api.objects[POD]["metadata"]["uid"]
        api.edit(POD, delete_gracefully)
        await clock.sleep(0.1)
        assert POD not in api.objects
        assert api.count("PATCH", f"{POD}/status") == 2
        final = next(tree for _, _, path, tree in reversed(api.history) if path == POD)
        assert final["status"]["phase"] == "Succeeded"
        options = next(sent.tree for sent in api.requests if sent.method == "DELETE")
        assert options["gracePeriodSeconds"] == 0
        assert options["preconditions"] == {"uid": uid}
        assert api.count("GET", POD) == 0

    with_agent(test)


def test_conditions_of_others_stay_and_come_first() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        pod = a_pod()
        pod["status"]["conditions"] = [
            {"type": "DisruptionTarget", "status": "True"},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "early"},
        ]
        api.put(PODS, pod)
        await clock.sleep(0.1)
        conditions = api.objects[POD]["status"]["conditions"]
        assert [c["type"] for c in conditions] == [
            "DisruptionTarget",
            "PodReadyToStartContainers",
            "Initialized",
            "Ready",
            "ContainersReady",
            "PodScheduled",
        ]
        assert conditions[-1]["lastTransitionTime"] == "early"

    with_agent(test)


def test_a_pod_marked_not_ready_by_others_is_put_right_within_ten_seconds() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod())
        await clock.sleep(1)

        def not_ready(tree: Tree) -> None:
            tree["status"]["conditions"][2]["status"] = "False"

        api.edit(POD, not_ready)
        assert ready(api) == "False"
        await clock.sleep(10.5)
        assert ready(api) == "True"

    with_agent(test)


def test_what_others_write_just_before_an_own_write_is_put_right() -> None:
    """Neither write answers the other: the kubelet's patch does not mention what changed."""

    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        def meddle(sent: Request) -> None:
            if (sent.method, sent.path) == ("PATCH", f"{POD}/status"):
                api.disturbance = undisturbed
                api.edit(POD, lambda tree: tree["status"].update(message="from outside"))

        api.disturbance = meddle
        api.put(PODS, a_pod())
        await clock.sleep(0.5)
        assert ready(api) == "True"
        assert api.objects[POD]["status"]["message"] == "from outside"
        await clock.sleep(10.5)
        assert "message" not in api.objects[POD]["status"]
        patches = api.count("PATCH", f"{POD}/status")
        await clock.sleep(60)
        assert api.count("PATCH", f"{POD}/status") == patches == 2

    with_agent(test)


def test_a_removed_pod_gets_no_more_writes_and_frees_its_address() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        await agent.end()
        api.change(NODES, "node-1", {"spec": {"podCIDR": "10.9.0.0/30"}})  # room for one pod
        again = Agent(api, clock)
        await again.ready.wait()
        first = api.put(PODS, a_pod(annotations={"kubeherd.io/stop-delay-seconds": "99"}))
        await clock.sleep(1)
        assert api.objects[POD]["status"]["podIP"] == "10.9.0.2"
        api.remove(PODS, "web-0", "shop")
        api.requests.clear()
        await clock.sleep(60)
        assert not [sent for sent in api.requests if POD in sent.path]
        second = api.put(PODS, a_pod())
        await clock.sleep(1)
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        assert ready(api) == "True"
        assert api.objects[POD]["status"]["podIP"] == "10.9.0.2"
        await again.end()

    with_agent(test)


def test_a_pod_of_the_same_name_is_another_pod() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        first = api.put(PODS, a_pod())
        await clock.sleep(1)
        first_id = api.objects[POD]["status"]["containerStatuses"][0]["containerID"]
        api.objects.pop(POD)
        second = api.put(PODS, a_pod())
        await clock.sleep(1)
        assert first["metadata"]["uid"] != second["metadata"]["uid"]
        assert api.objects[POD]["status"]["containerStatuses"][0]["containerID"] != first_id

    with_agent(test)


def test_admission_refuses_and_says_why() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod(nodeSelector={"disk": "ssd"}))
        await clock.sleep(1)
        pod_status = api.objects[POD]["status"]
        assert (pod_status["phase"], pod_status["reason"]) == ("Failed", "NodeAffinity")
        assert "containerStatuses" not in pod_status
        events = [t for p, t in api.objects.items() if "/shop/events/" in p]
        assert [(e["type"], e["reason"]) for e in events] == [("Warning", "NodeAffinity")]

    with_agent(test)


def test_an_agent_restart_changes_no_pod() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod(annotations={"kubeherd.io/crash-times": "1"}))
        await clock.sleep(1)
        before = api.objects[POD]
        await agent.end()
        await clock.sleep(30)
        again = Agent(api, clock)
        await again.ready.wait()
        await clock.sleep(5)
        assert api.objects[POD] == before
        other = POD.replace("web-0", "web-1")
        api.put(PODS, a_pod(name="web-1"))
        await clock.sleep(1)
        assert api.objects[other]["status"]["podIP"] != before["status"]["podIP"]
        await again.end()

    with_agent(test)


def test_a_reboot_restarts_containers_in_the_same_pod() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod())
        await clock.sleep(1)
        before = api.objects[POD]
        boot_id = api.objects[NODE]["status"]["nodeInfo"]["bootID"]
        await agent.end()
        again = Agent(api, clock, reboot=True)
        await again.ready.wait()
        await clock.sleep(5)
        after = api.objects[POD]
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        (container,) = after["status"]["containerStatuses"]
        assert container["restartCount"] == 1
        assert container["lastState"]["terminated"]["exitCode"] == 255
        assert after["status"]["startTime"] == before["status"]["startTime"]
        assert api.objects[NODE]["status"]["nodeInfo"]["bootID"] != boot_id
        events = [t for p, t in api.objects.items() if "/default/events/" in p]
        assert "Rebooted" in {e["reason"] for e in events}
        await again.end()

    with_agent(test)


def test_a_pod_that_was_terminating_is_finished_after_the_restart() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod())
        await clock.sleep(1)
        await agent.end()
        api.edit(POD, delete_gracefully)
        again = Agent(api, clock)
        await again.ready.wait()
        await clock.sleep(1)
        assert POD not in api.objects
        await again.end()

    with_agent(test)


def test_the_api_server_is_away_for_a_while() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod(annotations={"kubeherd.io/crash-after-seconds": "20"}))
        await clock.sleep(5)
        api.go_down()
        await clock.sleep(100)
        api.come_back()
        await clock.sleep(20)
        assert api.objects[POD]["status"]["containerStatuses"][0]["restartCount"] >= 2
        assert ready(api, NODE) == "True"

    with_agent(test)


def test_a_refused_write_is_tried_again() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        refusals: list[ApiError] = [InternalError("a bad moment")] * 3
        api.disturbance = lambda sent: (
            refusals.pop() if refusals and sent.path == f"{POD}/status" else None
        )
        api.put(PODS, a_pod())
        await clock.sleep(10)
        assert ready(api) == "True"

    with_agent(test)


def test_the_last_delete_is_asked_for_until_it_is_done() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        api.put(PODS, a_pod())
        await clock.sleep(0.5)
        unavailable = ServiceUnavailable("a bad minute")
        api.disturbance = lambda sent: unavailable if sent.method == "DELETE" else None
        api.edit(POD, delete_gracefully)
        await clock.sleep(60)
        assert POD in api.objects
        api.disturbance = undisturbed
        await clock.sleep(25)
        assert POD not in api.objects

    with_agent(test)


@pytest.mark.parametrize("count", [3])
def test_a_fleet_with_one_identity(count: int) -> None:
    names = tuple(f"node-{i}" for i in range(count))

    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        for name in names:
            api.put(PODS, a_pod(name=f"web-{name}", nodeName=name))
        await clock.sleep(1)
        ips = {t["status"]["podIP"] for p, t in api.objects.items() if "/pods/" in p}
        assert len(ips) == count
        nodes = [t for p, t in api.objects.items() if p.startswith("/api/v1/nodes/")]
        assert len({n["status"]["addresses"][0]["address"] for n in nodes}) == count

    with_agent(test, names=names)
