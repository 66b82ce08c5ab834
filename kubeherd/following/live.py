"""A running cluster followed as one history, with all that is needed for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.following import own
from kubeherd.following.session import AS_IT_IS, Following, Manner
from kubeherd.history import Record

_FLUSH_S: Final = 0.1


class Source(msgspec.Struct, frozen=True):
    """Which cluster: any, by its kubeconfig; if it is one of ours, its directory tells more."""

    kubeconfig: Path
    rundir: RunDir | None = None

    @property
    def speed(self) -> float:
        """How fast its time goes; 0: not known."""
        return self.rundir.load_settings().speed if self.rundir is not None else 0.0


def source(kubeconfig: Path | None, rundir: RunDir) -> Source:
    """The cluster of a kubeconfig, or else of a directory; LauncherError if there is none."""
    if kubeconfig is not None:
        return Source(kubeconfig)
    rundir.load_settings()
    return Source(rundir.kubeconfig, rundir)


@asynccontextmanager
async def followed(
    of: Source, needs: frozenset[str], tell: Callable[[Record], None], manner: Manner = AS_IT_IS
) -> AsyncIterator[Following]:
    """`tell` gets what there is, and while the body runs what happens: of these resources, and with
    a directory of the processes, faults and speed. TransportError, ApiError if it cannot be
    reached."""
    transport = from_kubeconfig(of.kubeconfig)
    clock = LoopClock()
    client = ApiClient(transport, clock, private_features=False)
    speed = of.speed
    following = Following(client, clock, tell, speed=speed, manner=manner)
    try:
        await following.begin(needs)
        async with following.running():
            tasks = [asyncio.create_task(_flush(following), name="flush")]
            if of.rundir is not None:
                tasks.append(
                    asyncio.create_task(own.follow(of.rundir, tell, manner.look_s), name="own")
                )
                pace = own.follow_speed(of.rundir, speed, tell)
                tasks.append(asyncio.create_task(pace, name="speed"))
            for task in tasks:
                following.look_after(task)
            try:
                yield following
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                following.rest()
    finally:
        await transport.close()


async def _flush(following: Following) -> None:
    while True:
        await asyncio.sleep(_FLUSH_S)
        following.flush()
