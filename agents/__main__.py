"""``python -m kubeherd.agents``: one or many fake nodes in one process (ARCHITECTURE.md)."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from pathlib import Path

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
import msgspec

from kubeherd.agents import arguments
from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.fleet import Fleet
from kubeherd.agents.node.nodestatus import KubeletEndpoint, NodeConfig
from kubeherd.cluster.api.objects import Node, PartialObject, Pod
from kubeherd.cluster.client.batching import BatchingTransport
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import MAX_CONNECTIONS, from_kubeconfig
from kubeherd.cluster.client.kubeconfig import ClusterAccess, KubeconfigError, load_kubeconfig
from kubeherd.cluster.client.metrics import ClientMeasures, of_clients
from kubeherd.cluster.client.transport import Transport
from kubeherd.cluster.client.wire import decoder_for
from kubeherd.cluster.runtime import process
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.metrics import Family
from kubeherd.cluster.runtime.process import Lifecycle, ProcessError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.sockets.faultsocket import hurtable
from kubeherd.cluster.runtime.sockets.scraping import scraped

NODE_CONNECTIONS = 4
"""Per node identity: two for its watches, two for what it writes. TLS handshakes are what a
thousand identities in one process cost."""


def main(argv: list[str] | None = None) -> int:
    """Run the nodes until SIGTERM; the exit code."""
    options = arguments.parse(argv)
    nodes: list[str] = list(dict.fromkeys(options.nodes))
    name = nodes[0] if len(nodes) == 1 else f"{nodes[0]}+{len(nodes) - 1}"

    async def serve(lifecycle: Lifecycle) -> None:
        clock = LoopClock(options.speed)
        transports = Transports(options.kubeconfig_dir, options.fleet_kubeconfig)
        one_identity = options.fleet_kubeconfig is not None
        pod_logs = options.pod_log_dir
        async with AsyncExitStack() as closing:
            closing.push_async_callback(transports.close)
            try:
                client_for = transports.clients(clock, private_features=not options.json_only)
                for node in nodes:
                    client_for(node)  # an unreadable kubeconfig fails the start, not a task
                configs = [arguments.node_config(options, node) for node in nodes]
                if options.serve_kubelet:
                    serve_kubelet = _kubelet_servers(options, transports, client_for, clock)
                    configs = [
                        await closing.enter_async_context(serve_kubelet(node)) for node in configs
                    ]
            except KubeconfigError as error:
                raise ProcessError(str(error)) from error
            fleet = Fleet(
                configs,
                client_for,
                one_identity=one_identity,
                clock=clock,
                rng=Rng(options.seed).child(nodes[0]),
                reboot=options.reboot,
                pod_log=PodLog(pod_logs, clock, notes=not one_identity) if pod_logs else None,
            )

            def families() -> Iterable[Family]:
                yield from transports.families()
                yield from fleet.families()

            await closing.enter_async_context(scraped(options.metrics_socket, families))
            await closing.enter_async_context(hurtable(options.faults_socket, fleet.hurt))
            await until_stopped(fleet, lifecycle.stop, lambda: lifecycle.ready(nodes=len(nodes)))

    return process.run(serve, name, young_objects=process.YOUNG_OBJECTS_OF_CLIENTS)


def _kubelet_servers(
    options: argparse.Namespace,
    transports: "Transports",
    client_for: Callable[[str], ApiClient],
    clock: LoopClock,
) -> Callable[[NodeConfig], AbstractAsyncContextManager[NodeConfig]]:
    """What serves a node's kubelet API, and gives the node's configuration with the address."""
    import kubeherd.cluster.runtime.lean.aiohttp_server  # noqa: PLC0415, F401 - first
    from kubeherd.agents.kubelet import server  # noqa: PLC0415 - slow, seldom wanted

    @asynccontextmanager
    async def serving(config: NodeConfig) -> AsyncIterator[NodeConfig]:
        facts = server.KubeletFacts(
            node=config.name,
            client=client_for(config.name),
            clock=clock,
            ca_pem=transports.access(config.name).ca_pem,
            pod_log_dir=options.pod_log_dir,
        )
        async with server.serving(facts) as port:
            yield msgspec.structs.replace(config, kubelet=KubeletEndpoint(server.ADDRESS, port))

    return serving


class Transports:
    """The connections of the process: one per identity, made on first use."""

    def __init__(self, kubeconfig_dir: Path | None, fleet_kubeconfig: Path | None) -> None:
        self._directory = kubeconfig_dir
        self._file = fleet_kubeconfig
        self._limit = NODE_CONNECTIONS if fleet_kubeconfig is None else MAX_CONNECTIONS
        self._open: dict[Path, Transport] = {}
        self._measured: dict[str, ClientMeasures] = {}

    def clients(self, clock: LoopClock, *, private_features: bool) -> Callable[[str], ApiClient]:
        """A function from a node's name to its client."""
        made: dict[Path, ApiClient] = {}

        def client_for(name: str) -> ApiClient:
            path = self._path(name)
            if path not in made:
                http = from_kubeconfig(path, max_connections=self._limit)
                http.measures = self._measured.setdefault(http.host, http.measures)
                transport: Transport = BatchingTransport(http) if private_features else http
                self._open[path] = transport
                made[path] = ApiClient(transport, clock, private_features=private_features)
            return made[path]

        return client_for

    def access(self, node: str) -> ClusterAccess:
        """The server and the identity of a node; KubeconfigError if its file cannot be used."""
        return load_kubeconfig(self._path(node))

    def families(self) -> Iterable[Family]:
        """The requests of all of them."""
        return of_clients(self._measured.items())

    def _path(self, node: str) -> Path:
        return self._file or (self._directory or Path()) / f"{node}.kubeconfig"

    async def close(self) -> None:
        for transport in self._open.values():
            await transport.close()


def warm_up() -> None:
    """Make once what every process of this kind makes on first use (`agents.spawner`)."""

    import encodings.idna  # noqa: F401, PLC0415 - of the server's name, for the first connection

    import uvloop  # noqa: F401, PLC0415

    arguments.command_line()
    for struct in (Pod, Node, PartialObject):
        for msgpack in (True, False):
            decoder_for(struct, msgpack=msgpack)


async def until_stopped(fleet: Fleet, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Run the fleet until `stop` is set; whatever ends it earlier is raised."""
    running = asyncio.ensure_future(fleet.run(on_ready))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
    finally:
        stopping.cancel()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


if __name__ == "__main__":
    sys.exit(main())
