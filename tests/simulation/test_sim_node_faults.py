"""Faults that agents carry out: of heartbeats, clocks, pods, and of single nodes of a fleet."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, LEASES, NODES, PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.faults import Component, Fault, FaultError, Nodes, effects
from kubeherd.faults.effects import Direction, Effect
from kubeherd.simulation.arena import SimulatedArena
from kubeherd.simulation.cluster import (
    SimulatedCluster,
    daemonset_tree,
    is_ready,
    pod_tree,
    simulated,
)
from kubeherd.simulation.virtualtime import virtual

FLEET = ("node-0", "node-1", "node-2")


def fault(effect: Effect, *names: str, id: str = "f") -> Fault:  # noqa: A002 - as it is called
    return Fault(id=id, target=Nodes(names), effect=effect)


@asynccontextmanager
async def a_fleet() -> AsyncIterator[SimulatedCluster]:
    """A cluster whose nodes share one process, with a DaemonSet that has rolled out."""
    async with simulated() as cluster:
        cluster.start_fleet("agent-0", FLEET)
        await cluster.until_ready(*FLEET)
        await cluster.admin.create(DAEMONSETS, daemonset_tree())
        await cluster.until_rolled_out("agent")
        yield cluster


async def ready(cluster: SimulatedCluster) -> list[str]:
    return [name for name, node in sorted((await cluster.nodes()).items()) if is_ready(node)]


async def pod(cluster: SimulatedCluster, name: str) -> Pod:
    return await cluster.admin.get(PODS, Pod, name, "default")


async def until_not_ready(cluster: SimulatedCluster, name: str, within_s: float = 70) -> float:
    async def unknown() -> bool:
        return name not in await ready(cluster)

    return await cluster.until(unknown, within_s=within_s, what=f"{name} is not Ready")


async def state(cluster: SimulatedCluster, name: str) -> JsonObject:
    """The state of the pod's only container."""
    statuses = (await pod(cluster, name)).status.container_statuses
    found: JsonObject = statuses[0]["state"] if statuses else {}
    return found


async def until_running(cluster: SimulatedCluster, *names: str, within_s: float = 30) -> None:
    async def running() -> bool:
        pods = [await pod(cluster, name) for name in names]
        return all((c := p.status.condition("Ready")) and c.status == "True" for p in pods)

    await cluster.until(running, within_s=within_s, what=f"{names} are ready")


async def until_reason(
    cluster: SimulatedCluster, name: str, reason: str, within_s: float = 30
) -> float:
    async def waits() -> bool:
        return (await state(cluster, name)).get("waiting", {}).get("reason") == reason

    return await cluster.until(waits, within_s=within_s, what=f"{name} waits: {reason}")


# --- heartbeats and clocks ---


@virtual
async def test_a_node_without_heartbeats_turns_unknown_and_its_pods_run_on() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(PODS, pod_tree("web", "node-1"))
        await until_running(cluster, "web")
        began_s = cluster.now_s
        cluster.fleets["node-1"].hurt([fault(effects.HeartbeatLoss(), "node-1")])
        silent_s = await until_not_ready(cluster, "node-1") - began_s
        assert 39 <= silent_s <= 61  # 50 s after the last one was seen, in passes of 5 s
        assert await ready(cluster) == ["node-0"]
        # The kubelet hears and writes all the time.
        await cluster.admin.delete(PODS, "web", "default")
        await cluster.clock.sleep(5)
        with pytest.raises(NotFound):
            await pod(cluster, "web")
        cluster.fleets["node-1"].hurt([])
        await cluster.until_ready("node-1", within_s=15)


@virtual
async def test_heartbeats_may_be_late_up_to_the_grace_period() -> None:
    async with simulated(nodes=2) as cluster:
        for name, delay_s in (("node-0", 20.0), ("node-1", 80.0)):
            cluster.fleets[name].hurt([fault(effects.HeartbeatDelay(delay_s=delay_s), name)])
        await until_not_ready(cluster, "node-1", within_s=100)
        assert await ready(cluster) == ["node-0"]
        cluster.fleets["node-1"].hurt([])  # what waits is sent at once
        await cluster.until_ready("node-1", within_s=15)


@virtual
async def test_a_node_whose_clock_is_wrong_stays_ready_and_stamps_wrongly() -> None:
    async with simulated(nodes=1) as cluster:
        cluster.fleets["node-0"].hurt([fault(effects.ClockSkew(offset_s=-600), "node-0")])
        await cluster.admin.create(PODS, pod_tree("web", "node-0"))
        await until_running(cluster, "web")
        await cluster.clock.sleep(100)
        assert await ready(cluster) == ["node-0"]

        async def behind() -> dict[str, timedelta]:
            lease = await cluster.tree(LEASES, "node-0", "kube-node-lease")
            started = (await state(cluster, "web"))["running"]["startedAt"]
            events = await cluster.events("Started")
            stamps = {
                "lease": lease["spec"]["renewTime"],
                "container": started,
                "event": events[-1]["lastTimestamp"],
            }
            return {name: cluster.clock.now() - parse_time(t) for name, t in stamps.items()}

        found = await behind()
        assert timedelta(seconds=600) <= found["lease"] <= timedelta(seconds=615)
        assert timedelta(seconds=690) <= found["container"] <= timedelta(seconds=730)
        assert timedelta(seconds=690) <= found["event"] <= timedelta(seconds=730)
        cluster.fleets["node-0"].hurt([fault(effects.ClockSkew(drift=0.5), "node-0", id="g")])
        await cluster.clock.sleep(100)
        assert timedelta(seconds=-50) <= (await behind())["lease"] <= timedelta(seconds=-30)
        cluster.fleets["node-0"].hurt([])
        await cluster.clock.sleep(15)
        assert timedelta(0) <= (await behind())["lease"] <= timedelta(seconds=15)


# --- pods ---


@virtual
async def test_pods_that_run_crash_and_recover_after_their_back_off() -> None:
    async with simulated(nodes=1) as cluster:
        await cluster.admin.create(PODS, pod_tree("web", "node-0"))
        other = pod_tree("other", "node-0")
        other["metadata"]["labels"] = {"app": "other"}
        await cluster.admin.create(PODS, other)
        await until_running(cluster, "web", "other")
        await cluster.clock.sleep(100)
        crash = effects.PodCrash(exit_code=3, selector="app!=other")
        cluster.fleets["node-0"].hurt([fault(crash, "node-0")])
        await until_reason(cluster, "web", "CrashLoopBackOff")
        status = (await pod(cluster, "web")).status.container_statuses[0]
        assert status["lastState"]["terminated"]["exitCode"] == 3
        assert status["lastState"]["terminated"]["reason"] == "Error"
        assert (await cluster.events("BackOff"))[0]["involvedObject"]["name"] == "web"
        await cluster.clock.sleep(60)
        restarts = (await pod(cluster, "web")).status.container_statuses[0]["restartCount"]
        assert restarts >= 3
        cluster.fleets["node-0"].hurt([])
        await until_running(cluster, "web", within_s=100)
        assert (await pod(cluster, "other")).status.container_statuses[0]["restartCount"] == 0


@virtual
async def test_a_pod_by_its_name_is_killed_once() -> None:
    async with simulated(nodes=1) as cluster:
        for name in ("web", "other"):
            await cluster.admin.create(PODS, pod_tree(name, "node-0"))
            await until_running(cluster, name)
        await cluster.clock.sleep(5)
        kill = effects.PodCrash(after_s=1, exit_code=137, names=("default/web", "shop/other"))
        cluster.fleets["node-0"].hurt([fault(kill, "node-0")])
        await cluster.clock.sleep(0.9)
        cluster.fleets["node-0"].hurt([])
        await cluster.clock.sleep(60)
        status = (await pod(cluster, "web")).status.container_statuses[0]
        assert status["restartCount"] == 1
        assert status["lastState"]["terminated"]["exitCode"] == 137
        assert (await pod(cluster, "other")).status.container_statuses[0]["restartCount"] == 0


@virtual
async def test_pods_that_run_turn_unready_and_ready_again() -> None:
    async with simulated(nodes=1) as cluster:
        await cluster.admin.create(PODS, pod_tree("web", "node-0"))
        await until_running(cluster, "web")
        cluster.fleets["node-0"].hurt([fault(effects.PodUnready(namespace="other"), "node-0")])
        await cluster.clock.sleep(5)
        await until_running(cluster, "web", within_s=0)
        cluster.fleets["node-0"].hurt([fault(effects.PodUnready(), "node-0", id="g")])
        await cluster.clock.sleep(5)
        ready_condition = (await pod(cluster, "web")).status.condition("Ready")
        assert ready_condition is not None
        assert (ready_condition.status, ready_condition.reason) == ("False", "ContainersNotReady")
        assert "running" in await state(cluster, "web")
        cluster.fleets["node-0"].hurt([])
        await until_running(cluster, "web", within_s=5)


@virtual
async def test_images_that_are_not_on_the_node_cannot_be_pulled() -> None:
    async with simulated(nodes=1) as cluster:
        await cluster.admin.create(PODS, pod_tree("old", "node-0"))
        await until_running(cluster, "old")
        cluster.fleets["node-0"].hurt([fault(effects.PodPullFailure(), "node-0")])
        await cluster.admin.create(PODS, pod_tree("again", "node-0"))
        fresh = pod_tree("new", "node-0", containers=[{"name": "main", "image": "app:2"}])
        await cluster.admin.create(PODS, fresh)
        await until_running(cluster, "again", "old")
        await until_reason(cluster, "new", "ImagePullBackOff")
        message = (await state(cluster, "new"))["waiting"]["message"]
        assert message.startswith('Back-off pulling image "app:2": ErrImagePull: failed to pull')
        cluster.fleets["node-0"].hurt([])
        await until_running(cluster, "new", within_s=40)


@virtual
async def test_containers_start_slowly_until_the_fault_is_over() -> None:
    async with simulated(nodes=1) as cluster:
        slow = effects.PodSlowStart(delay_s=120)
        cluster.fleets["node-0"].hurt([fault(slow, "node-0")])
        await cluster.admin.create(PODS, pod_tree("first", "node-0"))
        await cluster.clock.sleep(100)
        await until_reason(cluster, "first", "ContainerCreating", within_s=0)
        await until_running(cluster, "first")
        await cluster.admin.create(PODS, pod_tree("second", "node-0"))
        await cluster.clock.sleep(30)
        cluster.fleets["node-0"].hurt([])
        await until_running(cluster, "second", within_s=3)


@virtual
async def test_a_deleted_pod_stays_until_the_fault_is_over() -> None:
    async with simulated(nodes=1) as cluster:
        for name in ("before", "after"):
            await cluster.admin.create(PODS, pod_tree(name, "node-0"))
        await until_running(cluster, "before", "after")
        cluster.fleets["node-0"].hurt([fault(effects.PodStuckTerminating(), "node-0")])
        await cluster.admin.delete(PODS, "after", "default", grace_period_s=5)
        await cluster.clock.sleep(300)
        stuck = await pod(cluster, "after")
        assert stuck.metadata.deletion_timestamp is not None
        assert "running" in await state(cluster, "after")
        await until_running(cluster, "before", within_s=0)
        told = await cluster.events("FailedKillPod")
        assert [event["message"] for event in told] == [
            'error killing pod: failed to "KillContainer" for "main" with KillContainerError: '
            '"rpc error: code = DeadlineExceeded desc = context deadline exceeded"'
        ]
        cluster.fleets["node-0"].hurt([])
        await cluster.clock.sleep(1)
        with pytest.raises(NotFound):
            await pod(cluster, "after")


# --- as an experiment does it ---


@virtual
async def test_a_node_is_hurt_through_all_its_lives_and_a_dead_one_is_left_alone() -> None:
    async with simulated(nodes=1) as cluster:
        arena = SimulatedArena(cluster)
        await cluster.admin.create(PODS, pod_tree("web", "node-0"))
        await until_running(cluster, "web")
        await arena.begin(fault(effects.Crash(), "node-0", id="crash"))
        await arena.begin(fault(effects.PodUnready(names=("default/web",)), "node-0", id="pods"))
        await cluster.clock.sleep(5)
        await until_running(cluster, "web", within_s=0)  # nobody is there to say that it is not
        await arena.undo("crash")
        await cluster.until_ready("node-0")
        await cluster.clock.sleep(5)
        condition = (await pod(cluster, "web")).status.condition("Ready")
        assert condition is not None
        assert condition.status == "False"
        await arena.undo("pods")
        await until_running(cluster, "web", within_s=5)


@virtual
async def test_a_fault_that_makes_no_sense_to_an_agent_is_not_begun() -> None:
    async with simulated(nodes=1) as cluster:
        arena = SimulatedArena(cluster)
        with pytest.raises(FaultError, match="pod-unready"):
            await arena.begin(fault(effects.PodUnready(selector="a in"), "node-0", id="bad"))
        await arena.begin(fault(effects.HeartbeatLoss(), "node-0", id="good"))
        await arena.undo("good")


@virtual
async def test_two_managers_act_at_once_and_what_the_deposed_one_writes_is_refused() -> None:
    async with simulated(nodes=1, managers=2) as cluster:
        arena = SimulatedArena(cluster)
        await cluster.clock.sleep(5)
        lease = await cluster.tree(LEASES, "kube-controller-manager", "kube-system")
        leader = arena.process_of(lease["spec"]["holderIdentity"])
        two = Fault(id="two", target=Component(leader), effect=effects.TwoLeaders())
        with capture_logs() as logs:
            await arena.begin(two)
            await cluster.clock.sleep(30)
            await cluster.admin.create(DAEMONSETS, daemonset_tree())
            await cluster.until_rolled_out("agent")
            await cluster.clock.sleep(10)
            assert len(await cluster.pods()) == 1
            await arena.undo("two")
            await cluster.clock.sleep(30)
        told = [line["event"] for line in logs]
        assert told.count("acting_without_lease") == 1
        assert (
            told.index("acting_without_lease") < told.index("leading") < told.index("standing_by")
        )


# --- single nodes of a fleet ---


@virtual
async def test_only_the_pods_of_the_node_that_is_cut_off_suffer() -> None:
    async with a_fleet() as cluster:
        await cluster.admin.create(PODS, pod_tree("deleted", "node-1"))
        await until_running(cluster, "deleted")
        cluster.fleets["agent-0"].hurt([fault(effects.Partition(), "node-1")])
        await cluster.admin.create(PODS, pod_tree("unheard", "node-1"))
        await cluster.admin.create(PODS, pod_tree("heard", "node-2"))
        await cluster.admin.delete(PODS, "deleted", "default")
        await until_not_ready(cluster, "node-1")
        await cluster.clock.sleep(100)
        assert await ready(cluster) == ["node-0", "node-2"]
        assert (await pod(cluster, "unheard")).status.phase == "Pending"
        assert (await pod(cluster, "deleted")).metadata.deletion_timestamp is not None
        unready = [
            p.metadata.name
            for p in await cluster.pods()
            if (c := p.status.condition("Ready")) is None or c.status != "True"
        ]
        assert {(await pod(cluster, name)).spec.node_name for name in unready} == {"node-1"}
        cluster.fleets["agent-0"].hurt([])
        await cluster.until_ready(*FLEET, within_s=15)
        await until_running(cluster, "unheard", "heard", within_s=5)
        with pytest.raises(NotFound):
            await pod(cluster, "deleted")
        await cluster.until_rolled_out("agent")


@pytest.mark.parametrize("direction", [Direction.REQUESTS, Direction.ANSWERS])
def test_one_way_is_enough_to_be_cut_off_and_lost_answers_do_no_harm(direction: Direction) -> None:
    @virtual
    async def run() -> None:
        async with a_fleet() as cluster:
            cut = fault(effects.Partition(direction=direction), "node-1")
            cluster.fleets["agent-0"].hurt([cut])
            await cluster.clock.sleep(100)
            # A lease that is renewed keeps a node Ready, whoever learns of it.
            wanted = list(FLEET) if direction is Direction.ANSWERS else ["node-0", "node-2"]
            assert await ready(cluster) == wanted
            cluster.fleets["agent-0"].hurt([])
            await cluster.until_ready(*FLEET, within_s=15)
            await cluster.until_rolled_out("agent")

    run()


@virtual
async def test_a_link_that_flaps_lets_through_what_a_node_needs() -> None:
    async with a_fleet() as cluster:
        flapping = effects.Partition(period_s=30, share=0.5)
        cluster.fleets["agent-0"].hurt([fault(flapping, "node-1")])
        await cluster.admin.create(PODS, pod_tree("web", "node-1"))
        await cluster.clock.sleep(10)
        assert (await pod(cluster, "web")).status.phase == "Pending"
        await until_running(cluster, "web", within_s=10)
        await cluster.clock.sleep(200)
        assert await ready(cluster) == list(FLEET)


@virtual
async def test_a_slow_network_delays_both_what_a_node_hears_and_what_it_says() -> None:
    async with a_fleet() as cluster:
        slow = effects.SlowNetwork(latency_s=2, bandwidth_bytes_per_s=2000)
        cluster.fleets["agent-0"].hurt([fault(slow, "node-1")])
        began_s = cluster.now_s
        await cluster.admin.create(PODS, pod_tree("slow", "node-1"))
        await cluster.admin.create(PODS, pod_tree("fast", "node-2"))
        await until_running(cluster, "fast", within_s=2)
        await until_running(cluster, "slow", within_s=20)
        assert cluster.now_s - began_s >= 5  # there 2 s and the size of a pod, back 2 s
        cluster.fleets["agent-0"].hurt([])
        await cluster.admin.create(PODS, pod_tree("healed", "node-1"))
        await until_running(cluster, "healed", within_s=1)


async def boot_ids(cluster: SimulatedCluster) -> dict[str, str]:
    trees = [await cluster.tree(NODES, name) for name in FLEET]
    return {t["metadata"]["name"]: t["status"]["nodeInfo"]["bootID"] for t in trees}


async def restarts(cluster: SimulatedCluster) -> dict[str, int]:
    return {
        p.spec.node_name: p.status.container_statuses[0]["restartCount"]
        for p in await cluster.pods()
    }


@virtual
async def test_a_node_that_crashed_is_dead_until_the_fault_is_undone() -> None:
    async with a_fleet() as cluster:
        before = await boot_ids(cluster)
        cluster.fleets["agent-0"].hurt([fault(effects.Crash(), "node-1")])
        await until_not_ready(cluster, "node-1")
        assert await ready(cluster) == ["node-0", "node-2"]
        cluster.fleets["agent-0"].hurt([])
        await cluster.until_ready(*FLEET, within_s=15)
        await cluster.until_rolled_out("agent")
        # It was the agent's process that died: machine and containers are the same.
        assert await boot_ids(cluster) == before
        assert set((await restarts(cluster)).values()) == {0}


@virtual
async def test_a_node_that_is_rebooted_has_another_boot_id_and_new_containers() -> None:
    async with a_fleet() as cluster:
        before = await boot_ids(cluster)
        cluster.fleets["agent-0"].hurt([fault(effects.Reboot(), "node-1")])
        await cluster.clock.sleep(10)
        cluster.fleets["agent-0"].hurt([])  # it is over: nothing changes
        await cluster.clock.sleep(10)
        after = await boot_ids(cluster)
        assert [name for name in FLEET if before[name] != after[name]] == ["node-1"]
        assert await restarts(cluster) == {"node-0": 0, "node-1": 1, "node-2": 0}
        await cluster.until_rolled_out("agent")
        assert len(await cluster.events("Rebooted")) == 1


@virtual
async def test_a_restart_that_is_rolling_takes_one_node_after_the_other() -> None:
    async with a_fleet() as cluster:
        restart = fault(effects.Restart(rolling=True), *FLEET)
        cluster.fleets["agent-0"].hurt([restart])
        cluster.fleets["agent-0"].hurt([restart])  # told again: it was carried out
        await cluster.clock.sleep(30)
        starts = [event["involvedObject"]["name"] for event in await cluster.events("Starting")]
        assert sorted(starts) == sorted(2 * FLEET)
        assert await ready(cluster) == list(FLEET)
        await cluster.until_rolled_out("agent")


@virtual
async def test_a_frozen_node_does_nothing_and_goes_on_where_it_was() -> None:
    async with a_fleet() as cluster:
        await cluster.admin.create(
            PODS, pod_tree("job", "node-1", annotations={"kubeherd.io/run-for-seconds": "20"})
        )
        await until_running(cluster, "job")
        cluster.fleets["agent-0"].hurt([fault(effects.Freeze(), "node-1")])
        await cluster.admin.create(PODS, pod_tree("unheard", "node-1"))
        await until_not_ready(cluster, "node-1")
        assert await ready(cluster) == ["node-0", "node-2"]
        assert (await pod(cluster, "unheard")).status.phase == "Pending"
        assert (await pod(cluster, "job")).status.phase == "Running"
        assert not [e for e in await cluster.events("BackOff") if "job" in e["message"]]
        cluster.fleets["agent-0"].hurt([])
        await cluster.until_ready(*FLEET, within_s=15)
        await until_running(cluster, "unheard", within_s=5)
        await cluster.until_rolled_out("agent")


@virtual
async def test_faults_of_several_nodes_come_and_go_one_by_one() -> None:
    async with a_fleet() as cluster:
        crash = fault(effects.Crash(), "node-0", id="crash")
        cut = fault(effects.Partition(), "node-0", "node-1", id="cut")

        async def told(faults: Sequence[Fault], wanted: list[str]) -> None:
            cluster.fleets["agent-0"].hurt(faults)
            await cluster.clock.sleep(70)
            assert await ready(cluster) == wanted

        await told([crash, cut], ["node-2"])
        await told([cut], ["node-2"])  # alive again, and cut off from the beginning
        await told([crash], ["node-1", "node-2"])
        await told([], list(FLEET))
        await cluster.until_rolled_out("agent")
