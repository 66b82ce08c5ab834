"""`python -m kubeherd.agents.spawner --control-fd N`: forks agent processes from one warm parent.

Imports cost half a second and tens of megabytes per process; forked children share both. The
protocol over the inherited socket is JSON lines: in comes `{"id", "argv", "log", "env"}`, out go
`{"id", "pid"}` or `{"id", "error"}`, later `{"id", "event": "ready"}` and
`{"id", "event": "exited", "pid", "returncode"}` (negative: ended by that signal).

Invariants: the parent is single-threaded and has neither an event loop nor connections, so a fork
copies nothing that must not be shared; when the control socket closes the parent ends and leaves
its children alone; a request that cannot be carried out is answered, never dropped.
"""

import gc
import os
import random
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NoReturn

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean_imports  # noqa: F401 - before all that imports structlog

# isort: split
import click
import msgspec
import orjson

from kubeherd.agents.__main__ import main as run_agent
from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.objects import Node, PartialObject, Pod
from kubeherd.cluster.client.wire import decoder_for
from kubeherd.cluster.runtime.handshake import READY_FD_VARIABLE

_RECEIVE_BYTES: Final = 65_536
_COMM_LENGTH: Final = 15


class Request(msgspec.Struct, frozen=True):
    """One agent to start."""

    id: JsonValue
    argv: list[str]
    log: str = ""
    env: dict[str, str] = msgspec.field(default_factory=dict)


class _Child(msgspec.Struct):
    request_id: JsonValue
    pid: int
    pid_fd: int
    ready_fd: int | None


class Spawner:
    """The parent's loop: requests from the socket, readiness and ends of children to it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, None)
        self._unread = b""
        self._open = True

    def serve(self) -> None:
        """Serve until the control socket closes."""
        while self._open:
            for key, _ in self._selector.select():
                child = key.data
                if child is None:
                    self._receive()
                elif key.fd == child.pid_fd:
                    self._exited(child)
                else:
                    self._ready(child)

    def _receive(self) -> None:
        try:
            data = self._control.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._open = False
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in filter(None, lines):
            try:
                request = msgspec.json.decode(line, type=Request)
            except msgspec.DecodeError as error:
                self._answer({"id": _id_of(line), "error": f"bad request: {error}"})
                continue
            try:
                self._start(request)
            except OSError as error:
                self._answer({"id": request.id, "error": str(error)})

    def _start(self, request: Request) -> None:
        ready_fd, child_fd = os.pipe()
        try:
            log_fd = _open_log(request.log)
            try:
                pid = os.fork()
                if pid == 0:
                    _become_agent(request, log_fd, child_fd)
            finally:
                os.close(log_fd)
        except OSError:
            os.close(ready_fd)
            raise
        finally:
            os.close(child_fd)
        child = _Child(request.id, pid, os.pidfd_open(pid), ready_fd)
        self._selector.register(child.pid_fd, selectors.EVENT_READ, child)
        self._selector.register(ready_fd, selectors.EVENT_READ, child)
        self._answer({"id": request.id, "pid": pid})

    def _ready(self, child: _Child) -> None:
        """The ready line came, or the child closed the pipe without one."""
        if child.ready_fd is None:
            return
        line = os.read(child.ready_fd, _RECEIVE_BYTES)
        self._close_ready(child)
        with suppress(orjson.JSONDecodeError):
            if line and "error" not in orjson.loads(line):
                self._answer({"id": child.request_id, "event": "ready"})

    def _exited(self, child: _Child) -> None:
        self._ready_before_exit(child)
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.pid_fd)
        os.close(child.pid_fd)
        self._answer(
            {
                "id": child.request_id,
                "event": "exited",
                "pid": child.pid,
                "returncode": os.waitstatus_to_exitcode(status),
            }
        )

    def _ready_before_exit(self, child: _Child) -> None:
        """A child that was ready and has ended since: tell both, in order."""
        if child.ready_fd is not None:
            self._ready(child)

    def _close_ready(self, child: _Child) -> None:
        if child.ready_fd is not None:
            self._selector.unregister(child.ready_fd)
            os.close(child.ready_fd)
            child.ready_fd = None

    def _answer(self, message: Mapping[str, JsonValue]) -> None:
        try:
            self._control.sendall(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
        except OSError:
            self._open = False


def _id_of(line: bytes) -> JsonValue:
    with suppress(orjson.JSONDecodeError):
        tree = orjson.loads(line)
        return tree.get("id") if isinstance(tree, dict) else None
    return None


def _open_log(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.open(path or os.devnull, flags, 0o600)


# --- in the child ---


def _become_agent(request: Request, log_fd: int, ready_fd: int) -> NoReturn:
    """Turn the forked child into an agent process; never returns."""
    code = 1
    try:
        _leave_parent_behind(request, log_fd, ready_fd)
        run_agent.main(
            args=request.argv, prog_name="python -m kubeherd.agents", standalone_mode=True
        )
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # the last frame before _exit: say what happened
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _leave_parent_behind(request: Request, log_fd: int, ready_fd: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.dup2(ready_fd, 3)
    os.set_inheritable(3, False)
    os.closerange(4, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") > 0 else 65_536)
    os.environ.update(request.env)
    os.environ[READY_FD_VARIABLE] = "3"
    random.seed()
    _set_title(request.argv)


def _set_title(argv: Sequence[str]) -> None:
    """Show the first node's name in `ps -o comm` and `top`."""
    with suppress(ValueError, IndexError, OSError):
        name = argv[argv.index("--node") + 1]
        with open("/proc/self/comm", "w") as file:  # noqa: PTH123 - no pathlib after the fork
            file.write(name[:_COMM_LENGTH])


# --- start ---


def _warm_up() -> None:
    """Make once what every agent would make on first use, and take it out of the collector."""
    import uvloop  # noqa: F401, PLC0415 - only to have it loaded before the fork

    for struct in (Pod, Node, PartialObject):
        for msgpack in (True, False):
            decoder_for(struct, msgpack=msgpack)
    gc.collect()
    gc.freeze()


@click.command()
@click.option("--control-fd", type=int, required=True, help="Inherited Unix stream socket.")
def main(control_fd: int) -> None:
    """Fork agent processes on request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        control = socket.socket(fileno=control_fd)
    except OSError as error:
        raise click.ClickException(f"--control-fd {control_fd}: {error.strerror}") from error
    control.set_inheritable(False)
    _warm_up()
    Spawner(control).serve()


if __name__ == "__main__":
    main(prog_name="python -m kubeherd.agents.spawner")
