"""Warnings that strangers can cause."""

import structlog

from kubeherd.cluster.runtime.seldom import Seldom
from kubeherd.simulation.virtualtime import VirtualClock, run_with_clock


def test_a_burst_is_one_line_and_the_next_says_how_many_were_left_out() -> None:
    async def main(clock: VirtualClock) -> None:
        refused = Seldom("refused", clock, every_s=10)
        for number in range(5):
            refused.warn(number=number)
            await clock.sleep(1)
        await clock.sleep(10)
        refused.warn(number=5)
        refused.warn(number=6)

    with structlog.testing.capture_logs() as logs:
        run_with_clock(main)
    assert logs == [
        {"event": "refused", "log_level": "warning", "left_out": 0, "number": 0},
        {"event": "refused", "log_level": "warning", "left_out": 4, "number": 5},
    ]
