"""A snapshot put into a real etcd, and what happens to one that has objects."""

import itertools
import lzma
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from etcdserver import EtcdMember, find_etcd

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import OutcomeUnknown, StoreError
from kubeherd.cluster.store.sharedengine import Change, Conflict, Guard, Made
from kubeherd.snapshot import adapting, etcdsnapshot, sharing
from kubeherd.snapshot.model import Snapshot, SnapshotError

if TYPE_CHECKING:
    from kubeherd.cluster.store.etcd.engine import EtcdEngine

pytest.importorskip("hpack", reason="the extra etcd is not installed")
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


def engine(member: EtcdMember) -> "EtcdEngine":
    from kubeherd.cluster.store.etcd.engine import EtcdEngine  # noqa: PLC0415 - an extra
    from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415

    return EtcdEngine(EtcdTarget((member.endpoint,)), Rng(1))


async def objects(member: EtcdMember) -> dict[tuple[str, str, str], bytes]:
    asked = engine(member)
    rows = await asked.load(await asked.open())
    await asked.close()
    return {(row.resource_key, row.namespace, row.name): row.value for row in rows}


async def test_all_objects_are_in_it_and_it_is_filled_once(etcd, snapshot: Snapshot):
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


async def put(member: EtcdMember, key: bytes, value: bytes) -> None:
    from kubeherd.cluster.store.etcd.client import EtcdClient  # noqa: PLC0415 - an extra
    from kubeherd.cluster.store.etcd.member import Call  # noqa: PLC0415
    from kubeherd.cluster.store.etcd.messages import rpc  # noqa: PLC0415
    from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415

    client = EtcdClient(EtcdTarget((member.endpoint,)), Rng(1))
    operation = rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value))
    await client.ask(Call.TXN, rpc.TxnRequest(success=[operation]))
    await client.close()


async def test_what_cannot_be_read_counts_and_what_is_not_of_kubernetes_does_not(
    etcd, snapshot: Snapshot
):
    await put(etcd, b"/mine", b"x")
    await put(etcd, b"/registry/secrets/default/s", b"k8s:enc:aescbc:v1:key1:x")
    with pytest.raises(SnapshotError, match="has objects of Kubernetes"):
        await sharing.fill(engine(etcd), snapshot)


Transact = Callable[[Sequence[Change], Sequence[Guard]], Awaitable[Made | Conflict]]


def failing(transact: Transact, failure: Exception | None, *, is_made: bool) -> Transact:
    """Transactions of an engine, whose third fails; with `is_made` it is made all the same."""
    number = itertools.count(1)

    async def third_fails(changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        if next(number) == 3:
            if is_made:
                await transact(changes, guards)
            if failure is None:
                return Conflict(1)
            raise failure
        return await transact(changes, guards)

    return third_fails


@pytest.mark.parametrize(
    ("failure", "is_made"),
    [(None, False), (StoreError("etcd is out of space"), False), (OutcomeUnknown("no"), True)],
)
async def test_after_a_failure_nothing_is_left(
    etcd, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, failure, is_made
):
    monkeypatch.setattr(sharing, "GROUP", 10)
    used = engine(etcd)
    monkeypatch.setattr(used, "transact", failing(used.transact, failure, is_made=is_made))
    with pytest.raises((SnapshotError, StoreError)):
        await sharing.fill(used, snapshot)
    assert await objects(etcd) == {}


async def test_a_full_etcd_has_nothing_of_it_afterwards(
    tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sharing, "GROUP", 2)
    small = ["--quota-backend-bytes=60000", "--backend-batch-limit=1"]  # looked at with each write
    member = EtcdMember(tmp_path / "etcd", "small", small)
    member.start()
    try:
        with pytest.raises(StoreError, match="it has no space left: compact, defragment"):
            await sharing.fill(engine(member), snapshot)
        asked = engine(member)
        assert await asked.open() > 2  # some were written
        await asked.close()
        assert await objects(member) == {}
    finally:
        member.kill()


async def test_what_somebody_else_wrote_stays(
    etcd, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sharing, "GROUP", 10)
    theirs = b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}}'

    used = engine(etcd)
    transact = used.transact

    async def crowded(changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        if any(change.name == "default" and change.base == 0 for change in changes):
            await put(etcd, b"/registry/namespaces/default", theirs)
        return await transact(changes, guards)

    monkeypatch.setattr(used, "transact", crowded)
    with pytest.raises(SnapshotError, match="somebody else writes"):
        await sharing.fill(used, snapshot)
    assert list((await objects(etcd)).values()) == [theirs]


async def test_what_comes_last_and_fails_leaves_nothing(etcd, snapshot: Snapshot):
    def finish() -> None:
        raise OSError(39, "Directory not empty")

    with pytest.raises(OSError, match="not empty"):
        await sharing.fill(engine(etcd), snapshot, finish)
    assert await objects(etcd) == {}


async def test_what_cannot_be_deleted_again_is_told(
    etcd, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
):
    def killed() -> None:
        monkeypatch.setattr("kubeherd.cluster.store.etcd.client.PATIENCE_S", 0.1)
        etcd.kill()
        raise OSError(5, "Input/output error")

    with pytest.raises(SnapshotError, match=r"could not be deleted again: .*`etcdctl del --prefix"):
        await sharing.fill(engine(etcd), snapshot, killed)
