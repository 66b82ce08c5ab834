"""A dashboard from its first look at the cluster to its end, whoever runs it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Final

from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.sockets.answering import answering
from kubeherd.cluster.runtime.together import together
from kubeherd.dashboard.cluster import Cluster
from kubeherd.dashboard.feed import Feed
from kubeherd.dashboard.live import Live
from kubeherd.dashboard.memory import one_heap
from kubeherd.dashboard.past.moments import Moments
from kubeherd.dashboard.showing import Showing
from kubeherd.dashboard.web.app import App, Board
from kubeherd.dashboard.web.server import serving
from kubeherd.dashboard.web.session import Session
from kubeherd.following.live import Source

_SECRET_BYTES: Final = 32
_CONNECTIONS: Final = 8


async def show(
    board: Board, on: socket, begun: Callable[[str], None], entrance: Path | None = None
) -> None:
    """Serve a board until cancelled; `begun` gets the first address, who connects to the socket
    `entrance` another one."""
    session = Session(on.getsockname()[1], lambda: secrets.token_urlsafe(_SECRET_BYTES))

    def another() -> bytes:
        return f"{session.url()}\n".encode()

    async with serving(App(session, board), on), answering(entrance, another):
        begun(session.url())
        await asyncio.Event().wait()


async def show_cluster(
    source: Source, on: socket, begun: Callable[[str], None], *, read_only: bool
) -> None:
    """Follow a cluster, and show it once it was seen. ApiError, TransportError, LauncherError if it
    is not there to begin with."""
    one_heap()
    rundir = source.rundir
    entrance = rundir.dashboard_socket if rundir is not None else None
    async with AsyncExitStack() as closing:
        board, live = await closing.enter_async_context(_cluster(source, read_only=read_only))

        async def shown() -> None:
            await live.seen.wait()
            await show(board, on, begun, entrance)

        await together(live.run(), shown())


@asynccontextmanager
async def _cluster(source: Source, *, read_only: bool) -> AsyncIterator[tuple[Cluster, Live]]:
    clock = LoopClock()
    transport = from_kubeconfig(
        source.kubeconfig, user_agent=f"{PRODUCT} dashboard", max_connections=_CONNECTIONS
    )
    title = str(source.kubeconfig if source.rundir is None else source.rundir.root)
    showing = Showing(Feed(lambda: clock.now().timestamp()), Moments(), title)
    client = ApiClient(transport, clock, private_features=False)
    try:
        yield Cluster(source, showing, client, clock, read_only=read_only), Live(source, showing)
    finally:
        await transport.close()
