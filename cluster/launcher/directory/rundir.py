"""The run directory: everything of one cluster lies in it (ARCHITECTURE.md has the map).

Invariants: a directory that is somebody else's is never touched (`ownership`), and only what
kubeherd made is deleted (`contents`, `purging`); directories made here are 0700; a file with a
secret is created 0600 and appears under its name only when it is complete (temporary file, fsync,
rename), so no reader ever sees half of one and nobody else can read it, not even for a moment.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory import contents, ownership, purging
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import APISERVERS, Recorded, Settings
from kubeherd.cluster.runtime.files import sync_directory

_LOCK_ATTEMPTS = 10


class RunDir:
    """Paths inside a cluster's directory, and the few operations on the directory itself.

    `root` is the directory itself, where `named` is a symbolic link to it: all processes know it
    by one name.
    """

    def __init__(self, named: Path) -> None:
        self.named = named.absolute()
        self.root = Path(os.path.realpath(named))
        self.kubeconfig = self.root / "kubeconfig"
        self.history = self.root / "history.jsonl"
        self.supervisor_history = self.root / "history-supervisor.jsonl"
        self.pki = self.root / "pki"
        self.kubeconfigs = self.root / "kubeconfigs"
        self.logs = self.root / "logs"
        self.run = self.root / "run"
        self.pod_logs = self.logs / "pods"
        self.manifests = self.root / "manifests"
        self.cluster_json = self.root / contents.CLUSTER_JSON
        self.state_json = self.run / "state.json"
        self.faults_json = self.run / "faults.json"
        self.socket = self.run / "supervisor.sock"
        self.front = self.run / "front.sock"
        self.dashboard_socket = self.run / "dashboard.sock"
        self.etcd = self.root / "etcd"
        self.lock = self.root / contents.LOCK

    def log(self, process: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{process}.log"

    def history_of(self, apiserver: str) -> Path:
        """What an API server records: several know of the same writes, each of its requests."""
        name = "history" if apiserver == APISERVERS[0] else f"history-{apiserver}"
        return self.root / f"{name}.jsonl"

    def histories(self, settings: Settings) -> list[Path]:
        """All that a cluster has recorded: `history.files.merged` makes one history of them, if
        there is one of an API server among them."""
        if settings.record is Recorded.NOTHING:
            return []
        recorded = [one for one in map(self.history_of, settings.api_servers) if one.exists()]
        if recorded and self.supervisor_history.exists():
            recorded.append(self.supervisor_history)
        return recorded

    def metrics_socket(self, process: str) -> Path:
        """Where a process other than the API server answers with its metrics."""
        return self.run / f"{process}.metrics"

    def faults_socket(self, process: str) -> Path:
        """Where a process is told which faults it carries out."""
        return self.run / f"{process}.faults"

    def node_kubeconfig(self, node: str) -> Path:
        """The identity of a node's agent."""
        return self.kubeconfigs / f"{node}.kubeconfig"

    def fleet_kubeconfig(self, agent: str) -> Path:
        """The one identity of an agent process with several nodes."""
        return self.kubeconfigs / f"{agent}.kubeconfig"

    @property
    def command_kubeconfig(self) -> Path:
        """The identity of a user's program that takes part in an experiment."""
        return self.kubeconfigs / "command.kubeconfig"

    @property
    def controller_kubeconfig(self) -> Path:
        """The identity of the controller manager."""
        return self.kubeconfigs / "controller-manager.kubeconfig"

    @property
    def scheduler_kubeconfig(self) -> Path:
        """The identity of the scheduler, which is in the same process."""
        return self.kubeconfigs / "scheduler.kubeconfig"

    def exists(self) -> bool:
        """Whether a cluster was ever brought up here."""
        return self.cluster_json.is_file()

    def is_ours(self) -> bool:
        """Whether kubeherd works in this directory, be it complete or not."""
        return ownership.is_ours(self.root)

    def prepare(self) -> bool:
        """Create the directories, and make the outermost one kubeherd's; False if it was.

        LauncherError if that is not possible, or if it is somebody else's; that is not touched.
        """
        ownership.check_name(self.root)
        try:
            made = _make_directory(self.root)
            if not made:
                ownership.check_usable(self.root)
                self._check_links()
            is_new = ownership.mark(self.root, made=made)
            for directory in (self.pki, self.kubeconfigs, self.logs, self.pod_logs, self.run):
                directory.mkdir(exist_ok=True, mode=0o700)
                directory.chmod(0o700)
        except OSError as error:
            raise LauncherError(
                f"cannot write to {error.filename or self.root}: {error.strerror}"
            ) from error
        return is_new

    def load_settings(self) -> Settings:
        """The cluster's settings; LauncherError if there is no cluster or it is not readable."""
        try:
            data = self.cluster_json.read_bytes()
        except FileNotFoundError:
            raise LauncherError(f"no cluster in {self.root}") from None
        except OSError as error:
            raise LauncherError(f"cannot read {self.cluster_json}: {error.strerror}") from error
        return settings_module.decode(data)

    def save_settings(self, settings: Settings) -> None:
        """Durably replace the cluster's settings."""
        write_private(self.cluster_json, settings_module.encode(settings))

    def acquire_lock(self) -> int:
        """Lock the directory for one supervisor; the descriptor holds it until it is closed.

        It may be handed on to another process. LauncherError if another supervisor has the lock.
        """
        for _ in range(_LOCK_ATTEMPTS):
            try:
                descriptor = os.open(
                    self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
                )
            except OSError as error:
                raise LauncherError(f"cannot write to {self.lock}: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                break
            if self.is_locked_by(descriptor):
                return descriptor
            os.close(descriptor)  # the file was deleted after it was opened: a lock on nothing
        raise LauncherError(f"the cluster in {self.root} is already running")

    def is_locked_by(self, descriptor: int) -> bool:
        """Whether a lock that was acquired is still the lock of what is under this path.

        It is not once the directory was deleted, moved away or replaced.
        """
        try:
            return os.path.samestat(os.fstat(descriptor), self.lock.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # cannot be told now: the disk is in trouble

    def locked(self) -> bool:
        """Whether a supervisor holds the lock now."""
        if not self.lock.exists():
            return False
        try:
            os.close(self.acquire_lock())
        except LauncherError:
            return True
        return False

    def purge(self) -> list[str]:
        """Delete all that kubeherd made here, and the directory if it made that and it is empty.

        Returns the relative paths of what somebody else put there: that stays. LauncherError if
        the cluster runs or something cannot be deleted.
        """
        ownership.check_owner(self.root)
        self.run.mkdir(exist_ok=True, mode=0o700)
        lock = self.acquire_lock()
        try:
            return self.purge_locked()
        finally:
            os.close(lock)

    def purge_locked(self, agents: Iterable[str] = ()) -> list[str]:
        """The same for one who holds the lock; `agents`: names of nodes and agent processes that
        may have left something, where no settings tell them."""
        made = ownership.made_by_us(self.root)
        try:
            left = purging.delete_made(str(self.root), self._layout(agents))
            purging.delete_last(str(self.root))
            if made and not left:
                self.root.rmdir()
        except OSError as error:
            raise LauncherError(
                f"cannot delete {error.filename or self.root}: {error.strerror}"
            ) from error
        return left

    def _layout(self, agents: Iterable[str] = ()) -> contents.Folder:
        try:
            return contents.layout(self.load_settings().all_names())
        except LauncherError:
            return contents.layout(agents)

    def _check_links(self) -> None:
        """LauncherError if something was put here that leads what is written elsewhere."""
        planted = purging.planted_links(str(self.root), self._layout())
        if planted:
            raise LauncherError(
                f"{self.root / planted[0]} is a symbolic link, which kubeherd does not make"
            )


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Atomically write a file of mode 0600; LauncherError if the directory refuses.

    `durable=False` leaves out the fsync, for what can be made again.
    """
    write_all_private({path: data}, durable=durable)


def write_all_private(files: Mapping[Path, bytes], *, durable: bool = True) -> None:
    """The same for several files: all are written beside their names before the first one gets its
    name, in this order, so a full disk leaves every file as it was."""
    beside: dict[Path, Path] = {}
    path = Path()
    try:
        try:
            for path, data in files.items():
                beside[path] = _write_beside(path, data, durable=durable)
            for path, temporary in beside.items():
                temporary.replace(path)
        except BaseException:
            for temporary in beside.values():
                temporary.unlink(missing_ok=True)
            raise
        if durable:
            for folder in dict.fromkeys(path.parent for path in files):
                sync_directory(folder)
    except OSError as error:
        raise LauncherError(f"cannot write {path}: {error.strerror}") from error


def _write_beside(path: Path, data: bytes, *, durable: bool) -> Path:
    """A whole temporary file next to `path`; OSError, and then there is none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _make_directory(path: Path) -> bool:
    """Make a private directory, and those above it; False if it is there already. OSError."""
    for parent in reversed(path.parents):
        if not parent.exists():
            with contextlib.suppress(FileExistsError):
                parent.mkdir(0o755)  # less by the umask, but never writable for others
    try:
        path.mkdir(0o700)
    except FileExistsError:
        return False
    path.chmod(0o700)
    return True
