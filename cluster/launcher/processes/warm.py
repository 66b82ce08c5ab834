"""A warm parent for supervisors, for programs that start clusters: one per program.

The fork server of `agents.spawner` with everything imported: the first cluster of a program costs
one import of all there is instead of one per process, and the following ones cost none. It is no
part of any cluster: clusters go on without it, and it ends with the program.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Sequence
from functools import cache

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.logs import last_words
from kubeherd.cluster.launcher.processes import forkserver
from kubeherd.cluster.launcher.processes.orphans import stop_orphans

_MODULE = "kubeherd.cluster.launcher"
_START_TIMEOUT_S = 30.0
_ATTEMPTS = 2
"""One that was killed since the last start is replaced, once."""
_ANSWER_BYTES = 65_536


class WarmParent:
    """Forks supervisors. Safe to use from several threads; a forked program makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self.pid = 0
        self._control: socket.socket | None = None
        self._unread = b""
        self._next_id = 0

    def launch(self, rundir: RunDir, lock: int, options: Sequence[str]) -> None:
        """Fork the supervisor of a prepared run directory; returns once its socket answers.

        `lock` is the directory's, which the supervisor shares from then on. LauncherError with the
        reason if it does not start.
        """
        failure = ""
        with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    failure = self._start(options, lock, rundir)
                    break
                except TimeoutError:
                    self._end()
                    failure = f"it did not answer within {_START_TIMEOUT_S:g} s"
                    break
                except OSError as error:
                    self._end()
                    failure = str(error) or type(error).__name__
                    stop_orphans(rundir)  # the supervisor may have been forked all the same
        if failure:
            raise LauncherError(f"the supervisor did not start: {failure}")

    def close(self) -> None:
        """End the warm parent; the supervisors that it forked go on."""
        with self._lock:
            self._end()

    def _start(self, options: Sequence[str], lock: int, rundir: RunDir) -> str:
        """Why the supervisor does not serve; empty if it does."""
        control = self._connected()
        self._next_id += 1
        request = {
            "id": self._next_id,
            "module": _MODULE,
            "argv": list(options),
            "log": str(rundir.log("supervisor")),
            "env": dict(os.environ),
        }
        line = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(control, [line], [lock])
        control.sendall(line[sent:])
        while True:
            answer = json.loads(self._line(control))
            if answer["id"] != self._next_id or ("pid" in answer and "event" not in answer):
                continue
            if answer.get("event") == "ready":
                return ""
            why = str(answer.get("error", "")) or last_words(rundir.log("supervisor"))
            return why or "it ended without saying why"

    def _line(self, control: socket.socket) -> bytes:
        while b"\n" not in self._unread:
            data = control.recv(_ANSWER_BYTES)
            if not data:
                raise ConnectionResetError("its parent has ended")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _connected(self) -> socket.socket:
        if self._owner != os.getpid():
            self._forget()
        if self._control is None:
            environment = {**os.environ, **forkserver.NO_SYSTEM_AUTHORITIES}
            self.pid, self._control = forkserver.execute(
                os.devnull, environment, "--ahead", new_session=True
            )
            self._control.settimeout(_START_TIMEOUT_S)
            self._owner = os.getpid()
        return self._control

    def _end(self) -> None:
        if self._control is not None and self._owner == os.getpid():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        self._forget()

    def _forget(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control = None
        self._unread = b""


@cache
def of_this_process() -> WarmParent:
    """The one warm parent of this program."""
    parent = WarmParent()
    atexit.register(parent.close)
    return parent
