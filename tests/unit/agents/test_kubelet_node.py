"""The node's side of an agent: registration, lease, status (spec node-lifecycle 1 and 2)."""

from agentworld import LEASE, NODE, Agent, ready, with_agent
from fakeapi import FakeApi
from kubelet_pods import Tree

from kubeherd.cluster.api.kinds import LEASES, NODES
from kubeherd.simulation.virtualtime import VirtualClock


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
        reported = next(sent.tree for sent in api.requests if sent.method == "PATCH")
        assert set(reported["status"]) == {"conditions"}, "all else was posted"
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
        assert api.count("PUT", LEASE) == 0, "just created, and renewed already"
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
