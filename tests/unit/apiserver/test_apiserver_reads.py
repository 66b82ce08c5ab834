"""Get, list, watch and the long-poll (spec api-machinery, sections 1 to 3, 13, 15, 16)."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
import structlog
from apicluster import ADMIN, MERGE, Answer, Cluster, api_cluster, config_map, pod

from kubeherd.cluster.api.private import longpoll
from kubeherd.cluster.apiserver.read.listing import Continue
from kubeherd.cluster.apiserver.read.polling import POLL_BYTES
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import MemoryEngine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import running

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
CONTINUE = Continue(1, "a\0").encoded()
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def _fill(cluster: Cluster, count: int, **labels: str) -> None:
    for number in range(count):
        body = config_map(f"m{number:02}", k="v")
        if labels:
            body["metadata"]["labels"] = labels
        assert (await cluster.post(CMS, body)).status == 201


def _names(tree: Any) -> list[str]:
    return [item["metadata"]["name"] for item in tree["items"]]


async def test_list_items_carry_no_kind(cluster: Cluster) -> None:
    empty = (await cluster.get(CMS)).tree
    assert empty["items"] == []
    await _fill(cluster, 2)
    tree = (await cluster.get(CMS)).tree
    assert (tree["kind"], tree["apiVersion"]) == ("ConfigMapList", "v1")
    assert tree["metadata"] == {"resourceVersion": str(cluster.store.revision)}
    assert [sorted(item) for item in tree["items"]] == [["data", "metadata"]] * 2
    everywhere = (await cluster.get("/api/v1/configmaps")).tree
    assert _names(everywhere)[:2] == _names(tree)


async def test_encodings_of_one_list_agree(cluster: Cluster) -> None:
    await _fill(cluster, 2)
    plain = (await cluster.get(CMS)).tree
    packed = await cluster.get(CMS, accept="application/msgpack")
    assert packed.content_type == "application/msgpack"
    assert msgpack.unpackb(packed.raw) == plain
    pretty = await cluster.get(f"{CMS}?pretty=true")
    assert pretty.tree == plain
    assert pretty.raw.startswith(b'{\n  "kind"')
    assert (await cluster.get(CMS, user_agent="curl/8")).raw == pretty.raw
    yaml = await cluster.get(CMS, accept="application/yaml")
    assert b"kind: ConfigMapList" in yaml.raw


async def test_events_with_many_members_survive_msgpack(cluster: Cluster) -> None:
    event: dict[str, Any] = {
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "default"},
        "reason": "r", "message": "m", "source": {"component": "c"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1, "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z",
        "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"},
        "action": "a", "related": {"kind": "Node", "name": "n"},
        "reportingComponent": "example.com/c", "reportingInstance": "i",
    }  # fmt: skip
    assert (await cluster.post("/api/v1/namespaces/default/events", event)).status == 201
    path = "/api/v1/namespaces/default/events"
    packed = msgpack.unpackb((await cluster.get(path, accept="application/msgpack")).raw)
    assert packed == (await cluster.get(path)).tree


async def test_unacceptable_is_406(cluster: Cluster) -> None:
    answer = await cluster.get(CMS, accept="text/html")
    assert (answer.status, answer.tree["reason"]) == (406, "NotAcceptable")


async def test_large_answers_are_compressed_when_accepted(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("big", k="v" * 200_000))
    packed = await cluster.get(f"{CMS}/big", accept_encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = await cluster.get(f"{CMS}/big")
    assert gzip.decompress(packed.raw) == plain.raw
    assert "Content-Encoding" not in plain.headers


async def test_table_and_partial_metadata(cluster: Cluster) -> None:
    await _fill(cluster, 1)
    table = (await cluster.get(CMS, accept=TABLE)).tree
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"][:2] == ["m00", 1]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    partial = (await cluster.get(CMS, accept=accept)).tree
    assert partial["kind"] == "PartialObjectMetadataList"
    assert sorted(partial["items"][0]) == ["apiVersion", "kind", "metadata"]
    one = await cluster.get(f"{CMS}/m00", accept=accept.replace("List", ""))
    assert one.tree["kind"] == "PartialObjectMetadata"


async def test_selectors(cluster: Cluster) -> None:
    await _fill(cluster, 2, app="x")
    await cluster.post(CMS, config_map("other"))
    listed = await cluster.get(CMS, query={"labelSelector": "app in (x,y)"})
    assert _names(listed.tree) == ["m00", "m01"]
    listed = await cluster.get(CMS, query={"fieldSelector": "metadata.name=other"})
    assert _names(listed.tree) == ["other"]
    bad = await cluster.get(CMS, query={"fieldSelector": "spec.x=1"})
    assert (bad.status, bad.message) == (
        400,
        '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    )
    assert (await cluster.get(CMS, query={"labelSelector": "a in"})).status == 400
    await cluster.post(PODS, pod("p", nodeName="n1"))
    listed = await cluster.get("/api/v1/pods", query={"fieldSelector": "spec.nodeName=n1"})
    assert _names(listed.tree) == ["p"]


async def test_chunks_show_one_revision(cluster: Cluster) -> None:
    await _fill(cluster, 5)
    first = (await cluster.get(f"{CMS}?limit=2")).tree
    assert _names(first) == ["m00", "m01"]
    assert first["metadata"]["remainingItemCount"] == 3
    await cluster.delete(f"{CMS}/m03")
    await cluster.post(CMS, config_map("m01b"))
    token = first["metadata"]["continue"]
    decoded = json.loads(base64.urlsafe_b64decode(token + "=="))
    assert decoded.pop("begun") > 0  # of our own: clients do not look into tokens
    assert decoded == {
        "v": "meta.k8s.io/v1",
        "rv": int(first["metadata"]["resourceVersion"]),
        "start": "m01\0",
    }
    rest = (await cluster.get(f"{CMS}?limit=9", query={"continue": token})).tree
    assert _names(rest) == ["m02", "m03", "m04"]
    assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
    selected = (await cluster.get(f"{CMS}?limit=1", query={"labelSelector": "!a"})).tree
    assert "remainingItemCount" not in selected["metadata"]


async def test_chunks_over_all_namespaces(cluster: Cluster) -> None:
    for namespace in ("default", "kube-public"):
        for name in ("a", "b"):
            await cluster.post(f"/api/v1/namespaces/{namespace}/configmaps", config_map(name))
    names, token = [], ""
    while True:
        page = (await cluster.get("/api/v1/configmaps?limit=1", query={"continue": token})).tree
        names += [f"{i['metadata']['namespace']}/{i['metadata']['name']}" for i in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names[:4] == ["default/a", "default/b", "kube-public/a", "kube-public/b"]
    assert all(name.startswith("kube-system/") for name in names[4:])


async def test_expired_token_and_revision_are_410() -> None:
    async with api_cluster(max_history_events=3) as cluster:
        await _fill(cluster, 3)
        first = (await cluster.get(f"{CMS}?limit=1")).tree["metadata"]
        await _fill_more(cluster)
        query = {"continue": first["continue"]}
        answer = await cluster.get(f"{CMS}?limit=1", query=query)
        assert (answer.status, answer.tree["reason"]) == (410, "Expired")
        assert answer.message.startswith("The provided continue parameter is too old")
        fresh = await cluster.get(CMS, query={"continue": answer.tree["metadata"]["continue"]})
        assert _names(fresh.tree)[0] == "m01"
        exact = {"resourceVersion": first["resourceVersion"], "resourceVersionMatch": "Exact"}
        answer = await cluster.get(CMS, query=exact)
        assert answer.message == "The resourceVersion for the provided list is too old."


async def _fill_more(cluster: Cluster) -> None:
    for number in range(6):
        await cluster.patch(f"{CMS}/m00", {"data": {"n": str(number)}}, MERGE)


async def test_exact_list_shows_the_past(cluster: Cluster) -> None:
    await _fill(cluster, 2)
    revision = cluster.store.revision
    await cluster.delete(f"{CMS}/m00")
    query = {"resourceVersion": str(revision), "resourceVersionMatch": "Exact"}
    tree = (await cluster.get(CMS, query=query)).tree
    assert (_names(tree), tree["metadata"]["resourceVersion"]) == (["m00", "m01"], str(revision))


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("resourceVersionMatch=Exact", 422, "is forbidden unless resourceVersion is provided"),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            422,
            'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        ("resourceVersionMatch=x&resourceVersion=1", 422, 'values: "Exact", "NotOlderThan", ""'),
        ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
        ("resourceVersion=x", 400, 'invalid resource version: resourceVersion: Invalid value: "x"'),
        (f"continue={CONTINUE}&resourceVersion=5", 400, "is not allowed when using continue"),
        ("continue=bad", 400, "invalid character 'm' looking for beginning of value"),
        ("continue=x", 400, "illegal base64 data at input byte 1"),
        ("continue=%7Bx", 400, "invalid continue token: continue key is not valid: "),
        ("limit=x", 400, "invalid syntax"),
    ],
)
async def test_list_refuses(cluster: Cluster, query: str, code: int, text: str) -> None:
    answer = await cluster.get(f"{CMS}?{query}")
    assert answer.status == code
    assert text in answer.message


async def test_a_revision_from_the_future_is_504() -> None:
    async with api_cluster(speed=1000) as cluster:
        answer = await cluster.get(f"{CMS}?resourceVersion=999999")
        assert answer.status == 504
        current = cluster.store.revision
        assert answer.message == (
            f"Timeout: Too large resource version: 999999, current: {current}"
        )
        assert answer.tree["details"] == {
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        }


# --- watch ---


async def test_watch_tells_what_happens_after_a_revision(cluster: Cluster) -> None:
    await _fill(cluster, 1)
    watcher = await cluster.watch(f"{CMS}?watch=1&resourceVersion={cluster.store.revision}")
    await cluster.post(CMS, config_map("a"))
    await cluster.patch(f"{CMS}/a", {"data": {"k": "v"}})
    await cluster.delete(f"{CMS}/a")
    events = [await watcher.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert all(event["object"]["kind"] == "ConfigMap" for event in events)
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == [cluster.store.revision - 2 + n for n in range(3)]
    await watcher.close()


async def test_watch_without_revision_begins_with_what_is_there(cluster: Cluster) -> None:
    await _fill(cluster, 2)
    watcher = await cluster.watch(f"{CMS}?watch=true")
    assert [(await watcher.next())["type"] for _ in range(2)] == ["ADDED", "ADDED"]
    await watcher.close()


@pytest.mark.parametrize("revision", ["", "&resourceVersion=0"])
async def test_a_watch_from_nowhere_is_a_streaming_list(cluster: Cluster, revision: str) -> None:
    """As Kubernetes reads the options of clients that are older than sendInitialEvents."""
    await cluster.post(CMS, config_map("a"))
    watcher = await cluster.watch(f"{CMS}?watch=1&allowWatchBookmarks=true{revision}")
    assert (await watcher.next())["type"] == "ADDED"
    end = await watcher.next()
    assert end["type"] == "BOOKMARK"
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await watcher.close()


async def test_a_watch_from_the_future_waits_but_a_streaming_list_does_not_for_long() -> None:
    async with api_cluster(speed=1000) as cluster:
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        watcher = await cluster.watch(f"{CMS}?{query}&resourceVersion=999999")
        (event,) = await watcher.rest()
        assert (event["type"], event["object"]["code"]) == ("ERROR", 504)
        assert event["object"]["message"].startswith("Timeout: Too large resource version: 999999")


async def test_a_watch_from_the_future_is_told_nothing_of_the_past(cluster: Cluster) -> None:
    """Another server has told the client more than this one has seen."""
    revision = cluster.store.revision + 1
    query = f"watch=1&resourceVersion={revision}&allowWatchBookmarks=true&timeoutSeconds=3"
    watcher = await cluster.watch(f"{CMS}?{query}")
    await cluster.post(CMS, config_map("a"))
    await cluster.post(CMS, config_map("b"))
    told = await watcher.rest()
    assert [event["object"]["metadata"].get("name", "") for event in told] == ["b", ""]


async def test_a_watch_minds_a_continue_token_only_where_it_lists(cluster: Cluster) -> None:
    refused = await cluster.get(f"{CMS}?watch=1&continue=x")
    assert refused.message.endswith(
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is "
        "provided"
    )
    revision = cluster.store.revision
    watcher = await cluster.watch(f"{CMS}?watch=1&continue=x&resourceVersion={revision}")
    await watcher.close()


async def test_a_watch_of_one_object_takes_no_other_field_selector(cluster: Cluster) -> None:
    path = "/api/v1/watch/namespaces/default/configmaps/a"
    for selector in ("metadata.name=b", "metadata.name!=b", "metadata.namespace=default"):
        answer = await cluster.get(f"{path}?fieldSelector={selector}")
        assert answer.message == "fieldSelector metadata.name doesn't match requested name"
    watcher = await cluster.watch(f"{path}?fieldSelector=metadata.name=a&resourceVersion=5")
    await watcher.close()


async def test_initial_events_end_with_a_bookmark(cluster: Cluster) -> None:
    await _fill(cluster, 1)
    watcher = await cluster.watch(
        f"{CMS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        "&allowWatchBookmarks=true"
    )
    assert (await watcher.next())["type"] == "ADDED"
    assert await watcher.next() == {
        "type": "BOOKMARK",
        "object": {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {
                "resourceVersion": str(cluster.store.revision),
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        },
    }
    await watcher.close()


async def test_selector_changes_become_added_and_deleted(cluster: Cluster) -> None:
    await _fill(cluster, 1)
    query = {"labelSelector": "app=x", "resourceVersion": str(cluster.store.revision)}
    watcher = await cluster.watch(f"{CMS}?watch=1", query=query)
    await cluster.patch(f"{CMS}/m00", {"metadata": {"labels": {"app": "x"}}})
    await cluster.patch(f"{CMS}/m00", {"metadata": {"labels": {"app": "y"}}})
    joined, left = await watcher.next(), await watcher.next()
    assert (joined["type"], left["type"]) == ("ADDED", "DELETED")
    assert left["object"]["metadata"]["labels"] == {"app": "x"}
    assert left["object"]["metadata"]["resourceVersion"] == str(cluster.store.revision)
    await watcher.close()


async def test_too_old_a_watch_gets_an_error_event() -> None:
    async with api_cluster(max_history_events=2) as cluster:
        await _fill(cluster, 4)
        events = await (await cluster.watch(f"{CMS}?watch=1&resourceVersion=1")).rest()
        (event,) = events
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        assert event["object"]["message"].startswith("too old resource version: 1 (")
        polled = await cluster.get(f"{CMS}?watch=1&poll=1&resourceVersion=1")
        assert (polled.status, polled.tree["reason"]) == (410, "Expired")


async def test_watch_ends_after_its_time_with_a_bookmark_before() -> None:
    async with api_cluster(speed=20) as cluster:
        watcher = await cluster.watch(
            f"{CMS}?watch=1&resourceVersion=1&timeoutSeconds=70&allowWatchBookmarks=true"
        )
        events = await watcher.rest()
        assert [event["type"] for event in events] == ["BOOKMARK", "BOOKMARK"]


class LateClock(LoopClock):
    """Whoever sets the first alarm decides when it rings."""

    def __init__(self, first: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self._first: Callable[[Callable[[], None]], None] | None = first

    def call_later(self, delay_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        first, self._first = self._first, None
        if first is not None:
            first(act)
        return super().call_later(delay_s, act)


async def test_a_bookmark_is_never_ahead_of_an_event() -> None:
    """A client that is cut off after a bookmark goes on behind it."""
    posts: list[asyncio.Task[Answer]] = []

    def rings_when_something_happens(ring: Callable[[], None]) -> None:
        store.hub.listen("configmaps", ring)
        posts.append(asyncio.create_task(cluster.post(CMS, config_map("late"))))

    async with running(LocalStore(MemoryEngine(), attrs_of)) as store:
        clock = LateClock(rings_when_something_happens)
        api = ApiServer(store, clock, Rng(1))
        await api.bootstrap()
        cluster = Cluster(api, store, clock)
        watcher = await cluster.watch(
            f"{CMS}?watch=1&resourceVersion={store.revision}&allowWatchBookmarks=true"
        )
        event = await watcher.next()
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "late")
        await asyncio.gather(*posts)
        await watcher.close()


async def test_watch_as_table_sends_columns_once(cluster: Cluster) -> None:
    await _fill(cluster, 2)
    watcher = await cluster.watch(f"{CMS}?watch=1", accept=TABLE)
    first, second = await watcher.next(), await watcher.next()
    assert first["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "m01"
    await watcher.close()


@pytest.mark.parametrize(
    "query",
    [
        "sendInitialEvents=true",
        "resourceVersionMatch=NotOlderThan&resourceVersion=1",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
    ],
)
async def test_watch_refuses(cluster: Cluster, query: str) -> None:
    answer = await cluster.get(f"{CMS}?watch=1&{query}")
    assert answer.status == 422
    assert 'ListOptions.meta.k8s.io "" is invalid: ' in answer.message


async def test_watch_of_one_object(cluster: Cluster) -> None:
    await _fill(cluster, 2)
    path = "/api/v1/watch/namespaces/default/configmaps/m01"
    watcher = await cluster.watch(path)
    assert (await watcher.next())["object"]["metadata"]["name"] == "m01"
    await watcher.close()
    answer = await cluster.get(path, query={"fieldSelector": "metadata.name=other"})
    assert answer.message == "fieldSelector metadata.name doesn't match requested name"


async def test_stopping_ends_watches_and_refuses_requests(cluster: Cluster) -> None:
    watcher = await cluster.watch(f"{CMS}?watch=1&resourceVersion={cluster.store.revision}")
    reading = asyncio.ensure_future(watcher.rest())
    await asyncio.sleep(0)
    cluster.api.stop()
    assert await reading == []
    assert (await cluster.get(CMS)).status == 503
    assert (await cluster.get("/readyz")).status == 500


@pytest.mark.parametrize("query", ["includeObject=z", "includeObject=z&resourceVersion=0"])
async def test_what_a_list_refuses_a_watch_refuses_before_it_begins(
    cluster: Cluster, query: str
) -> None:
    listed = await cluster.get(f"{CMS}?{query}", accept=TABLE)
    watched = await cluster.get(f"{CMS}?watch=1&{query}", accept=TABLE)
    assert (watched.status, watched.tree) == (listed.status, listed.tree)
    assert watched.tree["message"] == (
        'Unable to convert to Table as requested: includeObject: Invalid value: "z": must be '
        "'Metadata', 'Object', 'None', or empty"
    )


async def test_a_bug_while_a_stream_is_written_is_an_error_event_and_is_logged(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    await cluster.post(CMS, config_map("a"))
    monkeypatch.setattr("kubeherd.cluster.apiserver.tables.table", broken)
    with structlog.testing.capture_logs() as logs:
        (event,) = await (await cluster.watch(f"{CMS}?watch=1", accept=TABLE)).rest()
    assert (event["type"], event["object"]["kind"]) == ("ERROR", "Status")
    assert (event["object"]["code"], event["object"]["reason"]) == (500, "InternalError")
    assert [log["event"] for log in logs] == ["watch_failed"]
    assert cluster.store.hub.watchers == 0


async def test_watch_of_large_and_small_objects_is_whole(cluster: Cluster) -> None:
    sizes = [10, 200_000, 10, 70_000, 70_000, 10, *[30_000] * 5]
    for number, size in enumerate(sizes):
        await cluster.post(CMS, config_map(f"c{number:02}", v="v" * size))
    watcher = await cluster.watch(f"{CMS}?watch=1")
    seen = [await watcher.next() for _ in sizes]
    assert [len(event["object"]["data"]["v"]) for event in seen] == sizes
    await watcher.close()


# --- the long-poll ---


async def test_poll_answers_at_once_and_waits_otherwise(cluster: Cluster) -> None:
    revision = cluster.store.revision
    await _fill(cluster, 1)
    path = f"{CMS}?watch=1&poll=1&timeoutSeconds=30&resourceVersion="
    answer = (await cluster.get(f"{path}{revision}")).tree
    assert [event["type"] for event in answer["events"]] == ["ADDED"]
    waiting = asyncio.ensure_future(
        cluster.get(path + answer["resourceVersion"], accept="application/msgpack")
    )
    await asyncio.sleep(0)
    await cluster.post("/api/v1/namespaces/kube-public/configmaps", config_map("elsewhere"))
    assert not waiting.done()
    await cluster.delete(f"{CMS}/m00")
    packed = msgpack.unpackb((await waiting).raw)
    assert [event["type"] for event in packed["events"]] == ["DELETED"]
    assert packed["resourceVersion"] == str(cluster.store.revision)


async def test_an_answer_to_a_poll_is_known_as_one_and_says_the_same_in_both_forms(
    cluster: Cluster,
) -> None:
    """A watch stream is JSON, too: who asks a server that knows no polls must not mix them up."""
    path = f"{CMS}?watch=1&poll=1&timeoutSeconds=0&resourceVersion={cluster.store.revision}"
    await _fill(cluster, 3)
    told = await cluster.get(path)
    packed = await cluster.get(path, accept="application/msgpack")
    assert (told.content_type, packed.content_type) == (longpoll.POLLED, "application/msgpack")
    assert told.tree == msgpack.unpackb(packed.raw)
    assert len(told.tree["events"]) == 3


async def test_poll_for_the_nodes_of_a_fleet(cluster: Cluster) -> None:
    start = cluster.store.revision
    for name, node in (("a", "node-1"), ("b", "node-7"), ("c", "other"), ("d", "")):
        await cluster.post("/api/v1/namespaces/default/pods", pod(name, nodeName=node))
    for name in ("node-1", "node-7"):
        await cluster.post("/api/v1/nodes", {"metadata": {"name": name}})
    query = f"?watch=1&poll=1&resourceVersion={start}&nodes=node-:0-5,other"
    seen = (await cluster.get(f"/api/v1/pods{query}")).tree["events"]
    assert [event["object"]["metadata"]["name"] for event in seen] == ["a", "c"]
    seen = (await cluster.get(f"/api/v1/nodes{query}")).tree["events"]
    assert [event["object"]["metadata"]["name"] for event in seen] == ["node-1"]


async def test_list_of_the_nodes_of_a_fleet_page_by_page(cluster: Cluster) -> None:
    for name, node in (("a", "node-1"), ("b", "node-7"), ("c", "other"), ("d", ""), ("e", "other")):
        await cluster.post("/api/v1/namespaces/default/pods", pod(name, nodeName=node))
    for name in ("node-1", "node-7"):
        await cluster.post("/api/v1/nodes", {"metadata": {"name": name}})
    query = "?nodes=node-:0-5,other&limit=2"
    first = (await cluster.get(f"/api/v1/pods{query}")).tree
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "c"]
    assert "remainingItemCount" not in first["metadata"]
    rest = await cluster.get(f"/api/v1/pods{query}&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest.tree["items"]] == ["e"]
    assert "continue" not in rest.tree["metadata"]
    nodes = (await cluster.get(f"/api/v1/nodes{query}")).tree
    assert [item["metadata"]["name"] for item in nodes["items"]] == ["node-1"]
    others = (await cluster.get("/api/v1/namespaces?nodes=other")).tree
    assert others["items"]  # of nothing else is it a parameter, as of any that is not known


async def test_poll_without_events_advances_the_revision(cluster: Cluster) -> None:
    revision = cluster.store.revision
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "x"}})
    path = f"{CMS}?watch=1&poll=1&timeoutSeconds=0&resourceVersion="
    answer = await cluster.get(f"{path}{revision}")
    assert answer.tree == {"resourceVersion": str(cluster.store.revision), "events": []}
    ahead = await cluster.get(f"{path}999999")
    assert (ahead.status, ahead.tree["reason"]) == (410, "Expired")


async def test_poll_is_capped(cluster: Cluster) -> None:
    revision = cluster.store.revision
    kind_path = "/api/v1/namespaces/default/secrets"
    for number in range(505):
        await cluster.post(kind_path, {"metadata": {"name": f"s{number}"}})
    path = f"{kind_path}?watch=1&poll=1&resourceVersion="
    first = (await cluster.get(f"{path}{revision}")).tree
    assert len(first["events"]) == 500
    assert first["resourceVersion"] == first["events"][-1]["object"]["metadata"]["resourceVersion"]
    second = (await cluster.get(path + first["resourceVersion"])).tree
    assert len(second["events"]) == 5


# --- other paths ---


async def test_documents(cluster: Cluster) -> None:
    assert (await cluster.get("/version")).tree["gitVersion"] == "v1.36.1"
    assert (await cluster.get("/healthz")).raw == b"ok"
    verbose = (await cluster.get("/readyz?verbose&exclude=etcd")).raw.decode()
    assert "[+]etcd excluded: ok\n" in verbose
    assert verbose.endswith("readyz check passed\n")
    assert (await cluster.get("/livez/ping")).raw == b"ok"
    assert "/api/v1" in (await cluster.get("/")).tree["paths"]
    resources = (await cluster.get("/apis/apps/v1")).tree
    assert "daemonsets" in [resource["name"] for resource in resources["resources"]]
    assert b"apiserver_request_total{" in (await cluster.get("/metrics")).raw


async def test_aggregated_discovery_has_an_etag(cluster: Cluster) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    answer = await cluster.get("/apis", accept=accept)
    assert answer.content_type == accept
    again = await cluster.get("/apis", accept=accept, if_none_match=answer.headers["ETag"])
    assert (again.status, again.raw) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/version"]
)
async def test_documents_are_also_below_a_slash(cluster: Cluster, path: str) -> None:
    plain, below = await cluster.get(path), await cluster.get(f"{path}/")  # pykube-ng asks so
    assert (plain.status, below.status) == (200, 200)
    assert below.tree == plain.tree


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v2/", 404),
        ("POST", "/api/v1/", 405),
        ("GET", "/apis/none/v1/things", 404),
        ("GET", "/api/v1/things", 404),
        ("GET", "/apis/apps/v1/namespaces/default/daemonsets/d/scale", 404),
        ("GET", "/api/v1/pods/p", 404),
        ("POST", "/api/v1/pods", 405),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("POST", "/api/v1/namespaces/default/pods/p", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/namespaces/default/bindings", 405),
        ("OPTIONS", "/api/v1/namespaces/default/pods", 405),
        ("POST", "/version", 405),
    ],
)
async def test_routing(cluster: Cluster, method: str, path: str, status: int) -> None:
    answer = await cluster.call(method, path)
    assert answer.status == status
    if status == 405:
        assert answer.tree["reason"] == "MethodNotAllowed"
    elif answer.content_type == "application/json":
        assert answer.message == "the server could not find the requested resource"
        assert answer.tree["details"] == {}
    else:
        assert answer.raw == b"404 page not found\n"


async def test_objects_have_no_head(cluster: Cluster) -> None:
    for path in ("/api/v1/namespaces/default", "/api/v1/namespaces", "/api", "/version"):
        assert (await cluster.call("HEAD", path, user=ADMIN)).status == 405


async def test_deprecated_kinds_say_so(cluster: Cluster) -> None:
    answer = await cluster.get("/api/v1/namespaces/default/endpoints")
    assert answer.headers["Warning"] == (
        '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    )
    body = {"metadata": {"name": "e"}, "nosuch": 1}
    answer = await cluster.post("/api/v1/namespaces/default/endpoints", body)
    assert answer.headers["Warning"].endswith('EndpointSlice", 299 - "unknown field \\"nosuch\\""')
    assert "Warning" not in (await cluster.get("/api/v1/namespaces/default/services")).headers


@pytest.mark.parametrize(
    "text", ["x", "1_0", "\N{FULLWIDTH DIGIT ONE}", " 1", "9" * 30, "9" * 5000]
)
@pytest.mark.parametrize("watch", ["", "&watch=1"])
async def test_numbers_are_checked_before_the_answer_begins(
    cluster: Cluster, text: str, watch: str
) -> None:
    path = "/api/v1/namespaces/default/configmaps?resourceVersion=0" + watch
    answer = await cluster.call("GET", path, query={"timeoutSeconds": text})
    assert (answer.status, answer.tree["reason"]) == (400, "BadRequest")
    assert answer.message.startswith("strconv.ParseInt: parsing ")


async def test_an_answer_to_a_poll_is_bounded_in_bytes(cluster: Cluster) -> None:
    revision = cluster.store.revision
    for number in range(7):
        body = config_map(f"c{number}", v="v" * 1_000_000)
        assert (await cluster.post(CMS, body)).status == 201
    answers = []
    while revision < cluster.store.revision:
        query = f"?watch=1&poll=1&timeoutSeconds=0&resourceVersion={revision}"
        polled = await cluster.get(CMS + query)
        assert len(polled.raw) < POLL_BYTES + 1_100_000
        revision = int(polled.tree["resourceVersion"])
        answers.append([e["object"]["metadata"]["name"] for e in polled.tree["events"]])
    assert answers == [["c0", "c1", "c2", "c3", "c4"], ["c5", "c6"]]
