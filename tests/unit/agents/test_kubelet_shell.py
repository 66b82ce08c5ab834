"""The agent's pods: writes, absence of the server, restarts (spec node-lifecycle 10 and 14)."""

from collections.abc import Sequence

import pytest
from agentworld import NODE, POD, Agent, a_pod, delete_gracefully, ready, with_agent
from fakeapi import FakeApi, undisturbed
from kubelet_pods import Tree

from kubeherd.agents.watches import Watches
from kubeherd.cluster.api.errors import ApiError, InternalError, Invalid, ServiceUnavailable
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, ObjectMeta, Pod, PodSpec
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.transport import Request
from kubeherd.simulation.virtualtime import VirtualClock


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


def test_a_status_computed_from_an_outdated_one_is_computed_anew_at_once() -> None:
    """A lost answer, or a watch that told old news: the API has an address of which the kubelet
    does not know, and adding another one is refused."""

    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        def old_news(sent: Request) -> ApiError | None:
            if (sent.method, sent.path) != ("PATCH", f"{POD}/status"):
                return None
            api.disturbance = undisturbed
            known = {"podIP": "10.244.9.9", "podIPs": [{"ip": "10.244.9.9"}]}
            api.edit(POD, lambda tree: tree["status"].update(known))
            return Invalid("status.podIPs: may specify no more than one IP for each IP family")

        api.disturbance = old_news
        api.put(PODS, a_pod())
        await clock.sleep(0.5)
        assert ready(api) == "True"
        status = api.objects[POD]["status"]
        assert status["podIPs"] == [{"ip": status["podIP"]}] != [{"ip": "10.244.9.9"}]
        await clock.sleep(60)
        assert api.count("PATCH", f"{POD}/status") == 2
        assert api.count("GET", POD) == 1

    with_agent(test)


def test_a_status_that_is_refused_for_itself_is_not_sent_again_and_again() -> None:
    async def test(api: FakeApi, clock: VirtualClock, agent: Agent) -> None:
        refused = Invalid("status.hostIP: Invalid value")
        api.disturbance = lambda sent: refused if sent.path == f"{POD}/status" else None
        api.put(PODS, a_pod())
        await clock.sleep(60)
        assert api.count("PATCH", f"{POD}/status") == api.count("GET", POD) == 1

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


def test_a_fleet_writes_nothing_until_the_server_has_shown_what_it_takes() -> None:
    """Else the first write of each node would open a connection of its own."""

    async def main(clock: VirtualClock) -> None:
        api = FakeApi(clock)
        unavailable = ServiceUnavailable("not yet")
        api.disturbance = lambda sent: unavailable if sent.method == "GET" else None
        agent = Agent(api, clock, names=("node-0", "node-1", "node-2"))
        await clock.sleep(3)
        assert not api.objects
        api.disturbance = undisturbed
        await agent.ready.wait()
        assert len([path for path in api.objects if path.startswith("/api/v1/nodes/")]) == 3
        await agent.end()

    virtualtime.run_with_clock(main)


def _uid(pod: Pod | None) -> str | None:
    return None if pod is None else pod.metadata.uid


class Noting:
    """Notes what it is told of pods."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, str | None]] = []

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        self.told.append((_uid(old), _uid(new)))

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        raise AssertionError("no Node has changed")

    def relisted(self, node: Node | None, pods: Sequence[Pod]) -> None:
        assert node is None
        assert not pods


async def test_a_pod_replaced_unseen_by_one_on_another_node_is_gone_from_its_own() -> None:
    """A fleet's shared watch lists again: same name, another pod, another kubelet."""
    clock = VirtualClock(virtualtime.EPOCH)
    client = ApiClient(FakeApi(clock), clock)
    watches = Watches(client, clock, Rng(1), ["node-1", "node-2"])
    listeners = {name: Noting() for name in ("node-1", "node-2")}
    for name, listener in listeners.items():
        watches.attach(name, listener)
    first, second = (
        Pod(metadata=ObjectMeta(name="web", uid=uid), spec=PodSpec(node_name=node))
        for uid, node in (("uid-1", "node-1"), ("uid-2", "node-2"))
    )
    watches._pod_changed(None, first)
    watches._pod_changed(first, second)
    assert listeners["node-1"].told == [(None, "uid-1"), ("uid-1", None)]
    assert listeners["node-2"].told == [(None, "uid-2")]
