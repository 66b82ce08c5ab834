"""Faults of the private group poll: each part is hit as if it had been asked alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from apicluster import Cluster, api_cluster, config_map
from patience import PATIENCE_S

from kubeherd.cluster.api.private import grouppoll
from kubeherd.cluster.api.private.grouppoll import GroupAnswer, GroupPoll, Part
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, Dropped
from kubeherd.faults import Clients, Effect, Fault, effects
from kubeherd.faults.effects import Moment

CMS = "/api/v1/configmaps"
DEFAULT_CMS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/secrets"
ONLY_CMS = ("configmaps",)


@pytest.fixture
async def fast() -> AsyncIterator[Cluster]:
    async with api_cluster(speed=100) as running_cluster:
        yield running_cluster


def hurt(cluster: Cluster, *faults: Effect) -> None:
    target = Clients(user_agent="tester*")
    cluster.api.hurt(
        [Fault(id=f"f{n}", target=target, effect=effect) for n, effect in enumerate(faults)]
    )


async def poll(cluster: Cluster, *parts: Part, timeout_s: int = 0) -> GroupAnswer | Dropped:
    body = grouppoll.encode(GroupPoll(timeout_s, list(parts)))
    async with asyncio.timeout(PATIENCE_S):
        response = await cluster.raw("POST", grouppoll.PATH, body)
    if isinstance(response, Dropped):
        return response
    assert isinstance(response, ApiResponse)
    return grouppoll.decode_answer(response.body)


def since(cluster: Cluster, path: str) -> Part:
    return Part(path, {"resourceVersion": str(cluster.store.revision)})


def trees(answer: GroupAnswer | Dropped) -> dict[int, Any]:
    assert isinstance(answer, GroupAnswer)
    return {one.index: msgspec.msgpack.decode(one.body) for one in answer.answers}


async def create(cluster: Cluster, name: str) -> None:
    for collection in (DEFAULT_CMS, "/api/v1/namespaces/default/secrets"):
        await cluster.post(collection, config_map(name) | {"data": {}}, user_agent="other/1")


async def test_a_stalled_part_is_told_nothing_not_even_that_nothing_happened(
    cluster: Cluster,
) -> None:
    parts = [since(cluster, CMS), since(cluster, SECRETS)]
    hurt(cluster, effects.WatchStall(resources=ONLY_CMS))
    await create(cluster, "new")
    answer = await poll(cluster, *parts, timeout_s=30)
    assert isinstance(answer, GroupAnswer)
    assert answer.revision == 0
    ((index, tree),) = trees(answer).items()
    assert (index, len(tree["events"])) == (1, 1)
    hurt(cluster)
    assert set(trees(await poll(cluster, *parts))) == {0, 1}


@pytest.mark.parametrize("others", [[], [SECRETS]])
async def test_a_stalled_poll_is_answered_when_its_fault_is_over(
    cluster: Cluster, others: list[str]
) -> None:
    parts = [since(cluster, path) for path in [CMS, *others]]
    hurt(cluster, effects.WatchStall(resources=ONLY_CMS))
    assert await poll(cluster, parts[0]) == GroupAnswer(0, [])
    asked = asyncio.ensure_future(poll(cluster, *parts, timeout_s=30))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not asked.done()
    hurt(cluster)
    assert await asked == GroupAnswer(0, [])


async def test_a_poll_that_waits_when_a_fault_begins_comes_again(cluster: Cluster) -> None:
    parts = [since(cluster, CMS), since(cluster, SECRETS)]
    asked = asyncio.ensure_future(poll(cluster, *parts, timeout_s=30))
    for _ in range(50):
        await asyncio.sleep(0)
    hurt(cluster, effects.WatchStall(resources=ONLY_CMS))
    assert await asked == GroupAnswer(cluster.store.revision, [])


async def test_parts_expire_repeat_and_drop(fast: Cluster) -> None:
    await create(fast, "old")
    parts = [Part(CMS, {"limit": "5"}), since(fast, CMS), since(fast, SECRETS)]
    hurt(fast, effects.Expire(resources=ONLY_CMS))
    ((index, status),) = trees(await poll(fast, *parts)).items()
    assert (index, status["code"], status["reason"]) == (1, 410, "Expired")
    hurt(fast, effects.WatchRepeat(events=1, resources=ONLY_CMS))
    found = trees(await poll(fast, *parts[1:], timeout_s=30))
    ((index, again),) = found.items()
    assert (index, again["events"][0]["object"]["metadata"]["name"]) == (0, "old")
    assert trees(await poll(fast, *parts[1:])) == {}
    hurt(fast, effects.WatchEnd(after_s=5))
    assert await poll(fast, *parts[1:], timeout_s=30) == GroupAnswer(0, [])
    hurt(fast, effects.ApiDrop(moment=Moment.BEFORE, verbs=("list",), resources=ONLY_CMS))
    assert isinstance(await poll(fast, *parts), Dropped)
    assert isinstance(await poll(fast, parts[1]), GroupAnswer)
    hurt(fast, effects.ApiError(code=503, verbs=("list",)))
    assert trees(await poll(fast, *parts))[0]["code"] == 503


async def test_parts_are_late_together_not_one_after_the_other(fast: Cluster) -> None:
    hurt(fast, effects.ApiDelay(latency_s=20))
    began_s = fast.clock.monotonic_s()
    answer = await poll(fast, *[Part(CMS, {"limit": "5"})] * 50, timeout_s=30)
    assert len(trees(answer)) == 50
    assert 20 <= fast.clock.monotonic_s() - began_s < 200


@pytest.mark.parametrize("effect", [effects.WatchRepeat(), effects.WatchStall(), effects.Expire()])
async def test_a_part_that_nobody_serves_is_refused_as_ever(
    cluster: Cluster, effect: Effect
) -> None:
    hurt(cluster, effect)
    nowhere = Part("/apis/no.such/v1/things", {"resourceVersion": "5"})
    answer = await poll(cluster, nowhere)
    assert isinstance(answer, GroupAnswer)
    assert [one.status for one in answer.answers] == [404]


async def test_a_group_poll_that_is_none_is_refused_by_the_server(cluster: Cluster) -> None:
    hurt(cluster, effects.Expire())
    assert (await cluster.call("POST", grouppoll.PATH, b"nonsense")).status == 400
