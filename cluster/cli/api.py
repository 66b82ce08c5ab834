"""What the commands ask of the cluster's API server, as the cluster's administrator."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection

from cluster.api.errors import ApiError, NotFound
from cluster.api.kinds import NODES
from cluster.api.objects import Node
from cluster.client.client import ApiClient
from cluster.client.http import from_kubeconfig
from cluster.client.reflector import Reflector
from cluster.client.transport import TransportError
from cluster.launcher.errors import LauncherError
from cluster.launcher.rundir import RunDir
from cluster.runtime.clock import LoopClock
from cluster.runtime.rng import Rng

STATUS_TIMEOUT_S = 3.0
DELETE_TIMEOUT_S = 10.0


def node_readiness(rundir: RunDir) -> dict[str, bool]:
    """Which Nodes there are and whether they are Ready; empty if the API server does not answer."""

    async def read() -> dict[str, bool]:
        async with _client(rundir) as client, asyncio.timeout(STATUS_TIMEOUT_S):
            listed = await client.list(NODES, Node)
        return {node.metadata.name: is_ready(node) for node in listed.items}

    try:
        return asyncio.run(read())
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
    ready: set[str] = set()

    async def wait() -> None:
        complete = asyncio.Event()

        def on_change(old: Node | None, new: Node | None) -> None:
            if new is not None and is_ready(new):
                ready.add(new.metadata.name)
            elif (gone := new or old) is not None:
                ready.discard(gone.metadata.name)
            progress(len(ready & wanted))
            if wanted <= ready:
                complete.set()

        async with _client(rundir) as client, asyncio.TaskGroup() as tasks:
            reflector = Reflector(client, NODES, Node, clock=LoopClock(), rng=Rng())
            reflector.on_change(on_change)
            watching = tasks.create_task(reflector.run())
            try:
                async with asyncio.timeout(timeout_s):
                    await complete.wait()
            finally:
                watching.cancel()

    if not wanted:
        return
    try:
        asyncio.run(wait())
    except TimeoutError:
        late = sorted(wanted - ready)
        shown = ", ".join(late[:5]) + (", ..." if len(late) > 5 else "")
        raise LauncherError(f"not Ready after {timeout_s:g} s: {shown}") from None


def delete_node(rundir: RunDir, name: str) -> None:
    """Delete the Node object; one that is gone already is no error."""

    async def delete() -> None:
        async with _client(rundir) as client, asyncio.timeout(DELETE_TIMEOUT_S):
            with contextlib.suppress(NotFound):
                await client.delete(NODES, name)

    try:
        asyncio.run(delete())
    except (TransportError, TimeoutError) as error:
        raise LauncherError(
            f'the process of node "{name}" is stopped, but the API server did not answer: '
            f"delete the Node yourself ({error})"
        ) from error


def is_ready(node: Node) -> bool:
    """Whether the Ready condition is True."""
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


@contextlib.asynccontextmanager
async def _client(rundir: RunDir) -> AsyncIterator[ApiClient]:
    transport = from_kubeconfig(rundir.kubeconfig)
    try:
        yield ApiClient(transport, LoopClock())
    finally:
        await transport.close()
