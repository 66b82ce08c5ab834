"""A kubeconfig that is replaced while it is in use."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from kubeherd.cluster.client.http import transport as http
from kubeherd.cluster.client.kubeconfig import KubeconfigError
from kubeherd.cluster.client.rotation import KubeconfigFile
from kubeherd.cluster.launcher.directory.rundir import write_private
from kubeherd.cluster.launcher.pki import Authority, Identity, KeyPair, kubeconfig

SERVER = "https://127.0.0.1:1"


def write(path: Path, authority: Authority, user: str, server: str = SERVER) -> None:
    pair = authority.issue_client(Identity(user))
    tree = kubeconfig(server, authority.certificate_pem, pair, user)
    write_private(path, orjson.dumps(tree))


def test_what_is_new_and_good_is_taken(tmp_path: Path) -> None:
    path, authority = tmp_path / "kubeconfig", Authority.create()
    write(path, authority, "a")
    file = KubeconfigFile(path)
    first = file.access
    assert file.newer() is None
    write(path, authority, "b")
    second = file.newer()
    assert second == file.access != first
    path.touch()
    assert file.newer() is None  # nothing else is in it


def test_what_cannot_be_used_is_not_taken(tmp_path: Path) -> None:
    path, authority = tmp_path / "kubeconfig", Authority.create()
    with pytest.raises(KubeconfigError):
        KubeconfigFile(path)
    write(path, authority, "a")
    file = KubeconfigFile(path)
    first, good = file.access, path.read_bytes()
    path.write_bytes(good[:100])
    assert file.newer() is None
    path.unlink()
    assert file.newer() is None
    assert file.access is first
    write(path, authority, "b")
    assert file.newer() is not None


@asynccontextmanager
async def serving(authority: Authority, tmp_path: Path) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that says who asks; ``/slow`` sets the event, and waits for another request."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def who(request: web.Request) -> web.Response:
        if request.path == "/slow":
            arrived.set()
            await go.wait()
        else:
            go.set()
        assert request.transport is not None
        subject = request.transport.get_extra_info("peercert")["subject"]
        return web.json_response({"user": subject[0][0][1]})

    pair: KeyPair = authority.issue_server()
    (tmp_path / "server.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_get("/{path}", who)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", arrived
    finally:
        await runner.cleanup()


async def test_new_requests_go_out_under_the_new_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LOOK_INTERVAL_S", 0.0)
    path, authority = tmp_path / "kubeconfig", Authority.create()

    async def asked(target: str) -> str:
        return str(orjson.loads((await transport.request("GET", target)).body)["user"])

    async with serving(authority, tmp_path) as (server, arrived):
        write(path, authority, "old", server)
        transport = http.from_kubeconfig(path)
        slow = asyncio.create_task(asked("/slow"))
        await arrived.wait()
        write(path, authority, "new", server)
        assert await asked("/b") == "new"
        assert await slow == "old"  # what was under way is not cut off
        assert await asked("/c") == "new"
        assert transport._retired == []  # and no connection of the old identity is left
        await transport.close()
