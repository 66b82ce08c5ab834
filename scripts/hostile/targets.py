"""Whom the hostile requests go to: an API server in this process, or one over TLS that is ours.

Both answer the same questions about the server: its revision, its memory, the processor time that
it has used (which says how long it was busy, whatever else the machine does), and what it stores.
"""

import asyncio
import base64
import ctypes
import gc
import gzip
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Protocol
from urllib.parse import quote, urlencode

import aiohttp
import yaml
import yarl

from hostile.requests import Hostile
from hostile.writers import Writers
from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Dropped,
    UpgradeResponse,
)
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.engine import MemoryEngine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import Store, running

ADMIN = authenticated("kubernetes-admin", ["system:masters"])
_SPEED = 1000.0
"""In this process: nothing waits, and nothing that expires is looked for."""

_HISTORY_EVENTS, _HISTORY_BYTES = 500, 2 * 1024 * 1024
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Of a server in another process: what large bodies took is given back, so that memory that grows
is a leak. glibc's own thresholds grow with the bodies: 80 MiB of 340 were nobody's after 80,000
requests."""
_TICK_S = 0.005
_ANSWER_TIMEOUT_S = 30.0
_START_TIMEOUT_S = 30.0
_GZIP_EVERY = 5
_OK, _SWITCHING_PROTOCOLS = 200, 101
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STORED = tuple(r for r in kinds.ALL if "list" in r.verbs and r.plural != "componentstatuses")


@dataclass(frozen=True)
class Answer:
    """What came back; status 0: nothing did."""

    status: int
    body: bytes = b""


class Target(Protocol):
    """A server under attack."""

    async def send(self, request: Hostile) -> Answer: ...
    async def revision(self) -> int: ...
    async def stored(self) -> list[JsonObject]: ...
    def by_itself(self, after: int, until: int) -> bool:
        """Whether all writes after one revision and until another were the server's own."""

    async def stall_s(self) -> float:
        """How long the server was just busy without letting a small request through."""

    def memory_bytes(self) -> int: ...


class InProcess:
    """`ApiServer.handle`, one request after the other."""

    def __init__(self, api: ApiServer, store: Store) -> None:
        self._api = api
        self._store = store

    async def send(self, request: Hostile) -> Answer:
        asked = ApiRequest(
            request.method, request.path, request.query, request.headers, request.body, ADMIN
        )
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                response = await self._api.handle(asked)
        except TimeoutError as error:
            return Answer(0, repr(error).encode())
        if isinstance(response, ApiResponse):
            return Answer(response.status, response.body)
        if isinstance(response, UpgradeResponse):
            return Answer(_SWITCHING_PROTOCOLS)
        if isinstance(response, Dropped):
            return Answer(0, b"dropped, though no fault is in force")
        with suppress(StopAsyncIteration, TimeoutError):
            async with asyncio.timeout(_TICK_S):
                await anext(response.chunks)
        await response.chunks.aclose()
        return Answer(200)

    async def revision(self) -> int:
        return self._store.revision

    async def stored(self) -> list[JsonObject]:
        keys = dict.fromkeys(resource.group_resource for resource in STORED)
        return [record.load() for key in keys for record in self._store.list(key)]

    def by_itself(self, after: int, until: int) -> bool:
        return False  # nothing runs in the background

    async def stall_s(self) -> float:
        before_s = process_time()
        await asyncio.sleep(_TICK_S)
        return process_time() - before_s

    def memory_bytes(self) -> int:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        return _resident_bytes(os.getpid())


@asynccontextmanager
async def in_process() -> AsyncIterator[InProcess]:
    """A server in this process, with a short history so that what grows is a leak."""
    turns = Turns()
    store = LocalStore(
        MemoryEngine(),
        attrs_of,
        max_history_events=_HISTORY_EVENTS,
        max_history_bytes=_HISTORY_BYTES,
        turns=turns,
    )
    async with running(store):
        api = ApiServer(store, LoopClock(_SPEED), Rng(1), turns=turns)
        await api.bootstrap()
        try:
            yield InProcess(api, store)
        finally:
            api.close()


class OverTls:
    """A process of its own, reached as any client reaches it. Every fifth body is compressed."""

    def __init__(
        self, session: aiohttp.ClientSession, server: str, pid: int, writers: Writers
    ) -> None:
        self._session = session
        self._server = server
        self._pid = pid
        self._writers = writers
        self._sent = 0

    async def send(self, request: Hostile) -> Answer:
        self._sent += 1
        headers = dict(request.headers)
        body = request.body
        if body and self._sent % _GZIP_EVERY == 0:
            headers["Content-Encoding"] = "gzip"
            body = await asyncio.to_thread(gzip.compress, body, 1)
        text = quote(request.path or "/", safe="/") + "?" + urlencode(request.query)
        # Absolute, because a path that begins with two slashes would name a host.
        url = yarl.URL(f"{self._server}/{text.removeprefix('/')}", encoded=True)
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                async with self._session.request(
                    request.method,
                    url,
                    data=body,
                    headers=headers,
                    skip_auto_headers=("Content-Type",),
                ) as response:
                    return Answer(response.status, await _beginning(request, response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer(0, repr(error).encode())

    async def _get(self, path: str) -> JsonObject:
        async with self._session.get(path) as response:
            tree: JsonObject = await response.json()
            return tree

    async def revision(self) -> int:
        listed = await self._get("/api/v1/componentstatuses?limit=1")
        return int(listed["metadata"]["resourceVersion"])

    async def stored(self) -> list[JsonObject]:
        found = []
        for resource in STORED:
            if resource.group == "events.k8s.io":
                continue  # the same as core/v1 keeps, whose rules are the milder ones
            listed = await self._get(resource.path())
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            found += [{**head, **item} for item in listed["items"]]
        return found

    def by_itself(self, after: int, until: int) -> bool:
        return self._writers.by_itself(after, until)

    async def stall_s(self) -> float:
        before_s = self._cpu_s()
        with suppress(aiohttp.ClientError):
            async with self._session.get("/readyz") as response:
                await response.read()
        stall_s = self._cpu_s() - before_s
        await asyncio.sleep(_TICK_S)
        return stall_s

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def memory_bytes(self) -> int:
        return _resident_bytes(self._pid)


async def _beginning(request: Hostile, response: aiohttp.ClientResponse) -> bytes:
    """The answer; of a watch what comes at once, for it would last until its timeout."""
    ends = "watch" not in request.query or request.query.get("timeoutSeconds") == "0"
    if ends or response.status != _OK:
        return await response.read()
    with suppress(TimeoutError):
        async with asyncio.timeout(_TICK_S):
            await response.content.readany()
    response.close()
    return b""


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@asynccontextmanager
async def over_tls(directory: Path) -> AsyncIterator[OverTls]:
    """Start an API server of its own in `directory`; it is gone when the block is left."""
    rundir = RunDir(directory)
    rundir.prepare()
    ClusterPki.ensure(rundir, "https://127.0.0.1:1")
    history = directory / "history.jsonl"
    ready, told = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kubeherd.cluster.apiserver", "--dir", str(directory), "--port", "0",
        "--store", "memory", "--seed", "1", "--record", str(history),
        pass_fds=(told,), env={**os.environ, **_ALLOCATOR, "KUBEHERD_READY_FD": str(told)},
        stderr=(directory / "apiserver.log").open("wb"),
    )  # fmt: skip
    os.close(told)
    try:
        with os.fdopen(ready) as pipe:
            line = await asyncio.wait_for(asyncio.to_thread(pipe.readline), _START_TIMEOUT_S)
        context = _identity(directory / "kubeconfig", directory)
        connector = aiohttp.TCPConnector(ssl=context)
        server = json.loads(line)["url"]
        async with aiohttp.ClientSession(server, connector=connector) as session:
            yield OverTls(session, server, process.pid, Writers(history))
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _identity(kubeconfig: Path, directory: Path) -> ssl.SSLContext:
    config = yaml.safe_load(kubeconfig.read_text())
    user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
    files = directory / "client.crt", directory / "client.key"
    for path, key in zip(files, ("client-certificate-data", "client-key-data"), strict=True):
        path.write_bytes(base64.b64decode(user[key]))
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    context.load_cert_chain(*files)
    return context
