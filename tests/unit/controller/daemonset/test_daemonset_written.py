"""Own writes are waited for, and forgotten only when an expectation of Kubernetes would expire."""

from daemonset_world import EPOCH
from scripted_transport import ScriptedTransport

from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.listwatch import ListWatch
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.workload.written import EXPECTATIONS_TIMEOUT_S, Written
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock


def bench() -> tuple[VirtualClock, Reflector[Pod], Written]:
    clock = VirtualClock(EPOCH)
    client = ApiClient(ScriptedTransport(lambda *_: {}), clock, private_features=False)
    pods = Reflector(client, ListWatch(PODS, Pod), clock=clock, rng=Rng(1))
    return clock, pods, Written(clock)


def test_a_write_that_is_seen_is_waited_for_no_more() -> None:
    async def main() -> float:
        clock, pods, written = bench()
        written.note(pods, "7")
        pods.revision = 7
        assert await written.settled(5)
        await written.wait_seen()
        return clock.monotonic_s()

    assert virtualtime.run(main()) == 0


def test_a_short_wait_that_is_over_forgets_nothing() -> None:
    """Otherwise the next sync would act on caches without the pods that the last one created."""

    async def main() -> float:
        clock, pods, written = bench()
        written.note(pods, "7")
        written.note(pods, "5")
        assert not await written.settled(5)
        assert not await written.settled(5)
        await written.wait_seen()
        return clock.monotonic_s()

    assert virtualtime.run(main()) == 10 + EXPECTATIONS_TIMEOUT_S


def test_an_expired_expectation_is_one_no_longer() -> None:
    async def main() -> float:
        clock, pods, written = bench()
        written.note(pods, "7")
        await written.wait_seen()
        await written.wait_seen()
        return clock.monotonic_s()

    assert virtualtime.run(main()) == EXPECTATIONS_TIMEOUT_S


def test_a_server_that_lost_its_past_is_not_waited_for() -> None:
    async def main() -> bool:
        _, pods, written = bench()
        pods.revision = 6
        written.note(pods, "7")
        pods.revision = 2
        return await written.settled(5)

    assert virtualtime.run(main())
