"""The scheduler on virtual time: binding, waiting, waking, preemption."""

from typing import Any

import pytest
from controllerworld import node, play, pod
from fakeapi import FakeApi, failing_writes, undisturbed

from kubeherd.cluster.api.errors import Conflict
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.controller.scheduler import plan
from kubeherd.controller.scheduler.controller import Scheduler
from kubeherd.controller.scheduler.nodeinfo import PodInfo
from kubeherd.simulation.transport import Request


def pinned(node_name: str) -> JsonObject:
    """The affinity of a DaemonSet pod."""
    field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def asking(cpu: str) -> list[JsonObject]:
    return [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]


def node_of(api: FakeApi, name: str) -> str:
    tree = api.get(PODS, name, "ns")
    assert tree is not None
    return str(tree["spec"].get("nodeName", ""))


def scheduled_condition(api: FakeApi, name: str) -> JsonObject:
    tree = api.get(PODS, name, "ns")
    assert tree is not None
    found: list[JsonObject] = [
        c for c in tree["status"].get("conditions", []) if c["type"] == "PodScheduled"
    ]
    return found[0] if found else {}


def test_daemon_pods_are_bound_to_the_nodes_they_name() -> None:
    async def scenario(api: FakeApi) -> None:
        for number in range(50):
            api.put(NODES, node(f"n{number}"))
            api.put(PODS, pod(f"p{number}", affinity=pinned(f"n{number}")))
        await api.clock.sleep(1)
        assert all(node_of(api, f"p{number}") == f"n{number}" for number in range(50))

    api = play(Scheduler, scenario=scenario)
    assert ("p7", "Scheduled", "Successfully assigned ns/p7 to n7") in api.events()
    assert len(api.events()) == 50


def test_of_bindings_written_together_one_that_fails_is_alone_in_that() -> None:
    """Its room is given back, it is told why, and tried again; the others are bound at once."""
    failed: list[str] = []

    def refuse_once(request: Request) -> Exception | None:
        if not request.path.endswith("/p7/binding") or failed:
            return None
        failed.append(request.path)
        return Conflict("not now")

    async def scenario(api: FakeApi) -> None:
        api.disturbance = refuse_once
        for number in range(200):
            api.put(NODES, node(f"n{number}"))
            api.put(PODS, pod(f"p{number}", affinity=pinned(f"n{number}")))
        await api.clock.sleep(0.5)
        unbound = [number for number in range(200) if not node_of(api, f"p{number}")]
        assert unbound == [7]
        assert scheduled_condition(api, "p7")["reason"] == "SchedulerError"
        await api.clock.sleep(2)
        assert node_of(api, "p7") == "n7"

    api = play(Scheduler, scenario=scenario)
    message = 'running Bind plugin "DefaultBinder": not now'
    assert ("p7", "FailedScheduling", message) in api.events()
    assert len([event for event in api.events() if event[1] == "Scheduled"]) == 200


def test_full_node_the_message_the_condition_and_the_wake_up() -> None:
    message = (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s)"
        " [NodeAffinity]. preemption: 0/3 nodes are available: 1 No preemption victims found for"
        " incoming pod, 2 Preemption is not helpful for scheduling."
    )

    async def scenario(api: FakeApi) -> None:
        for name in ("a", "b", "c"):
            api.put(NODES, node(name))
        api.put(PODS, pod("big", "a", containers=asking("4")))
        await api.clock.sleep(0.5)
        api.put(PODS, pod("waits", affinity=pinned("a"), containers=asking("1")))
        await api.clock.sleep(0.5)
        condition = scheduled_condition(api, "waits")
        assert condition["status"] == "False"
        assert condition["reason"] == "Unschedulable"
        assert condition["message"] == message
        assert condition["observedGeneration"] == 1
        assert node_of(api, "waits") == ""
        api.remove(PODS, "big", "ns")
        await api.clock.sleep(0.3)
        assert node_of(api, "waits") == "", "the first back-off lasts a second"
        await api.clock.sleep(1)
        assert node_of(api, "waits") == "a"

    api = play(Scheduler, scenario=scenario)
    assert ("waits", "FailedScheduling", message) in api.events()


@pytest.mark.parametrize("affinity", [pinned("later"), {}], ids=["pinned", "anywhere"])
def test_without_nodes_a_pod_waits_and_is_bound_when_its_node_comes(affinity: JsonObject) -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(PODS, pod("p", affinity=affinity))
        await api.clock.sleep(2)
        assert scheduled_condition(api, "p")["message"] == "no nodes available to schedule pods"
        api.put(NODES, node("later"))
        await api.clock.sleep(0.5)
        assert node_of(api, "p") == "later"

    play(Scheduler, scenario=scenario)


def test_tainted_node_binds_once_the_taint_is_gone() -> None:
    taint = {"key": "k", "effect": "NoSchedule"}

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a", taints=[taint]))
        api.put(PODS, pod("p"))
        await api.clock.sleep(2)
        assert scheduled_condition(api, "p")["message"] == (
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: 0/1 nodes"
            " are available: 1 Preemption is not helpful for scheduling."
        )
        api.change(NODES, "a", {"spec": {"taints": None}})
        await api.clock.sleep(0.5)
        assert node_of(api, "p") == "a"

    play(Scheduler, scenario=scenario)


def test_gated_bound_and_foreign_pods_are_left_alone() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(PODS, pod("gated", schedulingGates=[{"name": "g"}]))
        api.put(PODS, pod("foreign", schedulerName="other"))
        await api.clock.sleep(1)
        assert api.writes == []
        api.change(PODS, "gated", {"spec": {"schedulingGates": None}}, "ns")
        await api.clock.sleep(0.5)
        assert node_of(api, "gated") == "a"

    play(Scheduler, scenario=scenario)


def test_pods_spread_over_equal_nodes_and_never_overfill_one() -> None:
    async def scenario(api: FakeApi) -> None:
        for name in ("a", "b"):
            api.put(NODES, node(name))
        for number in range(6):
            api.put(PODS, pod(f"p{number}", containers=asking("1500m")))
        await api.clock.sleep(1)
        homes = [node_of(api, f"p{number}") for number in range(6)]
        assert sorted(homes) == ["", "", "a", "a", "b", "b"]

    play(Scheduler, scenario=scenario)


def test_failed_binding_gives_the_room_back_and_is_tried_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.disturbance = failing_writes("/binding", TransportError("no answer"))
        api.put(PODS, pod("p", containers=asking("3")))
        await api.clock.sleep(0.5)
        assert scheduled_condition(api, "p")["reason"] == "SchedulerError"
        api.disturbance = undisturbed
        await api.clock.sleep(3)
        assert node_of(api, "p") == "a"

    play(Scheduler, scenario=scenario)


def test_a_binding_that_was_carried_out_without_an_answer_is_no_failure_to_tell_the_pod() -> None:
    """The watch has not told of it when it is tried again, and refused."""

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("n"))
        tries = 0

        def lose(sent: Request) -> Exception | None:
            nonlocal tries
            if not sent.path.endswith("p/binding"):
                return None
            tries += 1
            if tries == 1:
                return TransportError("the answer was lost")
            message = 'pod p is already assigned to node "n"'
            return Conflict(f'Operation cannot be fulfilled on pods/binding "p": {message}')

        api.disturbance = lose
        api.put(PODS, pod("p"))
        await api.clock.sleep(60)
        assert tries == 2
        assert "already assigned" not in str(scheduled_condition(api, "p"))
        assert not any("already assigned" in text for _, _, text in api.events())

    play(Scheduler, scenario=scenario)


def test_important_pod_evicts_nominates_and_follows() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(PODS, pod("victim", "a", containers=asking("3")))
        await api.clock.sleep(0.5)
        api.put(PODS, pod("vip", containers=asking("2"), priority=2000001000))
        await api.clock.sleep(0.5)
        victim = api.get(PODS, "victim", "ns")
        assert victim is not None
        assert victim["metadata"]["deletionTimestamp"]
        target = next(c for c in victim["status"]["conditions"] if c["type"] == "DisruptionTarget")
        assert target["reason"] == "PreemptionByScheduler"
        assert target["message"] == (
            "default-scheduler: preempting to accommodate a higher priority pod"
        )
        vip = api.get(PODS, "vip", "ns")
        assert vip is not None
        assert vip["status"]["nominatedNodeName"] == "a"
        assert scheduled_condition(api, "vip")["message"] == (
            "0/1 nodes are available: 1 Insufficient cpu."
        )
        api.put(PODS, pod("sneaky", containers=asking("3")))
        await api.clock.sleep(0.5)
        api.remove(PODS, "victim", "ns")
        await api.clock.sleep(2)
        assert node_of(api, "vip") == "a"
        assert node_of(api, "sneaky") == "", "the room was kept for the nominated pod"

    api = play(Scheduler, scenario=scenario)
    assert ("victim", "Preempted", "Preempted by pod uid-vip on node a") in api.events()


def test_terminating_unbound_pod_is_skipped() -> None:
    async def scenario(api: FakeApi) -> None:
        tree = pod("p")
        tree["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        tree["metadata"]["finalizers"] = ["example.com/x"]
        api.put(PODS, tree)
        await api.clock.sleep(1)
        assert scheduled_condition(api, "p") == {}

    api = play(Scheduler, scenario=scenario)
    assert ("p", "FailedScheduling", "skip schedule deleting pod: ns/p") in api.events()


def test_a_surprise_while_binding_loses_no_pod() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.disturbance = failing_writes("/binding", RuntimeError("surprise"))
        api.put(PODS, pod("p", containers=asking("3")))
        await api.clock.sleep(0.5)
        assert node_of(api, "p") == ""
        api.disturbance = undisturbed
        await api.clock.sleep(3)
        assert node_of(api, "p") == "a"

    play(Scheduler, scenario=scenario)


def test_a_surprise_while_deciding_costs_no_other_pod_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which surprise is open: the next mistake in a filter or a score is none that is known."""
    attempt = plan.attempt

    def surprising(info: PodInfo, *rest: Any) -> plan.Attempt:
        if info.pod.metadata.name == "poison":
            raise ZeroDivisionError
        return attempt(info, *rest)

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(PODS, pod("poison", priority=10))
        for number in range(5):
            api.put(PODS, pod(f"p{number}"))
        await api.clock.sleep(20)
        assert all(node_of(api, f"p{number}") == "a" for number in range(5))
        assert node_of(api, "poison") == ""
        monkeypatch.setattr(plan, "attempt", attempt)
        await api.clock.sleep(40)
        assert node_of(api, "poison") == "a"

    monkeypatch.setattr(plan, "attempt", surprising)
    play(Scheduler, scenario=scenario)


@pytest.mark.parametrize("lost", [False, True])
def test_a_pod_of_the_same_name_is_not_forgotten_with_the_one_before(lost: bool) -> None:
    """The answer to the first one's binding comes when the second one waits already."""

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        answer = api.answer

        async def slow(request: Request) -> TransportResponse:
            answered = await answer(request)
            if request.path.endswith("p/binding"):
                api.answer = answer  # type: ignore[method-assign]
                api.remove(PODS, "p", "ns")
                api.put(PODS, pod("fills", "a", containers=asking("3")))
                await api.clock.sleep(0.1)
                api.put(PODS, pod("p", containers=asking("2")))
                await api.clock.sleep(1)
                if lost:
                    raise TransportError("no answer")
            return answered

        api.answer = slow  # type: ignore[method-assign]
        api.put(PODS, pod("p", containers=asking("1")))
        await api.clock.sleep(5)
        assert node_of(api, "p") == ""
        api.remove(PODS, "fills", "ns")
        await api.clock.sleep(15)
        assert node_of(api, "p") == "a"

    play(Scheduler, scenario=scenario)


def test_a_bound_pod_that_replaced_one_of_its_name_unseen_does_not_count_twice() -> None:
    """As a list tells it, after the watch between them was lost."""

    async def scenario(api: FakeApi) -> None:
        for name in ("a", "b"):
            api.put(NODES, node(name))
        api.put(PODS, pod("web-0", "a", containers=asking("4")))
        await api.clock.sleep(1)
        again = pod("web-0", "b", containers=asking("4"))
        again["metadata"]["uid"] = "another"
        api.put(PODS, again)
        await api.clock.sleep(1)
        api.put(PODS, pod("p", containers=asking("4")))
        await api.clock.sleep(1)
        assert node_of(api, "p") == "a"

    play(Scheduler, scenario=scenario)
