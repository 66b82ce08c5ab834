"""`python -m kubeherd.controller`: the controller manager as a process.

Exit code 0 after an ordered stop (SIGTERM, SIGINT), 1 with one clear line if it cannot start.
"""

import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.kubeconfig import KubeconfigError
from kubeherd.cluster.client.metrics import of_clients
from kubeherd.cluster.runtime import identity, process
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.metrics import Family
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.sockets.faultsocket import hurtable
from kubeherd.cluster.runtime.sockets.scraping import scraped
from kubeherd.controller import registry
from kubeherd.controller.clients import Clients
from kubeherd.controller.leader import LeaderElector
from kubeherd.controller.manager import Manager
from kubeherd.controller.options import Options, parse


def warm_up() -> None:
    """Load what every process of this kind loads (`agents.spawner`)."""
    registry.load_all()


def main(argv: list[str] | None = None) -> int:
    """Run the manager until it is told to stop; the exit code."""
    options = parse(argv)

    async def manage(lifecycle: process.Lifecycle) -> None:
        clock = LoopClock(options.speed)
        async with AsyncExitStack() as closing:
            try:
                clients = Clients(options, clock, closing)
            except KubeconfigError as error:
                raise process.ProcessError(str(error)) from error
            manager = _manager(options, clients, clock)

            def families() -> Iterable[Family]:
                yield from of_clients([(clients.http.host, clients.http.measures)])
                yield from manager.families()

            await closing.enter_async_context(scraped(options.metrics_socket, families))
            await closing.enter_async_context(hurtable(options.faults_socket, manager.hurt))
            await manager.run(lifecycle.stop, lifecycle.ready)

    young_objects = process.YOUNG_OBJECTS_OF_CLIENTS
    return process.run(manage, "controller-manager", young_objects=young_objects)


def _manager(options: Options, clients: Clients, clock: LoopClock) -> Manager:
    # No two lives share their chance, or the second would give its pods the first one's names.
    rng = Rng(options.seed).child(f"{clock.now().isoformat()}/{identity.own_identity()}")
    return Manager(
        clients.own,
        clock,
        rng,
        options.controllers,
        host=identity.hostname(),
        elector=_elector(options, clients.own, clock, rng),
        root_ca_pem=options.root_ca_pem or clients.http.access.ca_pem,
        keys=options.keys,
        client_of=clients.of,
    )


def _elector(
    options: Options, client: ApiClient, clock: LoopClock, rng: Rng
) -> LeaderElector | None:
    if options.election is None:
        return None
    return LeaderElector(
        client,
        clock,
        rng.child("leader"),
        identity=identity.own_identity(),
        is_dead=identity.is_dead,
        is_alive=identity.is_alive,
        election=options.election,
    )


if __name__ == "__main__":
    sys.exit(main())
