"""Pacing: how soon a workload is planned again."""

import asyncio

import pytest

from kubeherd.controller.workload.pacing import Pacing
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock


def rest_s(planning_s: float, awaited: int = 0) -> float:
    """The pause after a plan that took so long."""

    async def main(clock: VirtualClock) -> float:
        pacing = Pacing(clock)
        started_s = clock.monotonic_s()
        await asyncio.sleep(planning_s)
        pacing.planned(started_s, awaited=awaited)
        return pacing.pause_s()

    return virtualtime.run_with_clock(main)


def test_a_plan_rests_four_times_as_long_as_it_took_and_half_a_second_at_most() -> None:
    assert rest_s(0.0) == 0.0
    assert rest_s(0.01) == pytest.approx(0.04)
    assert rest_s(1.0) == pytest.approx(0.5)


def test_who_awaits_many_pods_rests_longer_the_more_they_are() -> None:
    assert rest_s(0.0, awaited=1) == pytest.approx(0.0002)
    assert rest_s(0.0, awaited=100) == pytest.approx(0.02)
    assert rest_s(0.0, awaited=5000) == pytest.approx(0.1)
    assert rest_s(1.0, awaited=5000) == pytest.approx(0.5)
