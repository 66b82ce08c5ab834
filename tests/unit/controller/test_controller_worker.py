"""The reconcile loop: retries with back-off, one line of log for one trouble."""

import asyncio
from collections import Counter
from contextlib import suppress

from daemonset_world import EPOCH
from structlog.testing import capture_logs

from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock


def logged_in_a_minute(troubles: list[Exception], keys: list[str]) -> list[tuple[str, str]]:
    """(event, key) while every reconcile of every key first raises each of `troubles`."""

    async def main() -> list[tuple[str, str]]:
        clock = VirtualClock(EPOCH)
        queue: WorkQueue[str] = WorkQueue(clock, Rng(1))
        tried: Counter[str] = Counter()

        async def reconcile(key: str) -> None:
            tried[key] += 1
            if tried[key] <= len(troubles):
                raise troubles[tried[key] - 1]

        for key in keys:
            queue.add(key)
        with capture_logs() as logs, suppress(TimeoutError):
            async with asyncio.timeout(60):
                await run_workers(queue, reconcile, controller="test")
        assert all(tried[key] == len(troubles) + 1 for key in keys)
        return [(entry["event"], entry.get("key", "")) for entry in logs]

    return virtualtime.run(main())


def test_that_the_server_is_away_is_said_by_the_client() -> None:
    assert logged_in_a_minute([TransportError("refused")] * 8, ["a", "b", "c"]) == []


def test_a_key_that_fails_is_one_line_until_it_works() -> None:
    logged = logged_in_a_minute([ReconcileError("no room")] * 8, ["a", "b"])
    assert sorted(logged) == [
        ("reconcile_failed", "a"),
        ("reconcile_failed", "b"),
        ("reconcile_recovered", "a"),
        ("reconcile_recovered", "b"),
    ]


def test_a_surprise_is_logged_every_time_and_tried_again() -> None:
    logged = logged_in_a_minute([ValueError("a bug")] * 3, ["a"])
    assert logged == [("reconcile_crashed", "a")] * 3
