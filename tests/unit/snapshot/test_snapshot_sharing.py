"""A snapshot put into a real etcd, and what happens to one that has objects."""

import lzma
from collections.abc import Sequence
from pathlib import Path

import pytest
from etcdserver import EtcdMember, find_etcd

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.sharedengine import Change, Conflict, Guard, Made, SharedEngine
from kubeherd.snapshot import adapting, etcdsnapshot, sharing
from kubeherd.snapshot.model import Snapshot, SnapshotError

pytest.importorskip("grpc", reason="the extra etcd is not installed")
pytestmark = pytest.mark.skipif(find_etcd() is None, reason="there is no etcd")
RECORDED = Path(__file__).parents[2] / "data" / "etcd-snapshot.db.xz"


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    found = etcdsnapshot.read(lzma.decompress(RECORDED.read_bytes()))
    return adapting.adapt(found, "2026-01-02T03:04:05Z").snapshot


@pytest.fixture
def etcd(tmp_path: Path):
    member = EtcdMember(tmp_path / "etcd", "one")
    member.start()
    yield member
    member.kill()


def engine(member: EtcdMember) -> SharedEngine:
    from kubeherd.cluster.store.etcd.engine import EtcdEngine  # noqa: PLC0415 - an extra
    from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415

    return EtcdEngine(EtcdTarget((member.endpoint,)), Rng(1))


async def objects(member: EtcdMember) -> dict[tuple[str, str, str], bytes]:
    asked = engine(member)
    rows = await asked.load(await asked.open())
    await asked.close()
    return {(row.resource_key, row.namespace, row.name): row.value for row in rows}


async def test_all_objects_are_in_it_and_it_is_filled_once(etcd, snapshot):
    revision = await sharing.fill(engine(etcd), snapshot)
    assert revision > 1
    found = await objects(etcd)
    assert found == {
        (entry.resource, entry.namespace, entry.name): bytes(entry.object)
        for entry in snapshot.entries
    }
    with pytest.raises(SnapshotError, match="has objects of Kubernetes already"):
        await sharing.fill(engine(etcd), snapshot)
    assert await objects(etcd) == found


class Failing:
    """An engine whose third transaction fails."""

    def __init__(self, inner: SharedEngine, failure: Exception | None) -> None:
        self._inner, self._failure, self._left = inner, failure, 3

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def transact(self, changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        self._left -= 1
        if self._left == 0:
            if self._failure is None:
                return Conflict(1)
            raise self._failure
        return await self._inner.transact(changes, guards)


@pytest.mark.parametrize("failure", [None, StoreError("etcd is out of space")])
async def test_after_a_failure_nothing_is_left(etcd, snapshot, monkeypatch, failure):
    monkeypatch.setattr(sharing, "GROUP", 10)
    with pytest.raises((SnapshotError, StoreError)):
        await sharing.fill(Failing(engine(etcd), failure), snapshot)
    assert await objects(etcd) == {}
