"""An API server on a real TLS socket, and raw bytes to and from it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from apicluster import api_cluster
from patience import PATIENCE_S
from throwawaypki import Authority

from kubeherd.cluster.apiserver.edge.http import HttpServer
from kubeherd.cluster.apiserver.edge.listener import MAX_CONNECTIONS
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, Response
from kubeherd.cluster.apiserver.edge.tls import tls_context
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.rng import Rng


@dataclass
class Served:
    http: HttpServer
    port: int
    authority: Authority
    api: ApiServer

    def tls(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """A client's context, with its certificate and key file if it has an identity."""
        context = ssl.create_default_context(
            cafile=str(self.authority.directory / "pki" / "ca.crt")
        )
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return context

    def session(self, user: str = "", *groups: str) -> aiohttp.ClientSession:
        context = self.tls(*self.authority.identity(user, *groups)) if user else self.tls()
        return aiohttp.ClientSession(
            f"https://127.0.0.1:{self.port}", connector=aiohttp.TCPConnector(ssl=context)
        )

    def admin(self) -> aiohttp.ClientSession:
        return self.session("admin", "system:masters")


@asynccontextmanager
async def serving(
    directory: Path, *, max_connections: int = MAX_CONNECTIONS, lenient: bool = True
) -> AsyncIterator[Served]:
    """A bootstrapped server with its certificates in `directory`; gone when the block is left.
    `lenient` as for `tls_context`."""
    authority = Authority(directory)
    async with api_cluster() as cluster:
        http = HttpServer(cluster.api, cluster.clock, Rng(1), max_connections=max_connections)
        port = await http.start("127.0.0.1", 0, tls_context(directory / "pki", lenient=lenient))
        yield Served(http, port, authority, cluster.api)
        await http.stop()


def holding(served: Served) -> tuple[asyncio.Event, asyncio.Event]:
    """Requests wait from now on: the first event says that one has arrived, the second lets them
    go on."""
    arrived, may_go_on = asyncio.Event(), asyncio.Event()
    handle = served.api.handle

    async def slow(request: ApiRequest) -> Response:
        arrived.set()
        await may_go_on.wait()
        return await handle(request)

    served.api.handle = slow
    return arrived, may_go_on


async def wire(
    served: Served, sent: bytes, *, then: bytes = b"", patience_s: float = PATIENCE_S
) -> bytes:
    """What comes back for these bytes, until the server closes or falls silent; `then` is sent
    after the first answer."""
    context = served.tls(*served.authority.identity("admin", "system:masters"))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    received = b""
    try:
        writer.write(sent)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while chunk := await reader.read(65536):
                    received += chunk
                    writer.write(then)
                    then = b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return received


def request(
    method: str = "GET",
    path: str = "/version",
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> bytes:
    usual = {"Host": "x", "Connection": "close", "Content-Type": "application/json"}
    sent = {**usual, **(headers or {}), **more}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in sent.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body
