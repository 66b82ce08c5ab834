"""What the commands ask of the cluster's API server, as the cluster's administrator."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection

import kubeherd.cluster.runtime.lean_aiohttp
import kubeherd.cluster.runtime.lean_imports  # noqa: F401 - before all that imports structlog

# isort: split
from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.api.objects import Node
from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http import from_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.view import ClusterView
from kubeherd.cluster.runtime import logging
from kubeherd.cluster.runtime.clock import LoopClock

STATUS_TIMEOUT_S = 3.0
DELETE_TIMEOUT_S = 10.0

logging.configure("kubeherd", level="error")


def node_readiness(rundir: RunDir) -> dict[str, bool]:
    """Which Nodes there are and whether they are Ready; empty if the API server does not answer."""

    async def read() -> dict[str, bool]:
        async with _client(rundir) as client, asyncio.timeout(STATUS_TIMEOUT_S):
            listed = await client.list(NODES, Node)
        return {node.metadata.name: nodeutil.is_ready(node) for node in listed.items}

    try:
        return run(read)
    except (TransportError, ApiError, TimeoutError):
        return {}


def wait_for_nodes(
    rundir: RunDir,
    names: Collection[str],
    timeout_s: float,
    progress: Callable[[int], None],
) -> None:
    """Wait until all these Nodes are Ready, telling how many are.

    LauncherError with some names after `timeout_s` real seconds.
    """
    wanted = set(names)
    late = wanted

    async def wait() -> None:
        async with ClusterView(rundir.kubeconfig) as view:

            def complete() -> bool:
                nonlocal late
                late = wanted - view.ready_nodes()
                progress(len(wanted) - len(late))
                return not late

            await view.until(complete, "all nodes Ready", timeout_s)

    try:
        run(wait)
    except TimeoutError:
        some = sorted(late)
        shown = ", ".join(some[:5]) + (", ..." if len(some) > 5 else "")
        raise LauncherError(f"not Ready after {timeout_s:g} s: {shown}") from None


def delete_node(rundir: RunDir, name: str) -> None:
    """Delete the Node object; one that is gone already is no error."""

    async def delete() -> None:
        async with _client(rundir) as client, asyncio.timeout(DELETE_TIMEOUT_S):
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
async def _client(rundir: RunDir) -> AsyncIterator[ApiClient]:
    transport = from_kubeconfig(rundir.kubeconfig)
    try:
        yield ApiClient(transport, LoopClock())
    finally:
        await transport.close()
