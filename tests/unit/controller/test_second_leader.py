"""A leader that goes on although its lease is another's (controller/faults.py)."""

import asyncio

import pytest
from structlog.testing import capture_logs

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller import faults
from kubeherd.controller.leader import Election, LeaderElector
from kubeherd.faults import Component, Fault, FaultError, effects
from kubeherd.simulation.cluster import ADMIN, SimulatedCluster, simulated
from kubeherd.simulation.virtualtime import virtual

TWO = Fault(id="two", target=Component("controller-manager"), effect=effects.TwoLeaders())


def candidate(cluster: SimulatedCluster, name: str) -> LeaderElector:
    client = cluster.client(name, ADMIN)
    election = Election(name="mine")
    return LeaderElector(client, cluster.clock, Rng(1), identity=name, election=election)


@virtual
async def test_it_lets_the_lease_expire_and_acts_until_the_fault_is_undone() -> None:
    async with simulated() as cluster:
        first, second = candidate(cluster, "first"), candidate(cluster, "second")
        await first.acquire()
        acting = asyncio.create_task(first.hold())
        await cluster.clock.sleep(30)
        with capture_logs() as logs:
            faults.begin(first, [TWO])
            faults.begin(first, [TWO])  # told again
            began_s = cluster.now_s
            await second.acquire()
            await cluster.clock.sleep(60)
        assert 13 <= cluster.now_s - 60 - began_s <= 25
        assert not acting.done()
        assert [line["event"] for line in logs].count("acting_without_lease") == 1
        faults.begin(first, [])
        await acting
        with pytest.raises(TimeoutError):  # it competes again, and the other one leads
            await cluster.clock.wait_for(first.acquire(), 1)


@virtual
async def test_what_no_controller_manager_carries_out_is_refused() -> None:
    async with simulated() as cluster:
        crash = Fault(id="c", target=Component("controller-manager"), effect=effects.Crash())
        with pytest.raises(FaultError, match="does not carry out crash"):
            faults.begin(candidate(cluster, "first"), [TWO, crash])
        with pytest.raises(FaultError, match="without a lease"):
            faults.begin(None, [TWO])
        faults.begin(None, [])
