"""The one address of several API servers: a socket from which all of them accept.

It is the supervisor's, so it outlives each of them: nobody is connected to a server that is dead,
a frozen one gets no more clients, and who comes while there is none waits until there is one. A
server that is alone listens by itself.
"""

import contextlib
from collections.abc import AsyncIterator

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Settings


@contextlib.asynccontextmanager
async def opened(settings: Settings, rundir: RunDir) -> AsyncIterator[None]:
    """While the body runs there is the socket that several API servers share. LauncherError if
    nothing can listen there."""
    if settings.apiservers == 1 or settings.joined:
        yield
        return
    from kubeherd.cluster.runtime.sockets.listening import given_away, listen  # noqa: PLC0415 - seldom

    try:
        listener = listen(settings.listen, settings.port)
    except OSError as error:
        raise LauncherError(
            f"cannot listen on port {settings.port} of {settings.listen}: {error.strerror}"
        ) from None
    with listener:
        async with given_away(rundir.front, listener):
            yield
