"""``python -m kubeherd.agents``: one or many fake nodes in one process (ARCHITECTURE.md)."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean_imports  # noqa: F401 - before all that imports structlog

# isort: split
import click

from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.fleet import Fleet
from kubeherd.agents.node.addresses import MAX_PODS
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.cluster.api.objects import Node, PartialObject, Pod, Taint
from kubeherd.cluster.client.batching import BatchingTransport
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http import MAX_CONNECTIONS, HttpTransport
from kubeherd.cluster.client.kubeconfig import KubeconfigError, load_kubeconfig
from kubeherd.cluster.client.metrics import ClientMeasures, of_clients
from kubeherd.cluster.client.transport import Transport
from kubeherd.cluster.client.wire import decoder_for
from kubeherd.cluster.runtime import process
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.metrics import Family
from kubeherd.cluster.runtime.process import Lifecycle, ProcessError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.scraping import scraped

NODE_CONNECTIONS = 4
"""Per node identity: two for its watches, two for what it writes. TLS handshakes are what a
thousand identities in one process cost."""
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def parse_pairs(texts: Sequence[str]) -> dict[str, str]:
    """`k=v` texts as a dict; click.BadParameter for anything else."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not of the form key=value")
        pairs[key] = value
    return pairs


def parse_taint(text: str) -> Taint:
    """`key[=value]:Effect`, as kubelet's --register-with-taints."""
    pair, colon, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not colon or not key or effect not in _EFFECTS:
        raise click.BadParameter(f"{text!r} is not of the form key=value:Effect")
    return Taint(key=key, value=value, effect=effect)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--node", "nodes", multiple=True, required=True, help="Name of a node; repeatable.")
@click.option(
    "--kubeconfig-dir",
    type=click.Path(path_type=Path),
    help="Directory with NAME.kubeconfig, the identity of each node.",
)
@click.option(
    "--fleet-kubeconfig",
    type=click.Path(path_type=Path),
    help="One identity for all nodes of the process.",
)
@click.option("--label", "labels", multiple=True, help="key=value, for every node; repeatable.")
@click.option(
    "--annotation", "annotations", multiple=True, help="key=value, for every node; repeatable."
)
@click.option("--taint", "taints", multiple=True, help="key=value:Effect; repeatable.")
@click.option("--cpu", default="8", show_default=True)
@click.option("--memory", default="32Gi", show_default=True)
@click.option("--pods", default=110, show_default=True, type=click.IntRange(1, MAX_PODS))
@click.option("--pod-log-dir", type=click.Path(path_type=Path), help="Write pod logs here.")
@click.option(
    "--metrics-socket",
    type=click.Path(path_type=Path),
    help="Unix socket that answers with the metrics of this process.",
)
@click.option("--reboot", is_flag=True, help="The machines were rebooted: containers start anew.")
@click.option("--json-only", is_flag=True, help="Use nothing that is private to kubeherd's server.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(min=1e-3))
@click.option("--seed", type=int, help="Seed of all chance.")
def main(
    nodes: tuple[str, ...],
    kubeconfig_dir: Path | None,
    fleet_kubeconfig: Path | None,
    labels: tuple[str, ...],
    annotations: tuple[str, ...],
    taints: tuple[str, ...],
    cpu: str,
    memory: str,
    pods: int,
    pod_log_dir: Path | None,
    metrics_socket: Path | None,
    reboot: bool,
    json_only: bool,
    speed: float,
    seed: int | None,
) -> None:
    """Run fake Kubernetes nodes until SIGTERM."""
    if (kubeconfig_dir is None) == (fleet_kubeconfig is None):
        raise click.UsageError("give either --kubeconfig-dir or --fleet-kubeconfig")
    common = NodeConfig(
        name="",
        labels=parse_pairs(labels),
        annotations=parse_pairs(annotations),
        taints=tuple(parse_taint(text) for text in taints),
        cpu=cpu,
        memory=memory,
        pods=pods,
    )
    name = nodes[0] if len(nodes) == 1 else f"{nodes[0]}+{len(nodes) - 1}"

    async def serve(lifecycle: Lifecycle) -> None:
        clock = LoopClock(speed)
        transports = Transports(kubeconfig_dir, fleet_kubeconfig)
        try:
            client_for = transports.clients(clock, private_features=not json_only)
            configs = [named(common, node) for node in dict.fromkeys(nodes)]
            for config in configs:
                client_for(config.name)  # an unreadable kubeconfig fails the start, not a task
            fleet = Fleet(
                configs,
                client_for,
                one_identity=fleet_kubeconfig is not None,
                clock=clock,
                rng=Rng(seed).child(nodes[0]),
                reboot=reboot,
                pod_log=PodLog(pod_log_dir, clock, notes=fleet_kubeconfig is None)
                if pod_log_dir
                else None,
            )

            def families() -> Iterable[Family]:
                yield from transports.families()
                yield from fleet.families()

            async with scraped(metrics_socket, families):
                await until_stopped(
                    fleet, lifecycle.stop, lambda: lifecycle.ready(nodes=len(nodes))
                )
        except KubeconfigError as error:
            raise ProcessError(str(error)) from error
        finally:
            await transports.close()

    sys.exit(process.run(serve, name))


def named(config: NodeConfig, name: str) -> NodeConfig:
    """The common configuration for one node."""
    return NodeConfig(
        name=name,
        labels=config.labels,
        annotations=config.annotations,
        taints=config.taints,
        cpu=config.cpu,
        memory=config.memory,
        pods=config.pods,
    )


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
            path = self._file or (self._directory or Path()) / f"{name}.kubeconfig"
            if path not in made:
                http = HttpTransport(load_kubeconfig(path), max_connections=self._limit)
                http.measures = self._measured.setdefault(http.host, http.measures)
                transport: Transport = BatchingTransport(http) if private_features else http
                self._open[path] = transport
                made[path] = ApiClient(transport, clock, private_features=private_features)
            return made[path]

        return client_for

    def families(self) -> Iterable[Family]:
        """The requests of all of them."""
        return of_clients(self._measured.items())

    async def close(self) -> None:
        for transport in self._open.values():
            await transport.close()


def warm_up() -> None:
    """Make once what every process of this kind makes on first use (`agents.spawner`)."""

    import uvloop  # noqa: F401, PLC0415

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
    main(prog_name="python -m kubeherd.agents")
