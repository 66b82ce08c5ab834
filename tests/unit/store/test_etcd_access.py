"""Who may talk to etcd: certificates on both sides, users and passwords; what is said if not."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from etcdserver import EtcdMember
from patience import PATIENCE_S

from kubeherd.cluster.launcher.pki import Authority, Identity, KeyPair
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.etcd.target import EtcdTarget
from kubeherd.cluster.store.sharedengine import Change, Made

pytest.importorskip("aetcd", reason="the extra etcd is not installed")
engines = importlib.import_module("kubeherd.cluster.store.etcd.engine")
client = importlib.import_module("kubeherd.cluster.store.etcd.client")
rpc = importlib.import_module("aetcd.rpc")


def change(name: str) -> Change:
    value = b'{"apiVersion":"v1","metadata":{"name":"%s"}}' % name.encode()
    return Change("pods", "default", name, 0, value)


class Pki:
    """Files of a CA, a server and a client."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.ca, self.stranger = Authority.create(), Authority.create()
        self.ca_file, self.other_ca_file = directory / "ca.crt", directory / "other.crt"
        self.ca_file.write_bytes(self.ca.certificate_pem)
        self.other_ca_file.write_bytes(self.stranger.certificate_pem)
        self.server = self._write(directory / "server", self.ca.issue_server())
        identity = Identity("kubeherd")
        self.client = self._write(directory / "client", self.ca.issue_client(identity))
        self.forged = self._write(directory / "forged", self.stranger.issue_client(identity))

    def _write(self, stem: Path, pair: KeyPair) -> tuple[Path, Path]:
        files = stem.with_suffix(".crt"), stem.with_suffix(".key")
        files[0].write_bytes(pair.certificate)
        files[1].write_bytes(pair.key)
        return files


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture(scope="module")
def tls_etcd(
    _etcd_is_there: None, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EtcdMember]:
    certificate, key = pki.server
    options = [
        f"--cert-file={certificate}",
        f"--key-file={key}",
        f"--trusted-ca-file={pki.ca_file}",
        "--client-cert-auth",
    ]
    member = EtcdMember(tmp_path_factory.mktemp("etcd"), "m0", options, scheme="https")
    member.start()
    yield member
    member.kill()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.3)


@asynccontextmanager
async def engine_of(target: EtcdTarget) -> AsyncIterator[Any]:
    engine = engines.EtcdEngine(target, Rng(1))
    try:
        yield engine
    finally:
        await engine.close()


async def until_open(engine: Any) -> int:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return int(await engine.open())
            except StoreError:
                continue


async def test_both_sides_show_certificates(tls_etcd: EtcdMember, pki: Pki) -> None:
    target = EtcdTarget((tls_etcd.endpoint,), pki.ca_file, *pki.client)
    async with engine_of(target) as engine:
        start = await until_open(engine)
        assert isinstance(await engine.transact([change("a")], []), Made)
        async with asyncio.timeout(PATIENCE_S), aclosing(engine.follow(start)) as feed:
            assert [row.name for row in (await anext(feed)).rows] == ["a"]


async def test_a_renewed_certificate_is_shown_without_a_restart(
    tls_etcd: EtcdMember, pki: Pki, tmp_path: Path
) -> None:
    files = tmp_path / "client.crt", tmp_path / "client.key"
    for file, source in zip(files, pki.forged, strict=True):
        file.write_bytes(source.read_bytes())
    async with engine_of(EtcdTarget((tls_etcd.endpoint,), pki.ca_file, *files)) as engine:
        with pytest.raises(StoreError, match="does not accept our certificate"):
            await engine.open()
        for file, source in zip(files, pki.client, strict=True):
            file.write_bytes(source.read_bytes())
        assert await until_open(engine)


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("stranger's CA", "its certificate is of another CA"),
        ("no certificate", "it does not accept our certificate, or wants one"),
        ("forged", "it does not accept our certificate, or wants one"),
        ("no TLS", "https where it wants http or the reverse"),
    ],
)
async def test_without_the_right_certificates_nothing_is_asked(
    tls_etcd: EtcdMember, pki: Pki, who: str, why: str
) -> None:
    targets = {
        "stranger's CA": EtcdTarget((tls_etcd.endpoint,), pki.other_ca_file, *pki.client),
        "no certificate": EtcdTarget((tls_etcd.endpoint,), pki.ca_file),
        "forged": EtcdTarget((tls_etcd.endpoint,), pki.ca_file, *pki.forged),
        "no TLS": EtcdTarget((tls_etcd.endpoint.replace("https", "http"),)),
    }
    async with engine_of(EtcdTarget((tls_etcd.endpoint,), pki.ca_file, *pki.client)) as engine:
        await until_open(engine)
    async with engine_of(targets[who]) as engine:
        with pytest.raises(StoreError, match=f"etcd cannot be asked: http.*{why}") as caught:
            await engine.open()
        assert "\n" not in str(caught.value)


async def test_a_certificate_that_is_not_there(pki: Pki, tmp_path: Path) -> None:
    target = EtcdTarget(("https://127.0.0.1:1",), tmp_path / "no.crt", *pki.client)
    with pytest.raises(StoreError, match=r"cannot read .*no\.crt: No such file"):
        engines.EtcdEngine(target, Rng(1))


async def enable_users(member: EtcdMember) -> None:
    """root may do everything, `writer` read and write all keys, `reader` read those of objects."""
    channel = rpc.insecure_channel(f"127.0.0.1:{member.port}")
    auth = rpc.AuthStub(channel)
    for user in ("root", "writer", "reader"):
        await auth.UserAdd(rpc.AuthUserAddRequest(name=user, password=f"{user}'s"))
        await auth.RoleAdd(rpc.AuthRoleAddRequest(name=user))
        await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user=user, role=user))
    permissions = {
        "writer": rpc.Permission(permType=2, key=b"\0", range_end=b"\0"),
        "reader": rpc.Permission(permType=0, key=b"/registry/", range_end=b"/registry0"),
    }
    for name, permission in permissions.items():
        request = rpc.AuthRoleGrantPermissionRequest(name=name, perm=permission)
        await auth.RoleGrantPermission(request)
    await auth.AuthEnable(rpc.AuthEnableRequest())
    await channel.close()


async def test_users_and_passwords(etcd: EtcdMember) -> None:
    async with engine_of(EtcdTarget((etcd.endpoint,))) as engine:
        await until_open(engine)
        await enable_users(etcd)
        with pytest.raises(StoreError, match="wants a user name"):
            await engine.newest()
    async with engine_of(EtcdTarget((etcd.endpoint,), user="root", password="wrong")) as engine:
        with pytest.raises(StoreError, match="does not know this user name with this password"):
            await engine.open()
    async with engine_of(
        EtcdTarget((etcd.endpoint,), user="reader", password="reader's")
    ) as engine:
        with pytest.raises(StoreError, match="may not read and write all keys"):
            await engine.open()
    writer = EtcdTarget((etcd.endpoint,), user="writer", password="writer's")
    async with engine_of(writer) as engine:
        await engine.open()
        assert isinstance(await engine.transact([change("w")], []), Made)
    async with engine_of(EtcdTarget((etcd.endpoint,), user="root", password="root's")) as engine:
        start = await engine.open()
        assert isinstance(await engine.transact([change("a")], []), Made)
        async with asyncio.timeout(PATIENCE_S), aclosing(engine.follow(start)) as feed:
            assert (await anext(feed)).revision == start + 1
            etcd.kill()  # with it goes the token that it gave
            etcd.start()
            await until_open(engine)
            made = await engine.transact([change("b")], [])
            assert (await anext(feed)).revision == made.revision
