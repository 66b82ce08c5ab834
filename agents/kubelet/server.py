"""A kubelet's server: what an API server that is not kubeherd's asks of a node.

Source: Kubernetes v1.36, pkg/kubelet/server/server.go. kubeherd's own API server reads the logs and
answers commands itself; a real one dials the node. Served: `/healthz`, `/containerLogs` and `/exec`
over WebSocket, which the node declares (feature ExtendWebSocketsToKubelet), so that the API server
passes a client's WebSocket on as it is. Invariants: it listens on loopback only; whoever asks is
authenticated and authorized first (`access`); it ends with the node's tasks.
"""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog
from aiohttp import web

from kubeherd.agents.kubelet import access, remotecommand
from kubeherd.agents.kubelet.certificate import self_signed
from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.helpers import logtext, podtarget
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime import logfiles
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.logfiles import LogOptions, LogSource

ADDRESS: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 1.0
_UNAVAILABLE: Final = 503

_log = structlog.get_logger(__name__)


class KubeletFacts(msgspec.Struct, frozen=True):
    """What a node's server needs to know."""

    node: str
    client: ApiClient
    clock: Clock
    ca_pem: bytes
    """The authority of the clients' certificates."""
    pod_log_dir: Path | None


@asynccontextmanager
async def serving(facts: KubeletFacts) -> AsyncIterator[int]:
    """Serve while the context is open; gives the port on `ADDRESS`."""
    handlers = _Handlers(facts)
    application = web.Application(middlewares=[handlers.guarded])
    application.router.add_get("/healthz", handlers.healthz)
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", handlers.logs)
    for path in (
        "/exec/{namespace}/{pod}/{container}",
        "/exec/{namespace}/{pod}/{uid}/{container}",
    ):
        application.router.add_get(path, handlers.execute)
        application.router.add_post(path, handlers.execute)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, ADDRESS, 0, ssl_context=_tls(facts))
        await site.start()
        port = int(runner.addresses[0][1])
        _log.info("kubelet_serving", node=facts.node, address=ADDRESS, port=port)
        yield port
    finally:
        await runner.cleanup()


def _tls(facts: KubeletFacts) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:  # `ssl` takes files only; 0600 and gone at once
        file.write(self_signed(facts.node, ADDRESS))
        file.flush()
        context.load_cert_chain(file.name)
    if facts.ca_pem:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=facts.ca_pem.decode("ascii"))
    return context


class _Handlers:
    def __init__(self, facts: KubeletFacts) -> None:
        self._facts = facts

    @web.middleware
    async def guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answer whom the API server knows and lets; errors as a kubelet's plain text."""
        client = self._facts.client
        certificate = request.get_extra_info("peercert")
        try:
            who = await access.caller(client, certificate, request.headers.get("Authorization", ""))
            await access.check(client, who, request.method, request.path, self._facts.node)
            return await handler(request)
        except ApiError as error:
            return web.Response(status=error.status_code, text=f"{error}\n")
        except TransportError as error:
            return web.Response(status=_UNAVAILABLE, text=f"{error}\n")

    async def healthz(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """The lines of a container, once or followed."""
        pod, spec = await self._container(request)
        name, container = str(pod["metadata"]["name"]), str(spec["name"])
        options = log_options(request.query, self._facts.clock.now())
        previous = _true(request.query, "previous")
        entry = podtarget.container_status(pod, container)
        podtarget.check_started(entry, name, container, previous=previous)
        source = await self._source(pod, spec, entry, previous=previous)
        if not options.follow or previous:
            return web.Response(
                body=await logfiles.once(source, options), content_type="text/plain"
            )
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for chunk in logfiles.followed(source, options, self._facts.clock):
            await response.write(chunk)
        return response

    async def execute(self, request: web.Request) -> web.StreamResponse:
        """A command, answered from the pod's script."""
        pod, spec = await self._container(request)
        container = str(spec["name"])
        entry = podtarget.container_status(pod, container)
        if "running" not in (entry.get("state") or {}):
            raise errors.InternalError(
                f'unable to upgrade connection: container not found ("{container}")'
            )
        return await remotecommand.execute(request, pod, spec, self._facts.clock)

    async def _container(self, request: web.Request) -> tuple[JsonObject, JsonObject]:
        """The pod, which is this node's, and the spec of the container that is meant."""
        where = request.match_info
        pod = await self._pod(where["namespace"], where["pod"])
        if pod is None:
            raise NotFound(f'pod "{where["pod"]}" does not exist')
        return pod, podtarget.container_spec(pod, where["container"])

    async def _pod(self, namespace: str, name: str) -> JsonObject | None:
        try:
            pod = await self._facts.client.request("GET", kinds.PODS.path(namespace, name))
        except NotFound:
            return None
        return pod if (pod.get("spec") or {}).get("nodeName") == self._facts.node else None

    async def _source(
        self, pod: JsonObject, spec: JsonObject, entry: JsonObject, *, previous: bool
    ) -> LogSource:
        meta = pod["metadata"]
        open_log = partial(
            logfiles.open_log,
            self._facts.pod_log_dir,
            str(meta["uid"]),
            str(spec["name"]),
            previous=previous,
        )
        file = await asyncio.to_thread(open_log)
        age_s = self._facts.clock.age_s

        async def runs() -> bool:
            now = await self._pod(str(meta["namespace"]), str(meta["name"]))
            return podtarget.still_runs(now, entry)

        return LogSource(
            file, partial(logtext.told, pod, spec, entry, age_s, previous=previous), open_log, runs
        )


def log_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """The options that an API server has checked and passes on; BadRequest for what it cannot."""
    try:
        since = parse_time(query["sinceTime"]) if query.get("sinceTime") else None
        if query.get("sinceSeconds"):
            since = now - timedelta(seconds=int(query["sinceSeconds"]))
        return LogOptions(
            follow=_true(query, "follow"),
            timestamps=_true(query, "timestamps"),
            tail_lines=int(query["tailLines"]) if query.get("tailLines") else None,
            limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
            since=since,
        )
    except (ValueError, OverflowError):
        raise errors.BadRequest('{"message": "Unable to decode query."}') from None


def _true(query: Mapping[str, str], key: str) -> bool:
    return query.get(key, "").lower() not in ("", "0", "false")
