"""What the commands ask of the cluster's API server, as the cluster's administrator."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection

import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
import msgspec

from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.kinds import LEASES, NODES
from kubeherd.cluster.api.objects import Lease, Node
from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.view import ClusterView
from kubeherd.cluster.runtime import identity, logging
from kubeherd.cluster.runtime.clock import LoopClock

STATUS_TIMEOUT_S = 3.0
DELETE_TIMEOUT_S = 10.0


class Seen(msgspec.Struct, frozen=True):
    """What the API server tells of the cluster's processes."""

    readiness: dict[str, bool] = msgspec.field(default_factory=dict)
    """Which Nodes there are, and whether they are Ready."""
    leader: ProcessId | None = None
    """The controller manager that holds the lease; None if none of this machine does."""


def look(rundir: RunDir) -> Seen:
    """Which nodes are Ready and who leads; nothing if the API server does not answer."""

    async def read() -> Seen:
        async with client_of(rundir) as client, asyncio.timeout(STATUS_TIMEOUT_S):
            listed = await client.list(NODES, Node)
            leader = await _leader(client)
        return Seen({node.metadata.name: nodeutil.is_ready(node) for node in listed.items}, leader)

    try:
        return run(read)
    except (TransportError, ApiError, TimeoutError):
        return Seen()


async def _leader(client: ApiClient) -> ProcessId | None:
    try:
        lease = await client.get(LEASES, Lease, "kube-controller-manager", "kube-system")
    except NotFound:
        return None
    process = identity.process_of(lease.spec.holder_identity or "")
    return ProcessId(*process) if process is not None else None


def wait_for_nodes(
    rundir: RunDir,
    names: Collection[str],
    timeout_s: float,
    progress: Callable[[int], None],
) -> None:
    """Wait until all these Nodes are Ready, telling how many are.

    LauncherError with some names after `timeout_s` real seconds.
    """
    if rundir.load_settings().joined:
        from kubeherd.cluster.cli import joined  # noqa: PLC0415 - few join

        joined.wait_for_nodes(rundir, names, timeout_s, progress)
        return
    wanted = set(names)
    late = wanted

    async def wait() -> None:
        async with ClusterView(rundir.kubeconfig, sync_timeout_s=timeout_s) as view:

            def complete() -> bool:
                nonlocal late
                late = wanted - view.ready_nodes()
                progress(len(wanted) - len(late))
                return not late

            await view.until(complete, "all nodes Ready", timeout_s)

    try:
        run(wait)
    except TimeoutError:
        raise not_ready(late, timeout_s) from None


def not_ready(late: Collection[str], timeout_s: float) -> LauncherError:
    """What to raise when these nodes were waited for in vain."""
    some = sorted(late)
    shown = ", ".join(some[:5]) + (", ..." if len(some) > 5 else "")
    return LauncherError(f"not Ready after {timeout_s:g} s: {shown}")


def delete_node(rundir: RunDir, name: str) -> None:
    """Delete the Node object; one that is gone already is no error."""

    async def delete() -> None:
        async with client_of(rundir) as client, asyncio.timeout(DELETE_TIMEOUT_S):
            with contextlib.suppress(NotFound):
                await client.delete(NODES, name)

    try:
        run(delete)
    except (TransportError, TimeoutError) as error:
        raise LauncherError(
            f'the process of node "{name}" is stopped, but the API server did not answer: '
            f"delete the Node yourself ({error})"
        ) from error


@contextlib.asynccontextmanager
async def client_of(rundir: RunDir) -> AsyncIterator[ApiClient]:
    """A client of the cluster's administrator, while the body runs."""
    logging.configure("kubeherd", level="error")  # a command says itself what goes wrong
    transport = from_kubeconfig(rundir.kubeconfig)
    try:
        yield ApiClient(transport, LoopClock())
    finally:
        await transport.close()
