"""`python -m kubeherd.agents.spawner --control-fd N`: forks processes from one warm parent.

Imports cost a quarter of a second and tens of megabytes per process; forked children share both.
The protocol over the inherited socket is JSON lines: in comes `{"id", "module", "argv", "log",
"env"}` for `python -m module argv`, for a supervisor together with the lock of its directory; out
go `{"id", "pid"}` or `{"id", "error"}`, then `{"id", "event": "ready", "port"}` or `{"id", "event":
"failed", "error"}` (the readiness handshake), and `{"id", "event": "exited", "pid", "returncode"}`
(negative: ended by that signal).

A supervisor uses it for all processes of its cluster; a program that starts clusters uses it, with
`--ahead`, for supervisors. Such a supervisor gets a fork server of its own, forked from the same
parent, so that nothing is imported twice.

Invariants: the parent is single-threaded and has neither an event loop nor connections, so a fork
copies nothing that must not be shared; when the control socket closes the parent ends and leaves
its children alone; a request that cannot be carried out is answered, never dropped.
"""

import argparse
import fcntl
import gc
import importlib
import os
import random
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.runtime.files import open_log
from kubeherd.cluster.runtime.handshake import (
    LOCK_FD,
    READY_FD_VARIABLE,
    SPAWNER_VARIABLE,
    failure_in,
    port_in,
)

AGENTS: Final = "kubeherd.agents"
SUPERVISOR: Final = "kubeherd.cluster.launcher"
MODULES: Final = ("kubeherd.cluster.apiserver", "kubeherd.controller", AGENTS, SUPERVISOR)
"""What can be started, in the order in which it is imported while there is nothing else to do."""
_RECEIVE_BYTES: Final = 65_536
_COMM_LENGTH: Final = 15
_MAX_LOCKS: Final = 16


class Request(msgspec.Struct, frozen=True):
    """One process to start; `env` is added to the parent's environment."""

    id: JsonValue
    argv: list[str]
    module: str = AGENTS
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
        self._cold = [module for module in MODULES if module != SUPERVISOR]
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, None)
        self._unread = b""
        self._locks: list[int] = []
        """Descriptors that came with requests for supervisors, in their order."""
        self._open = True

    def serve(self) -> None:
        """Serve until the control socket closes."""
        while self._open:
            events = self._selector.select(0 if self._cold else None)
            if not events and self._cold:
                warm_up(self._cold.pop(0))  # what will be asked for next
            for key, _ in events:
                child = key.data
                if child is None:
                    self._receive()
                elif key.fd == child.pid_fd:
                    self._exited(child)
                else:
                    self._ready(child)

    def _receive(self) -> None:
        try:
            data, locks, _, _ = socket.recv_fds(self._control, _RECEIVE_BYTES, _MAX_LOCKS)
            self._locks += locks
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
            except (OSError, ImportError) as error:
                self._answer({"id": request.id, "error": str(error)})

    def _start(self, request: Request) -> None:
        lock_fd = self._locks.pop(0) if request.module == SUPERVISOR and self._locks else None
        try:
            pid, ready_fd = _fork(request, lock_fd)
        finally:
            if lock_fd is not None:
                os.close(lock_fd)
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
        if line and (failure := failure_in(line)):
            self._answer({"id": child.request_id, "event": "failed", "error": failure})
        elif line:
            port = port_in(line)
            told = {"port": port} if port else {}
            self._answer({"id": child.request_id, "event": "ready", **told})

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


def _fork(request: Request, lock_fd: int | None) -> tuple[int, int]:
    """Fork a process: its pid, and the descriptor that it writes its ready line to."""
    warm_up(request.module)
    ready_fd, child_fd = os.pipe()
    try:
        log_fd = open_log(request.log or os.devnull)
        try:
            pid = os.fork()
            if pid == 0:
                _become(request, log_fd, child_fd, lock_fd)
        finally:
            os.close(log_fd)
    except OSError:
        os.close(ready_fd)
        raise
    finally:
        os.close(child_fd)
    return pid, ready_fd


# --- in the child ---


def _become(request: Request, log_fd: int, ready_fd: int, lock_fd: int | None) -> NoReturn:
    """Turn the forked child into the process that was asked for; never returns."""
    code = 1
    try:
        _leave_parent_behind(request, log_fd, ready_fd, lock_fd)
        if request.module == SUPERVISOR:
            _fork_own_spawner()
        os.environ[READY_FD_VARIABLE] = "3"
        sys.argv = [f"python -m {request.module}", *request.argv]
        code = _main_of(request.module).main(request.argv) or 0
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:  # the last frame before _exit: say what happened
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _exit_code(end: SystemExit) -> int:
    """As the interpreter does it: a text goes to standard error and means 1."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


def _leave_parent_behind(request: Request, log_fd: int, ready_fd: int, lock_fd: int | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # As the interpreter has it: uvloop writes to sockets in a way that would end the process, and
    # without a word, when the peer has just gone.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    held = None if lock_fd is None else fcntl.fcntl(lock_fd, fcntl.F_DUPFD_CLOEXEC, LOCK_FD + 1)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.dup2(ready_fd, 3)
    os.set_inheritable(3, False)
    kept = 3
    if held is not None:
        kept = os.dup2(held, LOCK_FD)
    if request.module == SUPERVISOR:
        os.setsid()
    gc.enable()
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") > 0 else 65_536)
    os.environ.update(request.env)
    random.seed()
    _set_title(_name_of(request))


def _fork_own_spawner() -> None:
    """Give the supervisor that this process becomes a fork server with all that is loaded here.

    It is the supervisor's child; the environment says where it is (SPAWNER_VARIABLE).
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        os.environ[SPAWNER_VARIABLE] = f"{pid}:{ours.detach()}"
        return
    ours.close()
    os.close(3)
    with suppress(OSError):
        os.close(LOCK_FD)
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _set_title("spawner")
    Spawner(theirs).serve()
    os._exit(0)


def _name_of(request: Request) -> str:
    """The first node of an agent process; of any other what comes last in its module's name."""
    with suppress(ValueError, IndexError):
        return request.argv[request.argv.index("--node") + 1]
    return request.module.rpartition(".")[2]


def _set_title(name: str) -> None:
    """Show the name in `ps -o comm` and `top`."""
    with suppress(OSError), open("/proc/self/comm", "w") as file:  # noqa: PTH123 - no pathlib here
        file.write(name[:_COMM_LENGTH])


# --- start ---


def warm_up(module: str) -> None:
    """Load a module and, if it has a `warm_up` of its own, what each of its processes would make.

    All of it is hidden from the collector. ImportError for a module that is none of MODULES.
    """
    if module not in MODULES:
        raise ImportError(f"{module} is no part of a cluster")
    if f"{module}.__main__" in sys.modules:
        return
    make_once = getattr(_main_of(module), "warm_up", None)
    if make_once is not None:
        make_once()
    gc.freeze()


def _main_of(module: str) -> Any:
    return importlib.import_module(f"{module}.__main__")


def main() -> None:
    """Fork processes on request."""
    parser = argparse.ArgumentParser(
        prog="python -m kubeherd.agents.spawner", description="Fork processes on request."
    )
    parser.add_argument("--control-fd", type=int, required=True, help="inherited stream socket")
    parser.add_argument(
        "--ahead", action="store_true", help="import everything before the first request"
    )
    options = parser.parse_args()
    gc.disable()  # what is imported stays; children enable it again
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        control = socket.socket(fileno=options.control_fd)
    except OSError as error:
        parser.error(f"--control-fd {options.control_fd}: {error.strerror}")
    control.set_inheritable(False)
    if options.ahead:
        for module in MODULES:
            warm_up(module)
    Spawner(control).serve()


if __name__ == "__main__":
    main()
