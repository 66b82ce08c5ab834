"""The HTTPS request to a webhook: what is sent, what is trusted, how it fails."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from throwawaypki import Authority

from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook
from kubeherd.cluster.apiserver.admission.webhooks.review import CallFailed
from kubeherd.cluster.apiserver.write import webhookcall


class Server:
    """An HTTPS server on loopback with the certificate of an authority of its own."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        if request.path == "/slow":
            await asyncio.sleep(30)
        if request.path == "/moved":
            raise web.HTTPFound("/")
        if request.path == "/broken":
            return web.Response(status=503, text="try later\n")
        if request.path == "/large":
            return web.Response(body=b"x" * (3 * 1024 * 1024 + 1))
        return web.Response(body=b"answer")

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pki = self.authority.directory / "pki"
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def hook(self, path: str = "/", **config: Any) -> Hook:
        bundle = base64.b64encode(self.authority.certificate).decode()
        client = {"url": self.url + path, "caBundle": bundle, **config}
        return Hook("c", {"name": "x", "timeoutSeconds": 1, "clientConfig": client})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    runner = await server.start()
    yield server
    await runner.cleanup()


async def test_a_call(server: Server) -> None:
    assert await webhookcall.post(server.hook("/path?a=b"), b'{"review": 1}') == b"answer"
    request = server.requests[0]
    assert (request.path, dict(request.query)) == ("/path", {"a": "b", "timeout": "1s"})
    assert request.headers["Content-Type"] == "application/json"
    assert server.bodies == [b'{"review": 1}']


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/slow", "context deadline exceeded"),
        ("/broken", '("try later") has prevented the request from succeeding'),
        ("/moved", "has prevented the request from succeeding"),
        ("/large", "larger than"),
    ],
)
async def test_answers_that_are_none(server: Server, path: str, why: str) -> None:
    with pytest.raises(CallFailed, match=r"^failed to call webhook: ") as failed:
        await webhookcall.post(server.hook(path), b"{}")
    assert why in str(failed.value)


async def test_only_the_bundle_is_trusted(server: Server, tmp_path: Path) -> None:
    other = base64.b64encode(Authority(tmp_path / "other").certificate).decode()
    for bundle, why in (
        (other, "certificate verify failed"),
        ("", "certificate verify failed"),
        ("bm9uZQ==", "unable to load root certificates"),
    ):
        with pytest.raises(CallFailed, match=why):
            await webhookcall.post(server.hook(caBundle=bundle), b"{}")
    assert server.requests == []


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"url": "https://127.0.0.1:1/"},
         r'Post "https://127.0.0.1:1/\?timeout=1s": dial tcp 127.0.0.1:1: connect: conn'),
        ({"url": "https://[::1]:1/"}, r"dial tcp \[::1\]:1: connect: "),
        ({"url": "http://127.0.0.1/"}, "must begin with https://"),
        ({"service": {"namespace": "n", "name": "s"}},
         "Service n/s cannot be reached: in kubeherd no traffic goes to Services"),
    ],
)  # fmt: skip
async def test_nobody_there(config: dict[str, Any], why: str) -> None:
    hook = Hook("c", {"name": "x", "timeoutSeconds": 1, "clientConfig": config})
    with pytest.raises(CallFailed, match=why):
        await webhookcall.post(hook, b"{}")
