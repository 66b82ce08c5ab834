"""`python -m kubeherd.controller`: the controller manager as a process.

Exit code 0 after an ordered stop (SIGTERM, SIGINT), 1 with one clear line if it cannot start.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean_imports  # noqa: F401 - before all that imports structlog

# isort: split
from kubeherd.cluster.client.batching import BatchingTransport
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http import from_kubeconfig
from kubeherd.cluster.client.kubeconfig import KubeconfigError, load_kubeconfig
from kubeherd.cluster.client.metrics import of_clients
from kubeherd.cluster.client.transport import Transport
from kubeherd.cluster.runtime import process
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.metrics import Family
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.scraping import scraped
from kubeherd.controller import identity, registry
from kubeherd.controller.leader import LeaderElector
from kubeherd.controller.manager import Keys, Manager


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kubeherd.controller", description=__doc__)
    parser.add_argument("--kubeconfig", required=True, metavar="FILE")
    parser.add_argument("--speed", type=float, default=1.0, help="nominal seconds per real second")
    parser.add_argument("--seed", type=int, default=None, help="seed of jitter and back-off")
    parser.add_argument(
        "--controllers", default="*", metavar="LIST", help='e.g. "*,-scheduler"; * means all'
    )
    parser.add_argument(
        "--cluster-signing-cert-file",
        type=Path,
        metavar="FILE",
        help="the authority that signs CertificateSigningRequests; without it nothing is signed",
    )
    parser.add_argument("--cluster-signing-key-file", type=Path, metavar="FILE")
    parser.add_argument(
        "--service-account-private-key-file",
        type=Path,
        metavar="FILE",
        help="signs the tokens in Secrets; without it they stay empty",
    )
    parser.add_argument(
        "--metrics-socket",
        type=Path,
        metavar="FILE",
        help="a Unix socket that answers with the metrics of this process",
    )
    parser.add_argument(
        "--portable",
        action="store_true",
        help="use only the JSON API of Kubernetes: no msgpack, no long-poll",
    )
    arguments = parser.parse_args(argv)
    try:
        arguments.factories = registry.select(arguments.controllers)
    except registry.UnknownController as error:
        parser.error(str(error))
    return arguments


def warm_up() -> None:
    """Load what every process of this kind loads (`agents.spawner`)."""
    registry.load_all()


def main(argv: list[str] | None = None) -> int:
    """Run the manager until it is told to stop; the exit code."""
    arguments = _arguments(argv)

    async def manage(lifecycle: process.Lifecycle) -> None:
        clock = LoopClock(arguments.speed)
        # No two lives share their chance, or the second would give its pods the first one's names.
        rng = Rng(arguments.seed).child(clock.now().isoformat())
        try:
            http = from_kubeconfig(arguments.kubeconfig)
        except KubeconfigError as error:
            raise process.ProcessError(str(error)) from error
        transport: Transport = http if arguments.portable else BatchingTransport(http)
        try:
            client = ApiClient(transport, clock, private_features=not arguments.portable)
            elector = LeaderElector(
                client,
                clock,
                rng.child("leader"),
                identity=identity.own_identity(),
                is_dead=identity.is_dead,
            )
            host = identity.hostname()
            manager = Manager(
                client,
                clock,
                rng,
                arguments.factories,
                host=host,
                elector=elector,
                root_ca_pem=load_kubeconfig(arguments.kubeconfig).ca_pem,
                keys=Keys(
                    arguments.cluster_signing_cert_file,
                    arguments.cluster_signing_key_file,
                    arguments.service_account_private_key_file,
                ),
            )

            def families() -> Iterable[Family]:
                yield from of_clients([(http.host, http.measures)])
                yield from manager.families()

            async with scraped(arguments.metrics_socket, families):
                await manager.run(lifecycle.stop, lifecycle.ready)
        finally:
            await transport.close()

    return process.run(manage, "controller-manager")


if __name__ == "__main__":
    sys.exit(main())
