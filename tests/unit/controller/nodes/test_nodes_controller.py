"""The node lifecycle controller on virtual time: silence, taints, pods, return."""

from controllerworld import node, play, pod
from fakeapi import FakeApi, failing_writes, undisturbed

from kubeherd.cluster.api.kinds import LEASES, NODES, PODS
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.metrics import Histogram
from kubeherd.controller.manager import Context
from kubeherd.controller.nodes.controller import NodeLifecycleController

UNREACHABLE = "node.kubernetes.io/unreachable"


def taints(api: FakeApi, name: str) -> set[tuple[str, str]]:
    tree = api.get(NODES, name)
    assert tree is not None
    return {(t["key"], t["effect"]) for t in tree["spec"].get("taints") or ()}


def ready(api: FakeApi, name: str) -> str:
    tree = api.get(NODES, name)
    assert tree is not None
    return next(c["status"] for c in tree["status"]["conditions"] if c["type"] == "Ready")


async def renew(api: FakeApi, *names: str) -> None:
    for name in names:
        moment = api.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease = {
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"renewTime": moment},
        }
        api.put(LEASES, lease)


async def keep_alive(api: FakeApi, duration_s: float, *names: str) -> None:
    for _ in range(int(duration_s / 10)):
        await renew(api, *names)
        await api.clock.sleep(10)


def test_silent_node_goes_unknown_is_tainted_and_its_pods_are_marked() -> None:
    async def scenario(api: FakeApi) -> None:
        for name in ("a", "b", "c"):
            api.put(NODES, node(name))
        api.put(PODS, pod("p", "a"))
        await keep_alive(api, 40, "a", "b", "c")
        await keep_alive(api, 40, "b", "c")
        assert ready(api, "a") == "True"
        await keep_alive(api, 30, "b", "c")
        assert ready(api, "a") == "Unknown"
        assert taints(api, "a") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
        marked = api.get(PODS, "p", "ns")
        assert marked is not None
        assert marked["status"]["conditions"][0]["status"] == "False"
        assert marked["status"]["phase"] == "Running"
        assert ready(api, "b") == "True"
        assert taints(api, "b") == set()

    api = play(NodeLifecycleController, scenario=scenario)
    assert ("a", "NodeNotReady", "Node a status is now: NodeNotReady") in api.events()
    assert ("p", "NodeNotReady", "Node is not ready") in api.events()
    assert ("b", "RegisteredNode", "Node b event: Registered Node b in Controller") in api.events()


def test_node_that_returns_loses_its_taints() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(NODES, node("b"))
        await keep_alive(api, 80, "b")
        assert ready(api, "a") == "Unknown"
        status = node("a")["status"]
        status["conditions"][-1]["lastHeartbeatTime"] = "2026-01-01T00:01:30Z"
        api.change(NODES, "a", {"status": status})
        await keep_alive(api, 10, "a", "b")
        assert ready(api, "a") == "True"
        assert taints(api, "a") == set()

    play(NodeLifecycleController, scenario=scenario)


def test_all_nodes_silent_stops_evictions_but_keeps_noschedule() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(NODES, node("b"))
        await api.clock.sleep(90)
        assert ready(api, "a") == ready(api, "b") == "Unknown"
        assert taints(api, "a") == taints(api, "b") == {(UNREACHABLE, "NoSchedule")}

    play(NodeLifecycleController, scenario=scenario)


def test_noexecute_taints_spread_at_the_rate_of_the_zone() -> None:
    alive = [f"alive-{number}" for number in range(6)]
    dead = [f"dead-{number}" for number in range(3)]

    async def scenario(api: FakeApi) -> None:
        for name in alive + dead:
            api.put(NODES, node(name))
        await keep_alive(api, 60, *alive)
        await api.clock.sleep(5)
        counts = []
        for _ in range(3):
            counts.append(sum((UNREACHABLE, "NoExecute") in taints(api, name) for name in dead))
            await keep_alive(api, 10, *alive)
        assert counts == [1, 2, 3]

    play(NodeLifecycleController, scenario=scenario)


def test_cordoned_node_is_tainted_and_untainted() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a", unschedulable=True))
        await api.clock.sleep(1)
        assert taints(api, "a") == {("node.kubernetes.io/unschedulable", "NoSchedule")}
        api.change(NODES, "a", {"spec": {"unschedulable": None}})
        await api.clock.sleep(1)
        assert taints(api, "a") == set()

    play(NodeLifecycleController, scenario=scenario)


def test_pods_that_could_not_be_marked_are_marked_in_a_later_pass() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(NODES, node("b"))
        api.put(PODS, pod("p", "a"))
        api.disturbance = failing_writes("/pods/p/status", TransportError("no answer"))
        await keep_alive(api, 60, "b")
        tree = api.get(PODS, "p", "ns")
        assert tree is not None
        assert tree["status"]["conditions"][0]["status"] == "True"
        api.disturbance = undisturbed
        await keep_alive(api, 10, "b")
        tree = api.get(PODS, "p", "ns")
        assert tree is not None
        assert tree["status"]["conditions"][0]["status"] == "False"

    play(NodeLifecycleController, scenario=scenario)


def test_pod_bound_to_a_node_that_is_not_ready_is_marked() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a", ready="False"))
        await keep_alive(api, 10, "a")
        api.put(PODS, pod("late", "a"))
        await keep_alive(api, 10, "a")
        tree = api.get(PODS, "late", "ns")
        assert tree is not None
        assert tree["status"]["conditions"][0]["status"] == "False"
        assert taints(api, "a") == {("node.kubernetes.io/not-ready", "NoSchedule")}

    play(NodeLifecycleController, scenario=scenario)


def test_pod_on_a_node_that_became_ready_since_the_last_pass_keeps_its_status() -> None:
    """Every new node is not ready at first: its first pods stayed unavailable for seconds."""

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a", ready="False"))
        await keep_alive(api, 10, "a")
        api.put(NODES, node("a", ready="True"))
        api.put(PODS, pod("early", "a"))
        await keep_alive(api, 20, "a")
        tree = api.get(PODS, "early", "ns")
        assert tree is not None
        assert tree["status"]["conditions"][0]["status"] == "True"

    play(NodeLifecycleController, scenario=scenario)


def test_zones_and_evictions_are_counted_as_kubernetes_counts_them() -> None:
    contexts: list[Context] = []

    def make(context: Context) -> NodeLifecycleController:
        contexts.append(context)
        return NodeLifecycleController(context)

    async def scenario(api: FakeApi) -> None:
        for name in ("a", "b", "c"):
            api.put(NODES, node(name))
        await keep_alive(api, 110, "b", "c")

    play(make, scenario=scenario)
    families = {
        family.name.removeprefix("node_collector_"): list(family.samples)
        for made in contexts[0].families
        for family in made()
    }
    assert families["zone_size"] == [(("",), 3)]
    assert families["unhealthy_nodes_in_zone"] == [(("",), 1)]
    assert families["zone_health"] == [(("",), 200 / 3)]
    assert families["evictions_total"] == [(("",), 1)]
    ((_, passes),) = families["update_all_nodes_health_duration_seconds"]
    assert isinstance(passes, Histogram)
    assert sum(passes.counts) > 10
    assert set(contexts[0].queues) == {
        "node_lifecycle_controller",
        "node_lifecycle_controller_pods",
    }
