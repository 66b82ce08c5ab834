"""Starting and stopping a cluster from outside: for `kubeherd up` and `down`, tests and programs.

`launch` leaves a detached supervisor behind, `shut_down` ends it and, if it is gone, stops what it
left. Both are synchronous and may be called from any process of the same user.
"""

import contextlib
import errno
import os
import random
import signal
import time
from collections.abc import Callable

import msgspec

from kubeherd.cluster.launcher import addresses, control, state
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.addresses import LOOPBACK
from kubeherd.cluster.launcher.control import NoAnswer, NotListening, Op, Request
from kubeherd.cluster.launcher.directory import ownership
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.processes import executed, osproc
from kubeherd.cluster.launcher.processes.orphans import stop_orphans, stop_strays
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.processes.warm import WarmParent
from kubeherd.cluster.launcher.settings import ClusterOptions, Profile, Settings
from kubeherd.cluster.launcher.state import ClusterState
from kubeherd.cluster.runtime.handshake import LOCK_FD

STOP_TIMEOUT_S = 60.0
STATUS_TIMEOUT_S = 5.0
PORT_RANGE = range(20000, 32000)
"""Below the ports that Linux gives to outgoing connections: none of those can take ours."""

_LOOK_INTERVAL_S = 0.02
_NO_SUCH_ADDRESS = os.strerror(errno.EADDRNOTAVAIL)

Progress = Callable[[ClusterState], None]


_USUAL = ClusterOptions()


def new_settings(
    options: ClusterOptions = _USUAL,
    *,
    nodes: int = 3,
    port: int | None = None,
    seed: int | None = None,
) -> Settings:
    """The settings of a new cluster; a free port and a random seed where none is given.

    The profile kind has a control-plane node besides the `nodes`.
    """
    chance = random.SystemRandom()
    settings = Settings(
        **{name: getattr(options, name) for name in ClusterOptions.__struct_fields__},
        port=choose_port(chance, options.listen) if port is None else port,
        seed=chance.getrandbits(32) if seed is None else seed,
    )
    if options.profile is Profile.KIND:
        settings = settings_module.add_control_plane(settings)
    return settings_module.add_nodes(settings, settings_module.next_names([], nodes))


def begin(
    rundir: RunDir,
    settings: Settings,
    *,
    change: Callable[[Settings], Settings] = lambda stored: stored,
    found: Callable[[Settings], None] = lambda _settings: None,
    follow_pid: int | None = None,
    accept_loss_after: int | None = None,
    started: Callable[[], None] = lambda: None,
    warm_parent: WarmParent | None = None,
) -> Settings:
    """Start a cluster that does not run; `wait_until_up` is the other half. Returns its settings.

    `accept_loss_after`: go on with a damaged store that can be read up to this revision.
    `settings` are those of a new cluster; one that was up before keeps its own, but for what
    `change` makes of them; `found` is called with what it is to have. All happens under the lock,
    which the supervisor then has: of several callers one starts the cluster, and the others change
    nothing. `started` is called once the cluster is the caller's to stop; whatever is raised before
    that leaves no process behind.
    `warm_parent` forks the supervisor; without one it is executed.
    LauncherError if the cluster runs, or the port or the directory cannot be used; then nothing
    changed.
    """
    is_new = rundir.prepare()
    lock = rundir.acquire_lock()
    try:
        stop_orphans(rundir)  # of a supervisor that was killed: they hold the port and the store
        if rundir.exists():
            settings = change(rundir.load_settings())
        settings = located(settings)
        settings_module.check(settings)
        _check_free(settings)
        settings = with_etcd(settings)
        found(settings)
        rundir.save_settings(settings)
        options = _supervisor_options(rundir, follow_pid, accept_loss_after)
        if warm_parent is not None:
            warm_parent.launch(rundir, lock, options)
        else:
            executed.launch(rundir, lock, options)
        started()
    except BaseException:
        stop_orphans(rundir)
        if is_new and not rundir.exists():
            with contextlib.suppress(LauncherError):
                rundir.purge_locked(settings.all_names())
        raise
    finally:
        os.close(lock)
    return settings


def _supervisor_options(
    rundir: RunDir, follow_pid: int | None, accept_loss_after: int | None
) -> list[str]:
    """The command line of a supervisor; `follow_pid`: it ends with that process."""
    options = ["--dir", str(rundir.root), "--lock-fd", str(LOCK_FD)]
    if follow_pid is not None:
        options += ["--follow-pid", str(follow_pid)]
    if accept_loss_after is not None:
        options += ["--accept-loss-after", str(accept_loss_after)]
    return options


def wait_until_up(rundir: RunDir, timeout_s: float, progress: Progress) -> ClusterState:
    """Wait until every process of a launched cluster serves, and what its profile brings is there.

    LauncherError with the reason if one cannot start, or after `timeout_s` real seconds.
    """
    deadline_s = time.monotonic() + timeout_s
    last = ClusterState()
    try:
        for reply in control.ask(rundir, Request(op=Op.WAIT), timeout_s):
            last = reply.state
            progress(last)
            if reply.final:
                return last
            if time.monotonic() > deadline_s:
                break
    except NoAnswer:
        if not last.processes:
            raise
    except LauncherError:
        if failure := state.read(rundir).failure:
            raise LauncherError(failure) from None
        raise
    late = [p.name for p in last.processes if not p.ready] or [last.waiting]
    raise LauncherError(f"not ready after {timeout_s:g} s: {', '.join(late[:5])}")


def shut_down(rundir: RunDir, progress: Progress) -> bool:
    """Stop the cluster in order and wait for its end; False if nothing ran.

    Where there is no cluster, what is left of one whose directory was deleted or moved away is
    stopped. LauncherError if processes are left after that, or the directory is not this user's.
    """
    if not rundir.lock.exists():
        return stop_strays(rundir) > 0
    ownership.check_owner(rundir.root)
    ran = rundir.locked()
    if ran:
        supervisor = _supervisor_stops(rundir, progress)
        _await_end(rundir, supervisor)
        if not rundir.lock.exists():  # deleted while it stopped
            return stop_strays(rundir) > 0 or ran
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


def choose_port(rng: random.Random, listen: str = LOOPBACK) -> int:
    """A TCP port that is free on this address: the first one after a place that is drawn."""
    begin = rng.randrange(len(PORT_RANGE))
    for step in range(len(PORT_RANGE)):
        port = PORT_RANGE[(begin + step) % len(PORT_RANGE)]
        if port_is_free(port, listen):
            return port
    raise LauncherError(f"no free port on {listen}")


def on_another_port(settings: Settings) -> Settings:
    """The same settings with another free port."""
    return msgspec.structs.replace(
        settings, port=choose_port(random.SystemRandom(), settings.listen)
    )


def port_is_free(port: int, listen: str = LOOPBACK) -> bool:
    """Whether the API server could listen on this port of an address of the machine.

    An address that it has not has no free port; `begin` says so.
    """
    why = addresses.why_not(listen, port)
    return not why or why == _NO_SUCH_ADDRESS


def located(settings: Settings) -> Settings:
    """Settings that say by which address others find a cluster that listens on all."""
    if settings.joined:
        return settings
    found = ""
    if addresses.is_wildcard(settings.listen) and not settings.advertise_address:
        found = addresses.of_this_machine()
    return msgspec.structs.replace(settings, found_address=found)


def _check_free(settings: Settings) -> None:
    """LauncherError unless the API server can listen where it is to."""
    if settings.joined:
        return
    why = addresses.why_not(settings.listen, settings.port)
    if why == _NO_SUCH_ADDRESS:
        raise LauncherError(
            f"{settings.listen} is no address of this machine: choose one with --listen"
        )
    if not port_is_free(settings.port, settings.listen):
        raise LauncherError(
            f"port {settings.port} of {settings.listen} is in use: choose one with --port"
        )


def with_etcd(settings: Settings) -> Settings:
    """Settings with ports for the cluster's own etcd, those of before if they are free.
    LauncherError if there is no such program."""
    if not settings.has_own_etcd:
        return settings
    from kubeherd.cluster.launcher.processes import etcd  # noqa: PLC0415 - few clusters have one

    etcd.binary()
    ports: list[int] = []
    for kept in (settings.etcd_port, settings.etcd_peer_port):
        taken = {settings.port, *ports}
        port = kept
        while not port or port in taken or not port_is_free(port):
            port = choose_port(random.SystemRandom())
        ports.append(port)
    return msgspec.structs.replace(settings, etcd_port=ports[0], etcd_peer_port=ports[1])


def _supervisor_stops(rundir: RunDir, progress: Progress) -> ProcessId | None:
    """Ask the supervisor to stop everything; returns who it is."""
    supervisor = state.read(rundir).supervisor
    deadline_s = time.monotonic() + executed.START_TIMEOUT_S
    while rundir.locked():
        try:
            for reply in control.ask(rundir, Request(op=Op.STOP), STOP_TIMEOUT_S):
                supervisor = reply.state.supervisor or supervisor
                progress(reply.state)
            break
        except NotListening:  # it is just starting, or leaving: then the lock goes, too
            if time.monotonic() < deadline_s:
                time.sleep(_LOOK_INTERVAL_S)
                continue
        except LauncherError:
            pass
        # It does not answer (frozen, for one): its death leaves orphans, which are stopped.
        for process in {supervisor, *filter(osproc.leads_session, osproc.marked(rundir.root))}:
            if process is not None:
                osproc.send_signal(process, signal.SIGKILL)
        break
    return supervisor


def _await_end(rundir: RunDir, supervisor: ProcessId | None) -> None:
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while rundir.locked() or (supervisor is not None and osproc.alive(supervisor)):
        if time.monotonic() > deadline_s:
            raise LauncherError("the supervisor does not end")
        time.sleep(0.01)
