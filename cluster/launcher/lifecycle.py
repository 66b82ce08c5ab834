"""Starting and stopping a cluster from outside: for `kubeherd up` and `down`, tests and programs.

`launch` leaves a detached supervisor behind, `shut_down` ends it and, if it is gone, stops what it
left. Both are synchronous and may be called from any process of the same user.
"""

import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

import msgspec

from kubeherd.cluster.launcher import control, osproc, state
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.children import LINE_BYTES
from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.logs import last_words
from kubeherd.cluster.launcher.orphans import stop_orphans
from kubeherd.cluster.launcher.osproc import ProcessId
from kubeherd.cluster.launcher.rundir import RunDir
from kubeherd.cluster.launcher.settings import Settings, StoreKind
from kubeherd.cluster.launcher.state import ClusterState
from kubeherd.cluster.launcher.warm import WarmParent
from kubeherd.cluster.runtime.handshake import READY_FD_VARIABLE, failure_in

SUPERVISOR_START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 60.0
STATUS_TIMEOUT_S = 5.0
PORT_RANGE = range(20000, 32000)
"""Below the ports that Linux gives to outgoing connections: none of those can take ours."""

Progress = Callable[[ClusterState], None]


def new_settings(
    *,
    nodes: int = 3,
    nodes_per_agent: int = 1,
    store: StoreKind = StoreKind.SQLITE,
    port: int | None = None,
    speed: float = 1.0,
    seed: int | None = None,
) -> Settings:
    """The settings of a new cluster; a free port and a random seed where none is given."""
    chance = random.SystemRandom()
    settings = Settings(
        nodes_per_agent=nodes_per_agent,
        store=store,
        port=choose_port(chance) if port is None else port,
        speed=speed,
        seed=chance.getrandbits(32) if seed is None else seed,
    )
    return settings_module.add_nodes(settings, settings_module.next_names([], nodes))


def begin(
    rundir: RunDir,
    settings: Settings,
    *,
    follow_pid: int | None = None,
    warm_parent: WarmParent | None = None,
) -> None:
    """Start a cluster that does not run, new or not; `wait_until_up` is the other half.

    `warm_parent` forks the supervisor; without one it is executed.

    LauncherError if it runs, or the port or the directory cannot be used; then nothing changed.
    """
    if rundir.lock.exists():
        lock = rundir.acquire_lock()
        stop_orphans(rundir)  # of a supervisor that was killed: they hold the port and the store
        os.close(lock)
    if not port_is_free(settings.port):
        raise LauncherError(f"port {settings.port} of 127.0.0.1 is in use: choose one with --port")
    rundir.prepare()
    rundir.save_settings(settings)
    if warm_parent is not None:
        warm_parent.launch(rundir, follow_pid=follow_pid)
    else:
        launch(rundir, follow_pid=follow_pid)


def launch(rundir: RunDir, *, follow_pid: int | None = None) -> None:
    """Start the supervisor of a prepared run directory; returns once its socket answers.

    `follow_pid`: stop the cluster when that process ends. LauncherError if it did not start.
    """
    read_end, write_end = os.pipe()
    log = os.open(
        rundir.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    command = [sys.executable, "-P", "-m", "kubeherd.cluster.launcher", "--dir", str(rundir.root)]
    if follow_pid is not None:
        command += ["--follow-pid", str(follow_pid)]
    try:
        os.set_inheritable(write_end, True)
        os.posix_spawn(
            sys.executable,
            command,
            {**os.environ, READY_FD_VARIABLE: str(write_end)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(write_end)
        os.close(log)
    try:
        answered, _, _ = select.select([read_end], [], [], SUPERVISOR_START_TIMEOUT_S)
        line = os.read(read_end, LINE_BYTES) if answered else b""
        failure = failure_in(line) if line else last_words(rundir.log("supervisor"))
        if failure or not line:
            raise LauncherError(f"the supervisor did not start: {failure}")
    finally:
        os.close(read_end)


def wait_until_up(rundir: RunDir, timeout_s: float, progress: Progress) -> ClusterState:
    """Wait until every process of a launched cluster serves.

    LauncherError with the reason if one cannot start, or after `timeout_s` real seconds.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        for reply in control.ask(rundir, Request(op=Op.WAIT), timeout_s):
            progress(reply.state)
            if reply.final:
                return reply.state
            if time.monotonic() > deadline_s:
                break
    except LauncherError:
        if failure := state.read(rundir).failure:
            raise LauncherError(failure) from None
        raise
    late = [p.name for p in reply.state.processes if not p.ready]
    raise LauncherError(f"not ready after {timeout_s:g} s: {', '.join(late[:5])}")


def shut_down(rundir: RunDir, progress: Progress) -> bool:
    """Stop the cluster in order and wait for its end; False if nothing ran.

    LauncherError if processes are left after that.
    """
    ran = False
    if rundir.locked():
        ran = True
        supervisor = _supervisor_stops(rundir, progress)
        _await_end(rundir, supervisor)
    if not rundir.run.is_dir():
        return ran
    lock = rundir.acquire_lock()
    try:
        ran = stop_orphans(rundir) > 0 or ran
        left = [process for group in state.orphans(rundir) for process in group]
        rundir.socket.unlink(missing_ok=True)  # a supervisor that was killed leaves it
    finally:
        os.close(lock)
    if left:
        raise LauncherError(f"still running: {', '.join(str(p.pid) for p in left)}")
    return ran


def wait_for_end(rundir: RunDir) -> None:
    """Wait, without a limit, until the supervisor has ended."""
    while rundir.locked():
        time.sleep(0.2)


def current_state(rundir: RunDir) -> tuple[ClusterState, bool]:
    """The state of the processes and whether a supervisor told it (else: the file's last)."""
    try:
        for reply in control.ask(rundir, Request(op=Op.STATUS), STATUS_TIMEOUT_S):
            return reply.state, True
    except LauncherError:
        pass
    return state.read(rundir), False


def choose_port(rng: random.Random) -> int:
    """A free TCP port of the loopback address."""
    for port in rng.sample(PORT_RANGE, len(PORT_RANGE)):
        if port_is_free(port):
            return port
    raise LauncherError("no free port on 127.0.0.1")


def on_another_port(settings: Settings) -> Settings:
    """The same settings with another free port."""
    return msgspec.structs.replace(settings, port=choose_port(random.SystemRandom()))


def port_is_free(port: int) -> bool:
    """Whether the API server could listen on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _supervisor_stops(rundir: RunDir, progress: Progress) -> ProcessId | None:
    """Ask the supervisor to stop everything; returns who it is."""
    supervisor = state.read(rundir).supervisor
    try:
        for reply in control.ask(rundir, Request(op=Op.STOP), STOP_TIMEOUT_S):
            supervisor = reply.state.supervisor or supervisor
            progress(reply.state)
    except LauncherError:
        # It does not answer (frozen, or just leaving): its death leaves orphans, which are stopped.
        if supervisor is not None:
            osproc.send_signal(supervisor, signal.SIGKILL)
    return supervisor


def _await_end(rundir: RunDir, supervisor: ProcessId | None) -> None:
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while rundir.locked() or (supervisor is not None and osproc.alive(supervisor)):
        if time.monotonic() > deadline_s:
            raise LauncherError("the supervisor does not end")
        time.sleep(0.01)
