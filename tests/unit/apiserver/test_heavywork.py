"""Large requests are worked on beside the loop, and mean what they would mean on it."""

import asyncio
import gc
import threading
import weakref
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from apicluster import MERGE, Cluster, config_map

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.apiserver.write import heavywork
from kubeherd.cluster.apiserver.write.heavywork import LIGHT_BYTES, HeavyWork, at_once, pure
from kubeherd.cluster.runtime.rng import Rng

CMS = "/api/v1/namespaces/default/configmaps"
BIG = "v" * (LIGHT_BYTES + 1)


class Tree:
    """Something of which can be said whether it still exists."""


async def test_small_work_is_done_at_once() -> None:
    heavy = HeavyWork()
    assert await heavy.run(threading.get_ident, LIGHT_BYTES) == threading.get_ident()


async def test_large_work_lets_the_loop_go_on() -> None:
    heavy = HeavyWork()
    free = threading.Event()
    working = asyncio.create_task(heavy.run(lambda: free.wait(30), LIGHT_BYTES + 1))
    await asyncio.sleep(0)
    free.set()  # which the loop could not do if the work held it
    assert await working
    heavy.close()


async def test_errors_of_the_work_reach_the_request() -> None:
    heavy = HeavyWork(light_bytes=0)

    def refuse() -> None:
        raise errors.BadRequest("no")

    with pytest.raises(errors.BadRequest, match="no"):
        await heavy.run(refuse, 1)
    heavy.close()


async def test_what_was_refused_is_forgotten_without_the_collector() -> None:
    heavy = HeavyWork(light_bytes=0)
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    known: list[weakref.ref[Tree]] = []

    def refuse() -> None:
        tree = Tree()
        known.append(weakref.ref(tree, lambda _: loop.call_soon_threadsafe(gone.set)))
        raise errors.BadRequest("no")

    gc.disable()
    try:
        with suppress(errors.BadRequest):
            await heavy.run(refuse, 1)
        await asyncio.wait_for(gone.wait(), 10)
    finally:
        gc.enable()
        heavy.close()


async def test_too_many_large_requests_are_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heavywork, "MAX_WAITING", 2)
    heavy = HeavyWork(light_bytes=0)
    free = threading.Event()
    waiting = [asyncio.create_task(heavy.run(lambda: free.wait(30), 1)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(errors.TooManyRequests) as caught:
        await heavy.run(lambda: None, 1)
    assert caught.value.retry_after_s == 1
    free.set()
    await asyncio.gather(*waiting)
    assert await heavy.run(lambda: 7, 1) == 7  # the places are free again
    heavy.close()


async def test_a_client_that_goes_away_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavywork, "MAX_WAITING", 1)
    heavy = HeavyWork(light_bytes=0)
    free = threading.Event()
    left = threading.Event()

    def work() -> None:
        if free.wait(30):
            left.set()

    working = asyncio.create_task(heavy.run(work, 1))
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    with pytest.raises(errors.TooManyRequests):
        await heavy.run(lambda: None, 1)
    free.set()
    while True:
        try:
            assert await heavy.run(left.is_set, 1)
        except errors.TooManyRequests:
            await asyncio.sleep(0)
        else:
            break
    heavy.close()


def test_steps_carried_out_at_once_see_each_result() -> None:
    def steps() -> Any:
        first = yield from pure(lambda: 1)
        second = yield from pure(lambda: first + 1)
        return first, second

    assert at_once(steps()) == (1, 2)


class _Meddling(HeavyWork):
    """Lets another write in between the steps of a large one, so many times."""

    def __init__(self, cluster: Cluster, times: int) -> None:
        super().__init__()
        self._cluster = cluster
        self._times = times

    async def run(self, work: Any, size_bytes: int) -> Any:
        done = await super().run(work, size_bytes)
        if not self.is_light(size_bytes) and self._times > 0:
            self._times -= 1
            change = {"metadata": {"labels": {"times": str(self._times)}}}
            await self._cluster.patch(f"{CMS}/x", change, MERGE)
        return done


def _meddled(cluster: Cluster, times: int) -> Cluster:
    heavy = _Meddling(cluster, times)
    return replace(cluster, api=ApiServer(cluster.store, cluster.clock, Rng(2), heavy=heavy))


@pytest.mark.parametrize("times", [1, 2])
async def test_a_large_patch_begins_again_when_the_object_changed(
    cluster: Cluster, times: int
) -> None:
    await cluster.post(CMS, config_map("x", a="b"))
    meddled = _meddled(cluster, times)
    answer = await meddled.patch(f"{CMS}/x", {"data": {"big": BIG}}, MERGE)
    assert answer.status == 200
    assert answer.tree["metadata"]["labels"] == {"times": "0"}  # the other write is not lost
    assert answer.tree["data"] == {"a": "b", "big": BIG}


async def test_a_large_put_begins_again_with_what_was_sent(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("x", a="b"))
    answer = await _meddled(cluster, 2).put(f"{CMS}/x", config_map("x", big=BIG))
    assert answer.status == 200
    assert answer.tree["data"] == {"big": BIG}


async def test_a_large_put_of_a_stale_object_is_a_conflict(cluster: Cluster) -> None:
    created = (await cluster.post(CMS, config_map("x", a="b"))).tree
    created["data"] = {"big": BIG}
    answer = await _meddled(cluster, 2).put(f"{CMS}/x", created)
    assert answer.status == 409
    assert "big" not in (await cluster.get(f"{CMS}/x")).tree["data"]


async def test_an_object_that_never_rests_is_a_conflict(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("x", a="b"))
    answer = await _meddled(cluster, 1000).patch(f"{CMS}/x", {"data": {"big": BIG}}, MERGE)
    assert answer.status == 409


async def test_a_large_create_is_stored_once(cluster: Cluster) -> None:
    one, other = await asyncio.gather(
        cluster.post(CMS, config_map("y", big=BIG)), cluster.post(CMS, config_map("y", big=BIG))
    )
    assert sorted((one.status, other.status)) == [201, 409]
