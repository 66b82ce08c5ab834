"""The supervisor's end of the control socket (`control` has the protocol).

Requests and the number of clients are bounded, and so is the time that one may take to ask or to
read; a client that goes away loses only its answer.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable

import msgspec
import structlog

from kubeherd.cluster.launcher.control import Reply, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.runtime.sockets.unixsockets import socket_address

_REQUEST_LIMIT_BYTES = 1 << 20  # MAX_NODES names of the length limit are 560 kB
_CLIENTS_LIMIT = 64
_REQUEST_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 10.0
_LAST_ANSWERS_S = 2.0

Handler = Callable[[Request], AsyncIterator[Reply]]

_log = structlog.get_logger(__name__)


class ControlServer:
    """Serves the control socket of one supervisor."""

    def __init__(self, rundir: RunDir, handler: Handler) -> None:
        self._rundir = rundir
        self._handler = handler
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._bound: os.stat_result | None = None

    async def start(self) -> None:
        """Listen; the lock of the run directory must be held, so an old socket is a dead one."""
        self._rundir.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket_address(self._rundir.socket) as address:
            listener.bind(address)
        self._rundir.socket.chmod(0o600)
        self._bound = self._rundir.socket.stat()
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=_REQUEST_LIMIT_BYTES
        )

    async def close(self) -> None:
        """Stop listening, let running answers end within a moment, and remove the socket.

        Only its own: in a directory that was replaced there may be that of another supervisor.
        """
        with contextlib.suppress(OSError):
            if self._bound and os.path.samestat(self._bound, self._rundir.socket.stat()):
                self._rundir.socket.unlink()
        if self._server is not None:
            self._server.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=_LAST_ANSWERS_S)
            for task in late:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        # only `close` cancels; a cancelled task would make asyncio's streams print a traceback
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                async for reply in self._answer(reader):
                    writer.write(msgspec.json.encode(reply) + b"\n")
                    await asyncio.wait_for(writer.drain(), _READ_TIMEOUT_S)
            finally:
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> AsyncIterator[Reply]:
        if len(self._connections) > _CLIENTS_LIMIT:
            yield Reply(error=f"more than {_CLIENTS_LIMIT} commands at once")
            return
        try:
            line = await asyncio.wait_for(reader.readline(), _REQUEST_TIMEOUT_S)
            request = msgspec.json.decode(line, type=Request)
        except (ValueError, msgspec.DecodeError) as error:  # ValueError: the line is too long
            yield Reply(error=f"not a request: {error}")
            return
        try:
            request.check()
            async for reply in self._handler(request):
                yield reply
        except LauncherError as error:
            yield Reply(error=str(error))
        except TimeoutError:
            yield Reply(error=f"{request.op} took too long")
        except Exception as error:
            _log.exception("request_failed", op=request.op)
            yield Reply(error=f"{request.op} failed: {type(error).__name__}: {error}")
