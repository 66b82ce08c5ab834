"""What is wrong with a node, as values (agents/faults)."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from kubelet_pods import NODE, Driver, container, pod
from msgspec.structs import replace

from kubeherd.agents.faults import nodefaults, pods
from kubeherd.agents.faults.casualty import Heartbeats
from kubeherd.agents.faults.network import MAX_LATE, HurtTransport, Late, delay_s
from kubeherd.agents.faults.nodefaults import UNHURT, Cut, Loss, NodeFaults
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.cluster.api.objects import Node, ObjectMeta, Pod
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Component, Fault, FaultError, Nodes, effects
from kubeherd.faults.effects import Direction, Effect, PodEffect
from kubeherd.simulation import virtualtime
from kubeherd.simulation.transport import Request, StubTransport
from kubeherd.simulation.virtualtime import VirtualClock


def faults_of(*hurts: Effect, now_s: float = 0.0) -> NodeFaults:
    faults = [Fault(id=f"f{n}", target=Nodes(("a", "b")), effect=e) for n, e in enumerate(hurts)]
    since_s = {fault.id: now_s for fault in faults}
    return nodefaults.of_nodes(faults, since_s, {"a"}).get("a", UNHURT)


def test_faults_of_one_node_add_up_and_others_are_not_hurt() -> None:
    found = faults_of(
        effects.HeartbeatDelay(delay_s=3),
        effects.HeartbeatDelay(delay_s=4),
        effects.HeartbeatLoss(probability=0.5),
        effects.Freeze(),
        effects.PodUnready(),
        effects.Reboot(),
    )
    assert found == NodeFaults(
        frozen=True, late_s=7, losses=(Loss("f2", 0.5),), pods=(effects.PodUnready(),)
    )
    assert faults_of(effects.Stop()).down
    assert faults_of() == UNHURT
    crash = Fault(id="c", target=Nodes(("a", "b")), effect=effects.Crash())
    assert nodefaults.of_nodes([crash], {"c": 0.0}, {"z"}) == {}


@pytest.mark.parametrize(
    ("target", "effect", "message"),
    [
        (Nodes(("a",)), effects.StoreFull(), "does not carry out store-full"),
        (Component("apiserver"), effects.Crash(), "does not carry out crash"),
        (Nodes(("a",)), effects.PodUnready(selector="a in"), "pod-unready: "),
    ],
)
def test_what_no_node_carries_out_is_refused(
    target: Nodes | Component, effect: Effect, message: str
) -> None:
    with pytest.raises(FaultError, match=message):
        nodefaults.check([Fault(id="f", target=target, effect=effect)])


def test_a_partition_that_flaps_cuts_at_the_beginning_of_each_period() -> None:
    flapping = ((effects.Partition(period_s=10, share=0.3), 100.0),)
    assert nodefaults.cut(flapping, 100.0) == Cut(Direction.BOTH, 103.0)
    assert nodefaults.cut(flapping, 102.9) == Cut(Direction.BOTH, 103.0)
    assert nodefaults.cut(flapping, 103.0 - 1e-9) == Cut(None, 110.0)  # a timer may be early
    assert nodefaults.cut(flapping, 125.0) == Cut(None, 130.0)
    assert nodefaults.cut((), 0.0) == Cut(None, None)


def test_partitions_of_both_directions_are_one_of_both() -> None:
    requests, answers = (
        (effects.Partition(direction=one), 0.0) for one in (Direction.REQUESTS, Direction.ANSWERS)
    )
    assert nodefaults.cut((answers,), 5.0) == Cut(Direction.ANSWERS, None)
    assert nodefaults.cut((answers, requests), 5.0) == Cut(Direction.BOTH, None)


def test_a_clock_is_ahead_by_offset_and_drift() -> None:
    skews = ((effects.ClockSkew(offset_s=-60), 0.0), (effects.ClockSkew(drift=0.1), 100.0))
    assert nodefaults.ahead(skews, 200.0) == (-50.0, 0.1)


def test_heartbeats_are_left_out_by_chance_and_late_until_the_fault_is_over() -> None:
    async def main(clock: VirtualClock) -> None:
        loss = Heartbeats(faults_of(effects.HeartbeatLoss(probability=0.3)), clock, Rng(1))
        left_out = [await loss() for _ in range(1000)]
        assert 250 <= sum(left_out) <= 350
        assert clock.monotonic_s() == 0
        two = faults_of(*[effects.HeartbeatLoss(probability=0.3)] * 2)
        more = Heartbeats(two, clock, Rng(1))
        also = [await more() for _ in range(1000)]
        assert sum(also) > sum(left_out)
        assert all(then for before, then in zip(left_out, also, strict=True) if before)
        late = Heartbeats(faults_of(effects.HeartbeatDelay(delay_s=20)), clock, Rng(1))
        assert not await late()
        assert clock.monotonic_s() == 20
        waiting = asyncio.create_task(late())
        await clock.sleep(5)
        late.over.set()
        assert not await waiting
        assert clock.monotonic_s() == 25

    virtualtime.run_with_clock(main)


# --- pods, by the pod machine ---


def driver_of(pod: Pod, *hurts: PodEffect, images: tuple[str, ...] = ()) -> Driver:
    return Driver(pod, node=replace(NODE, hurt=pods.hurting(hurts, images)))


def test_a_container_that_ends_sooner_by_itself_does_not_crash() -> None:
    job = pod(annotations={"run-for-seconds": "5"}, restartPolicy="Never")
    for after_s, code in ((10.0, 0), (3.0, 7)):
        driver = driver_of(job, effects.PodCrash(after_s=after_s, exit_code=7))
        driver.until(20)
        assert driver.state()["terminated"]["exitCode"] == code


def test_init_containers_do_not_crash_but_what_waits_for_them_does() -> None:
    driver = driver_of(pod(init=[container("first")], restartPolicy="Never"), effects.PodCrash())
    driver.until(20)
    first = driver.status["initContainerStatuses"][0]["state"]["terminated"]
    assert first["exitCode"] == 0
    assert driver.state()["terminated"]["exitCode"] == 1


def test_an_image_on_the_node_is_pulled_only_if_it_always_is() -> None:
    for policy, state in (("IfNotPresent", "running"), ("Always", "waiting")):
        web = pod(container(imagePullPolicy=policy))
        driver = driver_of(web, effects.PodPullFailure(), images=("nginx:1.27",))
        assert list(driver.state()) == [state]
    assert driver.state()["waiting"]["reason"] == "ErrImagePull"


def test_a_pod_without_a_running_container_is_stuck_as_well() -> None:
    driver = driver_of(
        pod(annotations={"pull-error": "no"}, deleted_grace_s=30), effects.PodStuckTerminating()
    )
    assert not driver.until(1000).delete
    driver.node = NODE
    assert driver.until(1001).delete


# --- the network ---


class Echo(StubTransport):
    """Answers at once, and counts."""

    def __init__(self) -> None:
        self.requests = 0

    async def answer(self, request: Request) -> TransportResponse:
        self.requests += 1
        return TransportResponse(200, request.body)


def test_what_is_cut_off_hangs_until_its_timeout_or_the_end_of_the_cut() -> None:
    async def main(clock: VirtualClock) -> None:
        echo = Echo()
        hurt = HurtTransport(echo, clock, Rng(1))
        arrived: Mapping[Direction, int] = {
            Direction.BOTH: 0, Direction.REQUESTS: 0, Direction.ANSWERS: 1,
        }  # fmt: skip
        for direction, count in arrived.items():
            echo.requests = 0
            hurt.hurt(direction, ())
            began_s = clock.monotonic_s()
            with pytest.raises(TransportError, match="PUT /x: no answer within 30 s"):
                await hurt.request("PUT", "/x", timeout_s=30)
            assert clock.monotonic_s() - began_s == 30
            assert echo.requests == count
        waiting = asyncio.create_task(hurt.request("GET", "/x", timeout_s=30))
        await clock.sleep(3)
        hurt.hurt(None, ())
        with pytest.raises(TransportError, match="connection reset"):
            await waiting
        assert clock.monotonic_s() == 93
        assert (await hurt.request("GET", "/x")).status == 200

    virtualtime.run_with_clock(main)


def test_messages_take_latency_and_bandwidth_each_way() -> None:
    slow = (
        effects.SlowNetwork(latency_s=0.5),
        effects.SlowNetwork(latency_s=0.25, bandwidth_bytes_per_s=100),
    )
    assert delay_s(slow, 50, Rng(1)) == 1.25

    async def main(clock: VirtualClock) -> None:
        hurt = HurtTransport(Echo(), clock, Rng(1))
        hurt.hurt(None, slow)
        await hurt.request("PUT", "/x", body=b"x" * 50)
        assert clock.monotonic_s() == 2.5
        with pytest.raises(TransportError, match="no answer within 1 s"):
            await hurt.request("PUT", "/x", body=b"x" * 50, timeout_s=1)

    virtualtime.run_with_clock(main)


class Heard:
    """A listener that notes the names of changed pods, and when."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.names: list[tuple[float, str]] = []

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        assert old is None
        assert new is not None
        self.names.append((self.clock.monotonic_s(), new.metadata.name))

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        assert new is not None
        self.names.append((self.clock.monotonic_s(), new.metadata.name))

    def relisted(self, node: Node | None, pods: Sequence[Pod]) -> None:
        self.names.append((self.clock.monotonic_s(), f"{len(pods)} pods"))


def named(name: str) -> Pod:
    return Pod(metadata=ObjectMeta(name=name))


def test_late_changes_come_in_order_and_too_many_come_sooner() -> None:
    async def main(clock: VirtualClock) -> None:
        timers, takes_s = Timers(clock), iter([5.0, 1.0, 2.0, *[9.0] * (MAX_LATE + 1)])
        running = asyncio.create_task(timers.run())
        heard = Heard(clock)
        late = Late(heard, key="k", takes_s=lambda: next(takes_s), timers=timers, clock=clock)
        late.relisted(None, [named("known")])
        late.pod_changed(None, named("first"))
        await clock.sleep(1)
        late.node_changed(None, Node(metadata=ObjectMeta(name="second")))
        await clock.sleep(3.5)
        late.pod_changed(None, named("third"))
        await clock.sleep(10)
        assert heard.names == [(0, "1 pods"), (5, "first"), (5, "second"), (6.5, "third")]
        heard.names.clear()
        for number in range(MAX_LATE + 1):
            late.pod_changed(None, named(str(number)))
        assert heard.names == [(14.5, "0")]
        running.cancel()

    virtualtime.run_with_clock(main)


def test_jitter_is_around_the_latency_and_never_negative() -> None:
    slow = (effects.SlowNetwork(latency_s=0.1, jitter_s=0.3),)
    drawn = [delay_s(slow, 0, Rng(seed)) for seed in range(200)]
    assert min(drawn) == 0
    assert 0.3 < max(drawn) <= 0.4
