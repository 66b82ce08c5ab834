"""The control socket: how `kubeherd` talks to the supervisor of a cluster.

JSON lines over a Unix socket that only the owner can open (0600 in a 0700 directory). A client
sends one `Request`; the supervisor answers any number of progress `Reply`s (`final` false) and one
final one, which carries the state of the cluster or an `error` for the user. Requests and the
number of clients are bounded, and so is the time that one may take to ask or to read; a client that
goes away loses only its answer.
"""

import asyncio
import contextlib
import enum
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import MAX_NODES
from kubeherd.cluster.launcher.state import ClusterState

_REQUEST_LIMIT_BYTES = 1 << 20  # MAX_NODES names of the length limit are 560 kB
_CLIENTS_LIMIT = 64
_NAME_LIMIT = 253  # of any name in Kubernetes; whether it is a node's is for the supervisor to say
_SUN_PATH_LIMIT = 100
_REQUEST_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 10.0
_LAST_ANSWERS_S = 2.0


class Op(enum.StrEnum):
    """What can be asked of a supervisor."""

    STATUS = "status"
    WAIT = "wait"
    STOP = "stop"
    NODE_ADD = "node-add"
    NODE_KILL = "node-kill"
    NODE_STOP = "node-stop"
    NODE_START = "node-start"
    NODE_FREEZE = "node-freeze"
    NODE_THAW = "node-thaw"
    NODE_REMOVE = "node-remove"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`nodes` names the nodes meant; for NODE_ADD without names, `count` says how many."""

    op: Op
    nodes: Annotated[
        tuple[Annotated[str, Meta(max_length=_NAME_LIMIT)], ...], Meta(max_length=MAX_NODES)
    ] = ()
    count: Annotated[int, Meta(ge=0, le=MAX_NODES)] = 0

    def check(self) -> None:
        """LauncherError if it does not say which nodes it means."""
        if self.op is Op.NODE_ADD and not self.nodes and self.count == 0:
            raise LauncherError("node-add needs names or a count")
        if self.op in _NAMED and not self.nodes:
            raise LauncherError(f"{self.op} needs the name of a node")


_NAMED = frozenset(Op) - {Op.STATUS, Op.WAIT, Op.STOP, Op.NODE_ADD}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The state now; `nodes` are the nodes that the request touched; `error` is for the user."""

    final: bool = True
    state: ClusterState = ClusterState()
    nodes: tuple[str, ...] = ()
    error: str = ""


Handler = Callable[[Request], AsyncIterator[Reply]]

_log = structlog.get_logger(__name__)


class NotListening(LauncherError):
    """Nobody serves the control socket."""


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
        with _socket_address(self._rundir.socket) as address:
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


def ask(rundir: RunDir, request: Request, timeout_s: float) -> Iterator[Reply]:
    """Send a request; yields the progress and then the final reply.

    `timeout_s` bounds the wait for each reply. LauncherError when no supervisor answers, when the
    final reply is an error, or when time is up.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with _socket_address(rundir.socket) as address:
                connection.connect(address)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    reply = msgspec.json.decode(line, type=Reply)
                    if reply.error:
                        raise LauncherError(reply.error)
                    yield reply
                    if reply.final:
                        return
        except TimeoutError:
            raise LauncherError(f"the supervisor did not answer within {timeout_s:g} s") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotListening(f"the cluster in {rundir.root} is not running") from None
        except OSError as error:
            raise LauncherError(f"cannot talk to the supervisor: {error.strerror}") from error
    raise LauncherError("the supervisor went away")


@contextlib.contextmanager
def _socket_address(path: Path) -> Iterator[str]:
    """An address for a Unix socket; a path too long for one goes through /proc/self/fd."""
    if len(os.fsencode(path)) < _SUN_PATH_LIMIT:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
