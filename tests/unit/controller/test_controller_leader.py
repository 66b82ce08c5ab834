"""Leader election: one acts, others wait, a dead one is succeeded (controller/leader.py)."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from daemonset_world import EPOCH
from scripted_transport import Answer, ScriptedTransport
from structlog.testing import capture_logs

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import LEASES
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.runtime import identity
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.leader import KUBE_CONTROLLER_MANAGER, LeaderElector
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock


class LeaseServer:
    """One Lease with optimistic concurrency."""

    def __init__(self) -> None:
        self.lease: JsonObject | None = None
        self.revision = 0
        self.down = False

    def __call__(self, method: str, path: str, body: JsonObject) -> Answer:
        if self.down:
            return errors.ServiceUnavailable("down")
        if method == "GET":
            return self.lease or errors.not_found(LEASES, "kube-controller-manager")
        known = (self.lease or {"metadata": {}})["metadata"].get("resourceVersion")
        if method == "POST" and self.lease is not None:
            return errors.already_exists(LEASES, "x")
        if body["metadata"].get("resourceVersion") != known:
            return errors.conflict(LEASES, "x", errors.MODIFIED)
        self.revision += 1
        metadata = {**body["metadata"], "resourceVersion": str(self.revision)}
        self.lease = {**body, "metadata": metadata}
        return self.lease

    @property
    def holder(self) -> str:
        return str((self.lease or {"spec": {}})["spec"].get("holderIdentity", ""))


T = TypeVar("T")


class StepClock(LoopClock):
    """Time passes only by sleeping, and sleeping takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic_s(self) -> float:
        return self.time_s

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.time_s)

    def age_s(self, timestamp: object) -> float:
        raise NotImplementedError

    async def sleep(self, duration_s: float) -> None:
        self.time_s += duration_s
        assert self.time_s < 1000, "it goes on for ever"
        self.on_sleep()
        await asyncio.sleep(0)

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        task = asyncio.ensure_future(awaitable)
        for _ in range(10):
            await asyncio.sleep(0)
        if task.done():
            return task.result()
        task.cancel()
        await self.sleep(timeout_s)
        raise TimeoutError


def elector(
    server: LeaseServer,
    clock: StepClock,
    name: str,
    *,
    dead: tuple[str, ...] = (),
    alive: tuple[str, ...] = (),
) -> LeaderElector:
    client = ApiClient(ScriptedTransport(server), clock, private_features=False)
    return LeaderElector(
        client,
        clock,
        Rng(1),
        identity=name,
        is_dead=dead.__contains__,
        is_alive=alive.__contains__,
    )


def leads(candidate: LeaderElector) -> float:
    """What its metric says."""
    (family,) = candidate.families()
    assert family.name == "leader_election_master_status"
    ((labels, value),) = family.samples
    assert labels == ("kube-controller-manager",)
    assert isinstance(value, int | float)
    return float(value)


async def test_the_first_one_leads_at_once() -> None:
    server, clock = LeaseServer(), StepClock()
    await elector(server, clock, "a").acquire()
    assert server.holder == "a"
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 0
    assert clock.time_s == 0


async def test_a_second_one_waits_until_the_lease_has_not_changed_for_its_duration() -> None:
    server, clock = LeaseServer(), StepClock()
    await elector(server, clock, "a").acquire()
    await elector(server, clock, "b").acquire()
    assert clock.time_s >= KUBE_CONTROLLER_MANAGER.duration_s
    assert server.holder == "b"
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


async def test_a_released_lease_is_free_at_once() -> None:
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    await first.acquire()
    await first.release()
    await elector(server, clock, "b").acquire()
    assert clock.time_s == 0


async def test_a_dead_holder_is_succeeded_at_once() -> None:
    server, clock = LeaseServer(), StepClock()
    await elector(server, clock, "a").acquire()
    await elector(server, clock, "b", dead=("a",)).acquire()
    assert clock.time_s == 0


async def test_hold_ends_when_another_one_has_the_lease() -> None:
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    await first.acquire()
    await elector(server, clock, "b", dead=("a",)).acquire()
    await first.hold()
    assert server.holder == "b"
    assert clock.time_s < KUBE_CONTROLLER_MANAGER.duration_s


async def test_hold_ends_before_the_lease_expires_when_it_cannot_be_renewed() -> None:
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    await first.acquire()
    server.down = True
    await first.hold()
    assert 10 <= clock.time_s < KUBE_CONTROLLER_MANAGER.duration_s


@pytest.mark.parametrize("answer_s", [0.0, 3.7, 5.9, 100.0])
@pytest.mark.parametrize("down_at_s", [1.0, 2.5, 9.0])
def test_hold_never_outlasts_the_lease_however_slowly_the_server_fails(
    down_at_s: float, answer_s: float
) -> None:
    """From the last renewal that the server may have seen: that is what others wait 15 s from."""

    async def held_s() -> float:
        server, clock = LeaseServer(), VirtualClock(EPOCH)
        transport = ScriptedTransport(server)
        client = ApiClient(transport, clock, private_features=False)
        first = LeaderElector(client, clock, Rng(1), identity="a")
        await first.acquire()
        request, renewed_s = transport.request, [clock.monotonic_s()]

        async def slow(method: str, path: str, **options: Any) -> TransportResponse:
            if clock.monotonic_s() < down_at_s:
                renewed_s.append(clock.monotonic_s())
                return await request(method, path, **options)
            await clock.sleep(answer_s)
            raise TransportError("down")

        transport.request = slow  # type: ignore[method-assign]
        await first.hold()
        return clock.monotonic_s() - renewed_s[-1]

    assert 10 <= virtualtime.run(held_s()) <= KUBE_CONTROLLER_MANAGER.duration_s


def test_a_lost_server_is_logged_once() -> None:
    async def logged() -> list[str]:
        server, clock = LeaseServer(), VirtualClock(EPOCH)
        server.down = True
        client = ApiClient(ScriptedTransport(server), clock, private_features=False)
        first = LeaderElector(client, clock, Rng(1), identity="a")
        with capture_logs() as logs, suppress(TimeoutError):
            await clock.wait_for(first.acquire(), 60)
        server.down = False
        with capture_logs() as later:
            await first.acquire()
        return [entry["event"] for entry in [*logs, *later]]

    assert virtualtime.run(logged()) == ["lease_unreachable", "lease_reachable", "leading"]


async def test_hold_survives_a_short_outage() -> None:
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    await first.acquire()

    def outage() -> None:
        server.down = 4 < clock.time_s < 9
        if clock.time_s > 30:
            raise asyncio.CancelledError

    clock.on_sleep = outage
    task = asyncio.ensure_future(first.hold())
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled(), "it was still holding after 30 s"


async def test_hold_ends_after_a_freeze() -> None:
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    await first.acquire()
    clock.time_s += 60
    await first.hold()
    assert server.revision == 1, "it did not even try to renew"


async def test_the_term_in_force_is_the_last_one_until_the_next_election() -> None:
    """What still writes for a lost lease must be refused, not let through."""
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    assert first.fence.header == ""
    await first.acquire()
    assert first.fence.header == "kube-system/kube-controller-manager/a/0"
    second = elector(server, clock, "b", dead=("a",))
    await second.acquire()
    assert second.fence.header == "kube-system/kube-controller-manager/b/1"
    await first.hold()
    assert first.fence.header == "kube-system/kube-controller-manager/a/0"
    again = asyncio.ensure_future(first.acquire())
    await asyncio.sleep(0)
    assert first.fence.header == ""
    again.cancel()


async def test_a_refused_write_ends_the_term_at_once() -> None:
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    await first.acquire()
    first.fence.refuse(first.fence.header)
    await first.hold()
    assert clock.time_s == 0
    await first.acquire()
    assert not first.fence.refused.is_set()


@pytest.mark.parametrize("change", ["deleted", "led by another meanwhile"])
async def test_a_lease_that_is_won_back_while_it_is_held_begins_a_new_term(change: str) -> None:
    """Others may have led in between: the controllers must begin anew, on new caches."""
    server, clock = LeaseServer(), StepClock()
    await elector(server, clock, "z").acquire()
    first = elector(server, clock, "a", dead=("z", "b"))
    await first.acquire()

    def happens() -> None:
        clock.on_sleep = lambda: None
        if change == "deleted":
            server.lease = None
            return
        assert server.lease is not None
        spec = {**server.lease["spec"], "holderIdentity": "b", "leaseTransitions": 2}
        server.lease = {**server.lease, "spec": spec}
        server.lease["metadata"]["resourceVersion"] = "77"

    clock.on_sleep = happens
    await first.hold()
    assert clock.time_s < 10
    assert server.holder == "a"


async def test_a_lost_race_is_looked_at_again_at_once() -> None:
    server, clock = LeaseServer(), StepClock()

    def overtaken(method: str, path: str, body: JsonObject) -> Answer:
        if method == "POST" and server.lease is None:
            server(method, path, {**body, "spec": {**body["spec"], "holderIdentity": "a"}})
        return server(method, path, body)

    client = ApiClient(ScriptedTransport(overtaken), clock, private_features=False)
    second = LeaderElector(client, clock, Rng(1), identity="b", is_alive="a".__eq__)
    told: list[float] = []
    await second.acquire(lambda: told.append(clock.time_s))
    assert told == [0], "it did not see who leads before it waited"


async def test_who_waits_for_a_leader_that_lives_stands_by() -> None:
    server, clock = LeaseServer(), StepClock()
    await elector(server, clock, "a").acquire()
    told: list[float] = []
    unknown = elector(server, clock, "b")
    await unknown.acquire(lambda: told.append(clock.time_s))
    assert told == [], "nobody knows whether it lives"
    third = elector(server, clock, "c", alive=("b",))
    await third.acquire(lambda: told.append(clock.time_s))
    assert len(told) == 1


async def test_the_metric_and_the_events_say_who_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    server, clock = LeaseServer(), StepClock()
    first = elector(server, clock, "a")
    events: list[str] = []

    def noted(lease, *words, **_):
        events.append(" ".join((lease.name, *words)))

    monkeypatch.setattr(first.events, "event", noted)
    assert leads(first) == 0
    await first.acquire()
    assert leads(first) == 1
    await elector(server, clock, "b", dead=("a",)).acquire()
    await first.hold()
    again = asyncio.ensure_future(first.acquire())
    await asyncio.sleep(0)
    assert leads(first) == 0
    again.cancel()
    assert events == [
        "kube-controller-manager Normal LeaderElection a became leader",
        "kube-controller-manager Normal LeaderElection a stopped leading",
    ]


def test_the_identity_of_a_living_process() -> None:
    own = identity.own_identity()
    assert identity.is_alive(own)
    assert not identity.is_dead(own)
    process = identity.process_of(own)
    assert process is not None
    assert process[0] == os.getpid()


@pytest.mark.parametrize("other", ["another-host_abc-1-2", "", "x", "a_b-c-d"])
def test_nothing_is_said_of_who_is_not_known(other: str) -> None:
    assert not identity.is_dead(other)
    assert not identity.is_alive(other)
    assert identity.process_of(other) is None


def test_the_identity_of_an_ended_process_is_dead() -> None:
    head, _, _ = identity.own_identity().rpartition("-")
    assert identity.is_dead(f"{head}-1")
    assert not identity.is_alive(f"{head}-1")
