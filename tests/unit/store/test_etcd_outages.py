"""The engine while etcd dies, hangs, loses its majority, or is cut off."""

import asyncio
import importlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cutproxy import CutProxy
from etcdserver import EtcdMember
from patience import PATIENCE_S

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import OutcomeUnknown, Row, StoreError
from kubeherd.cluster.store.etcd.target import EtcdTarget
from kubeherd.cluster.store.sharedengine import Change, Compacted, Made

pytest.importorskip("hpack", reason="the extra etcd is not installed")
engines = importlib.import_module("kubeherd.cluster.store.etcd.engine")
client = importlib.import_module("kubeherd.cluster.store.etcd.client")
channel = importlib.import_module("kubeherd.cluster.store.etcd.grpc.channel")
watch = importlib.import_module("kubeherd.cluster.store.etcd.watch")

POD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}'
BOUND_S = 30.0
"""More than an engine that does not wait for ever needs, on a busy machine."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (client, watch):
        monkeypatch.setattr(module, "ANSWER_S", 1.0)
    monkeypatch.setattr(client, "PATIENCE_S", 0.7)
    monkeypatch.setattr(watch, "ALIVE_S", 0.5)


@asynccontextmanager
async def opened(*endpoints: str, seed: int = 1) -> AsyncIterator[Any]:
    engine = engines.EtcdEngine(EtcdTarget(endpoints), Rng(seed))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await engine.open()
                    break
                except StoreError:
                    continue
        yield engine
    finally:
        await engine.close()


def change(name: str, base: int = 0) -> Change:
    return Change("pods", "default", name, base, POD)


async def until_written(engine: Any, name: str) -> int:
    """Try until it works, as a client would."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                made = await engine.transact([change(name)], [])
            except OutcomeUnknown:
                found = {row.name: row for row in await engine.load(await engine.newest())}
                if name in found:
                    return found[name].revision
                continue
            except StoreError:
                continue
            assert isinstance(made, Made)
            return made.revision


class Follower:
    """Collects what an engine follows."""

    def __init__(self, engine: Any, after: int) -> None:
        self.rows: list[Row] = []
        self.revision = after
        self.moved = asyncio.Event()
        self._engine = engine
        self._task = asyncio.create_task(self._follow(after))

    async def _follow(self, after: int) -> None:
        async with aclosing(self._engine.follow(after)) as feed:
            async for progress in feed:
                assert progress.revision > self.revision
                assert all(self.revision < row.revision for row in progress.rows)
                assert all(row.revision <= progress.revision for row in progress.rows)
                self.revision = progress.revision
                self.rows.extend(progress.rows)
                self.moved.set()

    async def reach(self, revision: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.revision < revision:
                self.moved.clear()
                moved = asyncio.create_task(self.moved.wait())
                done, _ = await asyncio.wait(
                    [moved, self._task], return_when=asyncio.FIRST_COMPLETED, timeout=0.3
                )
                moved.cancel()
                if self._task in done:
                    self._task.result()
                if not done:
                    await self._engine.ask_progress()

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@asynccontextmanager
async def following(engine: Any, after: int) -> AsyncIterator[Follower]:
    follower = Follower(engine, after)
    try:
        yield follower
    finally:
        await follower.end()


def names(rows: Sequence[Row]) -> list[str]:
    return [row.name for row in rows]


async def test_following_goes_on_after_etcd_was_killed(etcd: EtcdMember) -> None:
    async with opened(etcd.endpoint) as engine:
        start = await engine.newest()
        async with following(engine, start) as follower:
            for number in range(3):
                revision = await until_written(engine, f"p{number}")
                await follower.reach(revision)
                etcd.kill()
                etcd.start()
            await follower.reach(await until_written(engine, "last"))
            assert names(follower.rows) == ["p0", "p1", "p2", "last"]


async def test_a_write_whose_answer_is_lost_has_an_unknown_outcome(etcd: EtcdMember) -> None:
    proxy = CutProxy(etcd.port)
    await proxy.start()
    async with opened(f"http://127.0.0.1:{proxy.port}") as engine, opened(etcd.endpoint) as other:
        start = await other.newest()
        async with following(other, start) as follower:
            proxy.answers.clear()
            writing = asyncio.create_task(engine.transact([change("a")], []))
            await follower.reach(start + 1)
            proxy.cut()
            with pytest.raises(OutcomeUnknown, match=f"127.0.0.1:{proxy.port}"):
                await writing
            proxy.answers.set()
            assert names(await engine.load(await engine.newest())) == ["a"]
    await proxy.stop()


async def test_a_write_that_did_not_leave_is_an_error_and_not_made(etcd: EtcdMember) -> None:
    proxy = CutProxy(etcd.port)
    await proxy.start()
    async with opened(f"http://127.0.0.1:{proxy.port}") as engine:
        await proxy.stop()
        with pytest.raises(StoreError):  # the first may meet the connection while it breaks
            await engine.transact([change("a")], [])
        with pytest.raises(StoreError, match="is etcd running") as caught:
            await engine.transact([change("b")], [])
        assert not isinstance(caught.value, OutcomeUnknown)
        assert "\n" not in str(caught.value)
        await proxy.start()
        await until_written(engine, "c")
        assert "b" not in names(await engine.load(await engine.newest()))
    await proxy.stop()


async def test_without_a_majority_all_fail_in_time_and_recover_by_themselves(
    etcds: list[EtcdMember],
) -> None:
    async with opened(*(member.endpoint for member in etcds)) as engine:
        start = await until_written(engine, "before")
        async with following(engine, start) as follower:
            for member in etcds[1:]:
                member.kill()
            asked = [
                engine.transact([change("during")], []),
                engine.newest(),
                engine.load(start),
                engine.compact(start),
            ]
            async with asyncio.timeout(BOUND_S):
                answers = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(answer, StoreError) for answer in answers), answers
            for member in etcds[1:]:
                member.start()
            await follower.reach(await until_written(engine, "after"))
            assert names(follower.rows)[-1] == "after"
            assert set(names(follower.rows)) <= {"during", "after"}


async def test_a_member_that_hangs_is_left_for_another(etcds: list[EtcdMember]) -> None:
    """It is the one that is asked and watched; a frozen follower hurts nobody else."""
    async with opened(*(member.endpoint for member in etcds)) as engine:
        start = await until_written(engine, "before")
        async with following(engine, start) as follower:
            await follower.reach(await until_written(engine, "watched"))
            asked = engine._client._members[engine._client._at]
            (frozen,) = [member for member in etcds if member.endpoint == asked.endpoint]
            frozen.freeze()
            try:
                await follower.reach(await until_written(engine, "during"))
            finally:
                frozen.thaw()
            assert names(follower.rows) == ["watched", "during"]


async def test_a_watch_leaves_a_member_that_hangs_though_nobody_asks(
    etcds: list[EtcdMember], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pings, here ten times as often."""
    for name in ("PING_AFTER_S", "PING_ANSWER_S"):
        monkeypatch.setattr(channel, name, getattr(channel, name) / 10)
    async with opened(*(member.endpoint for member in etcds)) as engine:
        start = await until_written(engine, "before")
        async with following(engine, start) as follower:
            await follower.reach(await until_written(engine, "watched"))
            asked = engine._client._members[engine._client._at]
            (frozen,) = [member for member in etcds if member.endpoint == asked.endpoint]
            others = [member.endpoint for member in etcds if member is not frozen]
            frozen.freeze()
            try:
                async with opened(*others) as other, asyncio.timeout(PATIENCE_S):
                    during = await until_written(other, "during")
                    while follower.revision < during:
                        follower.moved.clear()
                        await follower.moved.wait()
            finally:
                frozen.thaw()


async def test_a_member_of_another_cluster_is_not_asked(
    etcd: EtcdMember, shared_etcd: EtcdMember
) -> None:
    """The second endpoint is a mistake of whoever configured it, found once the first is dead."""
    async with opened(shared_etcd.endpoint, seed=1) as engine:
        await engine.newest()
    engine = engines.EtcdEngine(EtcdTarget((etcd.endpoint, shared_etcd.endpoint)), FirstFirst(1))
    try:
        await engine.open()
        etcd.kill()
        with pytest.raises(StoreError, match="another cluster"):
            await engine.newest()
    finally:
        await engine.close()


class FirstFirst(Rng):
    """Asks the endpoints in their order."""

    def randrange(self, *bounds: int) -> int:  # type: ignore[override]
        return 0


async def test_an_etcd_that_is_older_than_what_was_seen_is_noticed(etcd: EtcdMember) -> None:
    async with opened(etcd.endpoint) as engine:
        newest = await engine.newest()
        async with aclosing(engine.follow(newest + 5)) as feed:
            with pytest.raises(Compacted, match="older snapshot"):
                await anext(feed)


@pytest.mark.usefixtures("_etcd_is_there")
async def test_no_space_is_left(tmp_path: Path) -> None:
    """All that was not refused is there; what was refused is not, or its outcome is unknown."""
    member = EtcdMember(tmp_path, "m0", ["--quota-backend-bytes=4194304"])
    member.start()
    large = b'{"apiVersion":"v1","metadata":{"name":"%s"}}' % (b"x" * 1_000_000)
    made, refused, why = set(), set(), ""
    try:
        async with opened(member.endpoint) as engine:
            for number in range(20):
                one = Change("pods", "default", f"p{number}", 0, large)
                try:
                    assert isinstance(await engine.transact([one], []), Made)
                    made.add(one.name)
                except OutcomeUnknown:
                    pass
                except StoreError as error:
                    refused.add(one.name)
                    why = str(error)
            found = set(names(await engine.load(await engine.newest())))
            assert made <= found
            assert "no space left: compact, defragment" in why
            assert not refused & found
    finally:
        member.kill()


async def test_nothing_listens(etcd: EtcdMember) -> None:
    etcd.kill()
    engine = engines.EtcdEngine(EtcdTarget((etcd.endpoint,)), Rng(1))
    try:
        with pytest.raises(StoreError, match=f"{etcd.endpoint}: nothing listens there"):
            await engine.open()
    finally:
        await engine.close()


async def test_under_kills_nothing_is_missed_and_nothing_comes_twice(
    etcds: list[EtcdMember],
) -> None:
    """Each of some writers counts one object up, or begins anew what it cannot know; all that was
    acknowledged was seen by each follower, once, in the order of revisions."""
    rng = random.Random(1)
    endpoints = [member.endpoint for member in etcds]
    async with opened(*endpoints, seed=1) as engine, opened(*endpoints, seed=2) as other:
        start = await until_written(engine, "first")
        acknowledged: dict[int, str] = {}
        running = True

        async def write(number: int) -> None:
            turn = 0
            while running:
                turn += 1
                name = f"w{number}-{turn}"
                try:
                    made = await (engine, other)[number % 2].transact([change(name)], [])
                except StoreError:
                    continue
                assert isinstance(made, Made)
                acknowledged[made.revision] = name

        async with following(engine, start) as one, following(other, start) as two:
            async with asyncio.TaskGroup() as writers:
                for number in range(6):
                    writers.create_task(write(number))
                for _ in range(3):
                    victim = rng.choice(etcds)
                    victim.kill()
                    await one.reach(max(acknowledged, default=start) + 20)
                    victim.start()
                running = False
            last = await until_written(engine, "last")
            await one.reach(last)
            await two.reach(last)
            assert one.rows == two.rows
            seen_at = {row.revision: row.name for row in one.rows}
            assert len(seen_at) == len(one.rows) == last - start
            assert {revision: seen_at.get(revision) for revision in acknowledged} == acknowledged
            loaded = {row.name: row for row in await engine.load(last)}
            assert loaded == {"first": loaded["first"]} | {row.name: row for row in one.rows}
