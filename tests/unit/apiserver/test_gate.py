"""Faults of connections and requests, each against the server in this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import orjson
import pytest
from apicluster import BOB, NODE, Cluster, Watcher, api_cluster, config_map
from patience import PATIENCE_S

from kubeherd.cluster.api.private import batch, longpoll
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, Dropped, WatchResponse
from kubeherd.faults import Clients, Component, Effect, Fault, FaultError, Nodes, Target, effects
from kubeherd.faults.effects import Direction, Moment

T = TypeVar("T")
CMS = "/api/v1/namespaces/default/configmaps"
POLL = {"watch": "1", "poll": "1"}
SPEED = 100.0


@pytest.fixture
async def fast() -> AsyncIterator[Cluster]:
    async with api_cluster(speed=SPEED) as running_cluster:
        yield running_cluster


def fault(effect: Effect, target: Target | None = None, id_: str = "f1") -> Fault:
    return Fault(id=id_, target=target or Clients(), effect=effect)


async def soon(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


async def is_silent(task: "asyncio.Task[Any]") -> bool:
    """Whether nothing comes, although everybody had many turns."""
    for _ in range(50):
        await asyncio.sleep(0)
    return not task.done()


async def appears(cluster: Cluster, name: str) -> bool:
    """Whether a write is carried out, although nobody waits for its answer."""
    for _ in range(100):
        if (await cluster.get(f"{CMS}/{name}")).status == 200:
            return True
        await asyncio.sleep(0)
    return False


def started(awaitable: Any) -> "asyncio.Task[Any]":
    return asyncio.ensure_future(awaitable)


# --- what is there, and what is not ---


async def test_without_faults_nothing_stands_before_the_server(cluster: Cluster) -> None:
    direct = cluster.api.handle
    cluster.api.hurt([fault(effects.ApiError(code=503))])
    assert cluster.api.hurt_now
    assert cluster.api.handle != direct
    cluster.api.hurt([])
    assert not cluster.api.hurt_now
    assert cluster.api.handle == direct
    assert cluster.api.services.watches.on_open is None


async def test_what_a_server_cannot_do_is_refused_and_changes_nothing(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiError(code=503), id_="old")])
    wrong = fault(effects.HeartbeatLoss(), Nodes(("n1",)), "wrong")
    with pytest.raises(FaultError, match="does not carry out heartbeat-loss"):
        cluster.api.hurt([wrong, fault(effects.ApiError(code=500), id_="new")])
    assert (await cluster.get(CMS)).status == 503


async def test_only_those_whom_the_fault_names_are_hurt(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiError(code=503), Nodes(("n1",)))])
    assert (await cluster.get("/api/v1/nodes/n1", user=NODE)).status == 503
    assert (await cluster.get(CMS)).status == 200
    cluster.api.hurt([fault(effects.ApiError(code=503), Clients(user_agent="tester*"))])
    assert (await cluster.get(CMS)).status == 503
    assert (await cluster.get(CMS, user_agent="other/1")).status == 200


async def test_the_client_of_an_experiment_is_spared(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiError(code=503))])
    assert (await cluster.get(CMS, user_agent="kubeherd-chaos/1")).status == 200
    assert (await cluster.get(CMS, user=BOB, user_agent="kubeherd-chaos/1")).status == 503


# --- single requests ---


async def test_an_error_is_a_whole_status_and_says_when_to_come_back(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiError(code=429, retry_after_s=3, verbs=("create",)))])
    answer = await cluster.post(CMS, config_map())
    assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
    assert (answer.tree["kind"], answer.tree["reason"]) == ("Status", "TooManyRequests")
    assert answer.tree["details"] == {"retryAfterSeconds": 3}
    assert answer.message == "refused by the fault f1"
    assert (await cluster.get(f"{CMS}/x")).status == 404  # it was not carried out
    cluster.api.hurt([fault(effects.ApiError(code=418))])
    answer = await cluster.get(CMS)
    assert (answer.status, answer.tree["code"], "reason" in answer.tree) == (418, 418, False)


async def test_discovery_fails_as_well(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiError(code=500, verbs=("get",)))])
    assert (await cluster.get("/apis")).status == 500
    cluster.api.hurt([fault(effects.ApiError(code=500, resources=("pods",)))])
    assert (await cluster.get("/apis")).status == 200


async def test_a_connection_drops_before_or_after_the_write(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiDrop(moment=Moment.BEFORE, verbs=("create",)))])
    assert isinstance(await cluster.raw("POST", CMS, config_map("before")), Dropped)
    cluster.api.hurt([fault(effects.ApiDrop(moment=Moment.AFTER, verbs=("create",)))])
    assert isinstance(await cluster.raw("POST", CMS, config_map("after")), Dropped)
    assert (await cluster.get(f"{CMS}/before")).status == 404
    assert (await cluster.get(f"{CMS}/after")).status == 200


async def test_a_delay_is_over_with_its_fault(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiDelay(latency_s=1e6))])
    asked = started(cluster.get(CMS))
    assert await is_silent(asked)
    cluster.api.hurt([])
    assert (await soon(asked)).status == 200


async def test_a_delay_takes_its_nominal_time(fast: Cluster) -> None:
    fast.api.hurt([fault(effects.ApiDelay(latency_s=2, jitter_s=1))])
    began_s = fast.clock.monotonic_s()
    assert (await soon(fast.get(CMS))).status == 200
    assert fast.clock.monotonic_s() - began_s >= 1


async def test_each_write_of_a_batch_is_hit_for_itself(cluster: Cluster) -> None:
    cluster.api.hurt(
        [
            fault(effects.ApiError(code=409, resources=("secrets",)), id_="one"),
            fault(effects.ApiDrop(moment=Moment.AFTER, resources=("configmaps",)), id_="two"),
        ]
    )
    json = "application/json"
    paths = [CMS, "/api/v1/namespaces/default/secrets", "/api/v1/namespaces/default/endpoints"]
    body = batch.encode(
        [BatchedRequest("POST", path, {}, json, json, orjson.dumps(config_map())) for path in paths]
    )
    answer = await cluster.call("POST", batch.PATH, body)
    statuses = [one.status for one in batch.decode_answers(answer.raw)]
    assert statuses[:2] == [batch.NO_ANSWER, 409]
    assert statuses[2] in (201, 400)  # carried out or refused by the server itself
    assert (await cluster.get(f"{CMS}/x", user_agent="kubeherd-chaos/1")).status == 200


# --- connections ---


@pytest.mark.parametrize("direction", [Direction.BOTH, Direction.REQUESTS])
async def test_what_does_not_arrive_is_carried_out_only_if_its_sender_waits(
    cluster: Cluster, direction: Direction
) -> None:
    cluster.api.hurt([fault(effects.Partition(direction=direction), Clients(user_agent="cut*"))])
    waiting = started(cluster.post(CMS, config_map("waits"), user_agent="cut/1"))
    given_up = started(cluster.post(CMS, config_map("gone"), user_agent="cut/1"))
    assert await is_silent(waiting)
    given_up.cancel()
    assert (await cluster.get(f"{CMS}/waits")).status == 404
    cluster.api.hurt([])
    assert (await soon(waiting)).status == 201
    assert (await cluster.get(f"{CMS}/gone")).status == 404


async def test_a_lost_answer_is_that_of_a_write_that_was_carried_out(cluster: Cluster) -> None:
    lost = effects.Partition(direction=Direction.ANSWERS)
    cluster.api.hurt([fault(lost, Clients(user_agent="cut*"))])
    asked = started(cluster.post(CMS, config_map("lost"), user_agent="cut/1"))
    assert await appears(cluster, "lost")
    assert await is_silent(asked)
    asked.cancel()


async def test_a_write_is_carried_out_also_if_its_client_goes_away(cluster: Cluster) -> None:
    lost = effects.Partition(direction=Direction.ANSWERS)
    cluster.api.hurt([fault(lost, Clients(user_agent="cut*"))])
    asked = started(cluster.post(CMS, config_map("lost"), user_agent="cut/1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    assert await appears(cluster, "lost")


async def test_a_flapping_partition_lets_through_in_between(fast: Cluster) -> None:
    fast.api.hurt([fault(effects.Partition(period_s=1, share=0.9))])
    assert (await soon(fast.get(CMS))).status == 200


async def test_a_slow_network_takes_time_by_size_each_way(fast: Cluster) -> None:
    slow = effects.SlowNetwork(latency_s=1, jitter_s=0.5, bandwidth_bytes_per_s=1000)
    fast.api.hurt([fault(slow)])
    began_s = fast.clock.monotonic_s()
    body = config_map(data="x" * 2000)
    assert (await soon(fast.post(CMS, body))).status == 201
    assert fast.clock.monotonic_s() - began_s >= 2 * 0.5 + 2 * 2.0


async def test_the_connection_of_a_batch_is_slow_once(fast: Cluster) -> None:
    fast.api.hurt([fault(effects.SlowNetwork(latency_s=100))])
    json = "application/json"
    item = BatchedRequest("POST", CMS, {}, json, json, orjson.dumps(config_map()))
    asked = started(fast.call("POST", batch.PATH, batch.encode([item] * 8)))
    fast.api.hurt([fault(effects.SlowNetwork(latency_s=1))])
    began_s = fast.clock.monotonic_s()
    assert (await soon(asked)).status == 200
    assert 2 <= fast.clock.monotonic_s() - began_s < 100


async def test_a_fault_that_stays_is_not_begun_anew_when_another_comes(cluster: Cluster) -> None:
    cut = fault(effects.Partition(), Clients(user_agent="cut*"), "cut")
    cluster.api.hurt([cut])
    asked = started(cluster.get(CMS, user_agent="cut/1"))
    assert await is_silent(asked)
    cluster.api.hurt([cut, fault(effects.ApiError(code=500), Nodes(("n1",)), "more")])
    assert await is_silent(asked)
    cluster.api.hurt([fault(effects.ApiError(code=500), Nodes(("n1",)), "more")])
    assert (await soon(asked)).status == 200


async def test_a_server_that_stops_holds_nothing(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.Partition())])
    watching = started(cluster.get(CMS))
    assert await is_silent(watching)
    cluster.api.stop()
    assert (await soon(watching)).status == 503


# --- lists ---


async def test_a_stale_list_is_one_of_the_past_with_its_revision(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("old"))
    past = cluster.store.revision
    await cluster.post(CMS, config_map("new"))
    effect = effects.StaleList(revisions=cluster.store.revision - past)
    cluster.api.hurt([fault(effect)])
    stale = (await cluster.get(CMS, query={"resourceVersion": "0", "limit": "500"})).tree
    assert stale["metadata"] == {"resourceVersion": str(past)}
    assert "new" not in [one["metadata"]["name"] for one in stale["items"]]
    assert "new" in [one["metadata"]["name"] for one in (await cluster.get(CMS)).tree["items"]]
    cluster.api.hurt([fault(effects.StaleList(revisions=effect.revisions, all=True))])
    assert (await cluster.get(CMS)).tree["metadata"]["resourceVersion"] == str(past)


async def test_a_page_that_expired_says_how_to_go_on(cluster: Cluster) -> None:
    for name in "abc":
        await cluster.post(CMS, config_map(name))
    page = (await cluster.get(CMS, query={"limit": "2"})).tree
    cluster.api.hurt([fault(effects.Expire())])
    token = page["metadata"]["continue"]
    gone = await cluster.get(CMS, query={"limit": "2", "continue": token})
    assert (gone.status, gone.tree["reason"]) == (410, "Expired")
    cluster.api.hurt([])
    rest = await cluster.get(CMS, query={"continue": gone.tree["metadata"]["continue"]})
    names = [one["metadata"]["name"] for one in page["items"] + rest.tree["items"]]
    assert {"a", "b", "c"} <= set(names)
    cluster.api.hurt([fault(effects.Expire())])
    assert (await cluster.get(CMS, query={"continue": "nonsense"})).status == 400
    assert (await cluster.get(CMS)).status == 200


# --- watches ---


async def watching(cluster: Cluster, **query: str) -> Watcher:
    """A watch that is open: it has shown an event."""
    since = str(cluster.store.revision)
    watch = await cluster.watch(CMS, query={"watch": "1", "resourceVersion": since, **query})
    await cluster.post(CMS, config_map("seen"))
    assert (await soon(watch.next()))["object"]["metadata"]["name"] == "seen"
    return watch


async def test_an_open_watch_falls_silent_in_a_partition_and_loses_nothing(
    cluster: Cluster,
) -> None:
    watch = await watching(cluster)
    cluster.api.hurt([fault(effects.Partition(), Clients(user_agent="tester*"))])
    following = started(watch.next())
    await cluster.post(CMS, config_map("held"), user_agent="other/1")
    assert await is_silent(following)
    cluster.api.hurt([])
    assert (await soon(following))["object"]["metadata"]["name"] == "held"
    await watch.close()
    assert cluster.store.hub.watchers == 0


async def test_a_one_way_partition_of_requests_leaves_watches_alone(cluster: Cluster) -> None:
    watch = await watching(cluster)
    cut = effects.Partition(direction=Direction.REQUESTS)
    cluster.api.hurt([fault(cut, Clients(user_agent="tester*"))])
    await cluster.post(CMS, config_map("told"), user_agent="other/1")
    assert (await soon(watch.next()))["object"]["metadata"]["name"] == "told"
    await watch.close()


async def test_a_stalled_watch_tells_nothing_and_ends_with_its_fault(cluster: Cluster) -> None:
    watch = await watching(cluster)
    cluster.api.hurt([fault(effects.WatchStall(resources=("configmaps",)))])
    rest = started(watch.rest())
    later = await cluster.watch(CMS, query={"watch": "1", "resourceVersion": "1"})
    later_rest = started(later.rest())
    await cluster.post(CMS, config_map("untold"))
    assert await is_silent(rest)
    assert await is_silent(later_rest)
    cluster.api.hurt([])
    assert (await soon(rest), await soon(later_rest)) == ([], [])


async def test_a_quiet_watch_that_was_stalled_ends_too(cluster: Cluster) -> None:
    watch = await watching(cluster)
    cluster.api.hurt([fault(effects.WatchStall())])
    rest = started(watch.rest())
    assert await is_silent(rest)
    cluster.api.hurt([fault(effects.ApiDelay(latency_s=0), Nodes(("n1",)), "other")])
    assert await soon(rest) == []


async def test_watches_end_in_order_those_that_are_open_at_once(fast: Cluster) -> None:
    watch = await watching(fast)
    fast.api.hurt([fault(effects.WatchEnd(after_s=5))])
    assert await soon(watch.rest()) == []
    began_s = fast.clock.monotonic_s()
    later = await fast.watch(CMS, query={"watch": "1", "resourceVersion": "1"})
    assert len(await soon(later.rest())) == 1
    assert fast.clock.monotonic_s() - began_s >= 4


async def test_a_resumed_watch_repeats_events_without_bookmarks(fast: Cluster) -> None:
    for name in ("one", "two", "three"):
        await fast.post(CMS, config_map(name))
        await fast.post("/api/v1/namespaces", {"metadata": {"name": name}})
    since = str(fast.store.revision)
    fast.api.hurt([fault(effects.WatchRepeat(events=2))])
    query = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"}
    watch = await fast.watch(CMS, query={**query, "allowWatchBookmarks": "true"})
    names = [(await soon(watch.next()))["object"]["metadata"]["name"] for _ in range(2)]
    assert names == ["two", "three"]
    assert await soon(watch.rest()) == []
    watch = await fast.watch(CMS, query={**query, "resourceVersion": "0"})
    assert len(await soon(watch.rest())) >= 3
    fast.api.hurt([fault(effects.WatchRepeat(events=1000))])
    watch = await fast.watch(CMS, query=query)
    assert len(await soon(watch.rest())) >= 3


async def test_a_watch_from_a_revision_is_too_old_and_one_from_nowhere_is_not(
    fast: Cluster,
) -> None:
    fast.api.hurt([fault(effects.Expire())])
    watch = await fast.watch(CMS, query={"watch": "1", "resourceVersion": "5"})
    (event,) = await soon(watch.rest())
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == (
        "ERROR",
        410,
        "Expired",
    )
    whole = await fast.watch(CMS, query={"watch": "1", "timeoutSeconds": "1"})
    assert all(event["type"] == "ADDED" for event in await soon(whole.rest()))


async def test_a_slow_watch_gets_its_events_late(fast: Cluster) -> None:
    watch = await watching(fast)
    fast.api.hurt([fault(effects.SlowNetwork(latency_s=3), Clients(user_agent="tester*"))])
    began_s = fast.clock.monotonic_s()
    await fast.post(CMS, config_map("late"), user_agent="other/1")
    assert (await soon(watch.next()))["object"]["metadata"]["name"] == "late"
    assert fast.clock.monotonic_s() - began_s >= 3
    await watch.close()


# --- the private long-poll ---


def polling(cluster: Cluster, since: int, timeout_s: int = 60) -> "asyncio.Task[Any]":
    query = {**POLL, "resourceVersion": str(since), "timeoutSeconds": str(timeout_s)}
    return started(cluster.get(CMS, query=query))


async def test_a_poll_under_way_comes_again_through_the_gate(cluster: Cluster) -> None:
    since = cluster.store.revision
    asked = polling(cluster, since)
    assert await is_silent(asked)
    cluster.api.hurt([fault(effects.Partition(), Clients(user_agent="tester*"))])
    assert (await soon(asked)).tree == {"resourceVersion": str(since), "events": []}
    again = polling(cluster, since)
    await cluster.post(CMS, config_map(), user_agent="other/1")
    assert await is_silent(again)
    cluster.api.hurt([])
    assert len((await soon(again)).tree["events"]) == 1


async def test_a_stalled_poll_knows_of_nothing(cluster: Cluster) -> None:
    since = cluster.store.revision
    cluster.api.hurt([fault(effects.WatchStall())])
    asked = polling(cluster, since)
    await cluster.post(CMS, config_map())
    assert await is_silent(asked)
    assert (await soon(polling(cluster, since, 0))).tree["events"] == []
    cluster.api.hurt([])
    nothing = await soon(asked)
    assert nothing.tree == {"resourceVersion": str(since), "events": []}
    assert nothing.content_type == longpoll.POLLED
    assert len((await soon(polling(cluster, since))).tree["events"]) == 1


async def test_a_stall_does_not_hide_a_refusal(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.WatchStall())])
    answer = await soon(cluster.get(CMS, query={**POLL, "resourceVersion": "5"}, user=BOB))
    assert answer.status == 403


async def test_polls_expire_end_and_repeat(fast: Cluster) -> None:
    await fast.post(CMS, config_map("old"))
    since = fast.store.revision
    fast.api.hurt([fault(effects.Expire())])
    assert (await soon(polling(fast, since))).status == 410
    fast.api.hurt([fault(effects.WatchEnd())])
    assert (await soon(polling(fast, since))).tree["events"] == []
    fast.api.hurt([fault(effects.WatchRepeat(events=1))])
    (again,) = (await soon(polling(fast, since))).tree["events"]
    assert again["object"]["metadata"]["name"] == "old"
    following = polling(fast, since)
    assert await is_silent(following)
    following.cancel()


async def test_two_faults_that_repeat_do_not_take_turns_for_ever(fast: Cluster) -> None:
    for name in ("oldest", "older", "old"):
        await fast.post(CMS, config_map(name))
    since = fast.store.revision
    two = [fault(effects.WatchRepeat(events=n), id_=f"f{n}") for n in (1, 2)]
    fast.api.hurt(two)
    again = (await soon(polling(fast, since))).tree["events"]
    assert [one["object"]["metadata"]["name"] for one in again] == ["older", "old"]
    following = polling(fast, since)
    assert await is_silent(following)
    following.cancel()
    query = {"watch": "1", "resourceVersion": str(since), "timeoutSeconds": "1"}
    watch = await fast.watch(CMS, query=query)
    assert len(await soon(watch.rest())) == 2


async def test_a_watch_that_drops_has_no_answer(cluster: Cluster) -> None:
    cluster.api.hurt([fault(effects.ApiDrop(moment=Moment.AFTER, verbs=("watch",)))])
    query = {"watch": "1", "resourceVersion": "1"}
    assert isinstance(await cluster.raw("GET", CMS, query=query), Dropped)
    assert isinstance(await cluster.raw("GET", CMS), ApiResponse)
    cluster.api.hurt([])
    again = await cluster.raw("GET", CMS, query=query)
    assert isinstance(again, WatchResponse)
    await again.chunks.aclose()


async def test_several_effects_hit_the_same_request(fast: Cluster) -> None:
    fast.api.hurt(
        [
            fault(effects.ApiDelay(latency_s=2), id_="slow"),
            fault(effects.ApiError(code=503), Component("apiserver"), "down"),
        ]
    )
    began_s = fast.clock.monotonic_s()
    assert (await soon(fast.get(CMS))).status == 503
    assert fast.clock.monotonic_s() - began_s >= 2
