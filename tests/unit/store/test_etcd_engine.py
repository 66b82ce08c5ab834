"""The engine on a real etcd, while all goes well."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import count
from typing import Any

import pytest
from etcdserver import EtcdMember
from patience import PATIENCE_S

from kubeherd.cluster.api.serializer.protobuf import bodies
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Row, StoreError
from kubeherd.cluster.store.etcd.target import EtcdTarget
from kubeherd.cluster.store.sharedengine import (
    Change,
    Compacted,
    Conflict,
    Guard,
    Made,
    Progress,
)

aetcd = pytest.importorskip("aetcd", reason="the extra etcd is not installed")
engines = importlib.import_module("kubeherd.cluster.store.etcd.engine")
clients = importlib.import_module("kubeherd.cluster.store.etcd.client")
watches = importlib.import_module("kubeherd.cluster.store.etcd.watch")
RowReader = importlib.import_module("kubeherd.cluster.store.etcd.rows").RowReader

_namespaces = (f"n{number}" for number in count())


@pytest.fixture
async def engine(shared_etcd: EtcdMember) -> AsyncIterator[Any]:
    one = engines.EtcdEngine(EtcdTarget((shared_etcd.endpoint,)), Rng(1))
    await one.open()
    yield one
    await one.close()


@pytest.fixture
def space() -> str:
    """A namespace that no other test has."""
    return next(_namespaces)


def pod(name: str) -> bytes:
    return b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"%s"}}' % name.encode()


async def put(
    engine: Any, space: str, name: str, base: int = 0, value: bytes = b"", **more: Any
) -> int:
    made = await engine.transact(
        [Change("pods", space, name, base, value or pod(name), **more)], []
    )
    assert isinstance(made, Made)
    return made.revision


async def write_directly(member: EtcdMember, key: bytes, value: bytes) -> None:
    """As somebody else writes, with another client."""
    async with aetcd.Client(port=member.port) as client:
        await client.put(key, value)


async def follow(engine: Any, after: int, until: int) -> list[Row]:
    rows: list[Row] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(engine.follow(after)) as feed:
        async for progress in feed:
            rows.extend(progress.rows)
            if progress.revision >= until:
                break
    return rows


async def load(engine: Any, space: str, revision: int) -> dict[str, Row]:
    return {row.name: row for row in await engine.load(revision) if row.namespace == space}


async def test_a_write_is_read_back_with_its_revisions(engine: Any, space: str) -> None:
    created = await put(engine, space, "a")
    updated = await put(engine, space, "a", created, b'{"apiVersion":"v1","metadata":{}}')
    assert updated == created + 1 == await engine.newest()
    assert await load(engine, space, created) == {
        "a": Row(created, created, False, "pods", space, "a", pod("a"))
    }
    assert await load(engine, space, updated) == {
        "a": Row(updated, created, False, "pods", space, "a", b'{"apiVersion":"v1","metadata":{}}')
    }


async def test_what_has_changed_meanwhile_is_a_conflict(engine: Any, space: str) -> None:
    first = await put(engine, space, "a")
    second = await put(engine, space, "a", first)
    stale = await engine.transact([Change("pods", space, "a", first, pod("a"))], [])
    again = await engine.transact([Change("pods", space, "a", 0, pod("a"))], [])
    gone = await engine.transact([Change("pods", space, "b", first, None)], [])
    assert stale == again == gone == Conflict(second)
    assert (await load(engine, space, second))["a"].revision == second


async def test_a_transaction_is_made_as_a_whole_or_not_at_all(engine: Any, space: str) -> None:
    a = await put(engine, space, "a")
    changes = [Change("pods", space, name, 0, pod(name)) for name in ("b", "c")]
    refused = await engine.transact([*changes, Change("pods", space, "a", 0, pod("a"))], [])
    assert isinstance(refused, Conflict)
    made = await engine.transact([*changes, Change("pods", space, "a", a, None)], [])
    assert isinstance(made, Made)
    rows = await follow(engine, a, made.revision)
    assert [(row.revision, row.name, row.deleted) for row in rows] == [
        (made.revision, "b", False),
        (made.revision, "c", False),
        (made.revision, "a", True),
    ]


async def test_guards_are_of_objects_that_stay(engine: Any, space: str) -> None:
    a = await put(engine, space, "a")
    change = Change("pods", space, "b", 0, pod("b"))
    assert isinstance(await engine.transact([change], [Guard("pods", space, "a", 0)]), Conflict)
    assert isinstance(await engine.transact([change], [Guard("pods", space, "x", a)]), Conflict)
    guards = [Guard("pods", space, "a", a), Guard("pods", space, "x", 0)]
    assert isinstance(await engine.transact([change], guards), Made)


async def test_a_guard_without_name_is_of_all_objects_of_a_resource(
    engine: Any, space: str
) -> None:
    before = await engine.newest()
    change = Change("pods", space, "a", 0, pod("a"))
    guards = [Guard("endpoints", "", "", before), Guard("pods.example.org", "", "", 0)]
    made = await engine.transact([change], guards)
    assert isinstance(made, Made)
    other = Change("pods", space, "b", 0, pod("b"))
    assert isinstance(
        await engine.transact([other], [Guard("pods", "", "", made.revision - 1)]), Conflict
    )
    assert isinstance(await engine.transact([other], [Guard("pods", "", "", made.revision)]), Made)


async def test_a_delete_has_the_last_state(engine: Any, space: str) -> None:
    created = await put(engine, space, "a")
    deleted = await engine.transact([Change("pods", space, "a", created, None)], [])
    assert isinstance(deleted, Made)
    assert await follow(engine, created, deleted.revision) == [
        Row(deleted.revision, created, True, "pods", space, "a", pod("a"))
    ]
    assert await load(engine, space, deleted.revision) == {}


async def test_others_are_seen_as_soon_as_they_write(
    engine: Any, shared_etcd: EtcdMember, space: str
) -> None:
    other = engines.EtcdEngine(EtcdTarget((shared_etcd.endpoint,)), Rng(2))
    start = await other.open()
    seen: asyncio.Queue[Progress] = asyncio.Queue()

    async def following() -> None:
        async with aclosing(other.follow(start)) as feed:
            async for progress in feed:
                seen.put_nowait(progress)

    task = asyncio.create_task(following())
    try:
        for number in range(3):
            revision = await put(engine, space, f"p{number}")
            progress = await asyncio.wait_for(seen.get(), PATIENCE_S)
            assert [row.name for row in progress.rows] == [f"p{number}"]
            assert progress.revision == revision
    finally:
        task.cancel()
        await asyncio.wait([task])
        await other.close()


async def test_what_others_keep_in_this_etcd_is_progress_without_rows(
    engine: Any, shared_etcd: EtcdMember, space: str
) -> None:
    before = await put(engine, space, "a")
    for key in (b"compact_rev_key_of_another", b"/registry/ranges/serviceips", b"/other/pods/a/b"):
        await write_directly(shared_etcd, key, b"x")
    newest = await engine.newest()
    assert newest == before + 3
    assert await follow(engine, before, newest) == []


async def test_what_a_real_api_server_writes_is_read(
    engine: Any, shared_etcd: EtcdMember, space: str
) -> None:
    before = await engine.newest()
    tree = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "namespace": space},
        "spec": {"nodeName": "node-1"},
    }
    await write_directly(shared_etcd, f"/registry/pods/{space}/p".encode(), bodies.encode(tree))
    await write_directly(shared_etcd, f"/registry/pods/{space}/j".encode(), pod("j") + b"\n")
    rows = await follow(engine, before, before + 2)
    assert b'"nodeName":"node-1"' in rows[0].value
    assert rows[1].value == pod("j")
    loaded = await load(engine, space, before + 2)
    assert [loaded["p"], loaded["j"]] == rows


async def test_what_cannot_be_read_is_told_once_and_left_out(
    engine: Any, shared_etcd: EtcdMember, space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await engine.newest()
    key = f"/registry/pods/{space}/broken"
    await write_directly(shared_etcd, key.encode(), b"k8s\0\xff\xff")
    assert await follow(engine, before, before + 1) == []
    assert await load(engine, space, before + 1) == {}
    assert capsys.readouterr().out.count(key) == 1


async def test_many_objects_are_loaded_page_by_page(
    engine: Any, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "PAGE_ROWS", 3)
    revision = 0
    for number in range(7):
        revision = await put(engine, space, f"p{number}")
    assert sorted(await load(engine, space, revision)) == [f"p{number}" for number in range(7)]


async def test_what_is_compacted_is_said_with_what_is_not(engine: Any, space: str) -> None:
    first = await put(engine, space, "a")
    second = await put(engine, space, "a", first)
    third = await put(engine, space, "b")
    await engine.compact(second)
    with pytest.raises(Compacted) as caught:
        await engine.load(first)
    assert caught.value.revision == second
    with pytest.raises(Compacted) as caught:
        await follow(engine, first - 1, third)
    assert caught.value.revision == second
    assert (await load(engine, space, second))["a"].revision == second
    assert [row.name for row in await follow(engine, second, third)] == ["b"]


async def test_of_those_who_want_to_compact_one_does(
    engine: Any, shared_etcd: EtcdMember, space: str
) -> None:
    """The second has seen nothing of the key: it learns whose turn it was, and takes the next."""
    first = await put(engine, space, "a")
    second = await put(engine, space, "a", first)
    other = engines.EtcdEngine(EtcdTarget((shared_etcd.endpoint,)), Rng(2))
    try:
        await engine.compact(first)
        await other.compact(second)  # it may be the first compaction of the module's etcd
        assert (await load(engine, space, first))["a"].revision == first
        await other.compact(second)
        with pytest.raises(Compacted):
            await engine.load(first)
    finally:
        await other.close()


async def test_an_object_goes_when_its_time_is_over(engine: Any, space: str) -> None:
    first = await put(engine, space, "a", ttl_s=1)
    await put(engine, space, "b", ttl_s=1)
    rows: list[Row] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(engine.follow(first - 1)) as feed:
        async for progress in feed:
            rows.extend(progress.rows)
            if len(rows) == 4:
                break
    assert sorted((row.name, row.deleted) for row in rows[2:]) == [("a", True), ("b", True)]
    assert rows[2].value in (pod("a"), pod("b"))


async def test_objects_share_a_lease_for_a_while(
    engine: Any, shared_etcd: EtcdMember, space: str
) -> None:
    for name in ("a", "b", "c"):
        await put(engine, space, name, ttl_s=3600)
    await put(engine, space, "d", ttl_s=7200)
    async with aetcd.Client(port=shared_etcd.port) as client:
        found = await client.get_prefix(f"/registry/pods/{space}/".encode())
    assert len({kv.lease for kv in found if not kv.key.endswith(b"d")}) == 1
    assert len({kv.lease for kv in found}) == 2


async def test_a_lease_that_is_gone_is_replaced(
    engine: Any, shared_etcd: EtcdMember, space: str
) -> None:
    await put(engine, space, "a", ttl_s=3600)
    async with aetcd.Client(port=shared_etcd.port) as client:
        (found,) = await client.get_prefix(f"/registry/pods/{space}/".encode())
        await client.revoke_lease(found.lease)
    await put(engine, space, "a", ttl_s=3600)


async def test_what_is_too_large_is_refused_and_not_made(engine: Any, space: str) -> None:
    value = b'{"apiVersion":"v1","metadata":{"name":"%s"}}' % (b"x" * 2_000_000)
    with pytest.raises(StoreError, match="too large"):
        await put(engine, space, "a", value=value)
    assert await load(engine, space, await engine.newest()) == {}


async def test_large_values_come_in_fragments_and_whole(engine: Any, space: str) -> None:
    value = b'{"apiVersion":"v1","metadata":{"name":"%s"}}' % (b"x" * 600_000)
    before = await engine.newest()
    for name in ("a", "b", "c", "d"):
        await put(engine, space, name, value=value)
    rows = await follow(engine, before, before + 4)
    assert [(row.name, len(row.value)) for row in rows] == [(n, len(value)) for n in "abcd"]


async def test_progress_can_be_asked_for_at_any_time(engine: Any, space: str) -> None:
    await engine.ask_progress()
    before = await put(engine, space, "a")
    async with asyncio.timeout(PATIENCE_S), aclosing(engine.follow(before - 1)) as feed:
        assert (await anext(feed)).revision == before
        for _ in range(3):
            await engine.ask_progress()
        after = await put(engine, space, "b")
        progress = await anext(feed)
        assert (progress.revision, [row.name for row in progress.rows]) == (after, ["b"])


async def test_who_asks_for_progress_and_is_cancelled_does_not_end_the_watch(
    engine: Any, space: str
) -> None:
    before = await put(engine, space, "a")
    async with asyncio.timeout(PATIENCE_S), aclosing(engine.follow(before - 1)) as feed:
        await anext(feed)
        for turns in range(5):
            asking = asyncio.create_task(engine.ask_progress())
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
        after = await put(engine, space, "b")
        assert (await anext(feed)).revision == after


async def test_a_watch_that_is_asked_before_it_is_begun_shows_everything(
    engine: Any, space: str, shared_etcd: EtcdMember
) -> None:
    before = await put(engine, space, "a")
    after = await put(engine, space, "b")
    asked = clients.EtcdClient(EtcdTarget((shared_etcd.endpoint,)), Rng(1))
    begun = watches.Watch(await asked.member(), before - 1, RowReader().event)
    begun.ask()
    await engine.newest()  # a round trip: what was sent before is on its way
    assert await begun.open() >= after
    rows = list((await begun.read()).rows)
    assert [row.revision for row in rows] == [before, after]
    begun.cancel()
    await asked.close()


async def test_closing_twice_is_harmless(shared_etcd: EtcdMember) -> None:
    one = engines.EtcdEngine(EtcdTarget((shared_etcd.endpoint,)), Rng(1))
    await one.open()
    await one.close()
    await one.close()
    with pytest.raises(StoreError, match="closed"):
        await one.newest()
