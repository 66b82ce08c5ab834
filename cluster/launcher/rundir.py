"""The run directory: everything of one cluster lies in it (ARCHITECTURE.md has the map).

Invariants: directories are 0700; a file with a secret is created 0600 and appears under its name
only when it is complete (temporary file, fsync, rename), so no reader ever sees half of one and
nobody else can read it, not even for a moment.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Settings


class RunDir:
    """Paths inside a cluster's directory, and the few operations on the directory itself."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.kubeconfig = self.root / "kubeconfig"
        self.pki = self.root / "pki"
        self.kubeconfigs = self.root / "kubeconfigs"
        self.logs = self.root / "logs"
        self.run = self.root / "run"
        self.cluster_json = self.root / "cluster.json"
        self.state_json = self.run / "state.json"
        self.socket = self.run / "supervisor.sock"
        self.lock = self.run / "lock"

    def log(self, process: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{process}.log"

    def node_kubeconfig(self, node: str) -> Path:
        """The identity of a node's agent."""
        return self.kubeconfigs / f"{node}.kubeconfig"

    def fleet_kubeconfig(self, agent: str) -> Path:
        """The one identity of an agent process with several nodes."""
        return self.kubeconfigs / f"{agent}.kubeconfig"

    @property
    def controller_kubeconfig(self) -> Path:
        """The identity of the controller manager."""
        return self.kubeconfigs / "controller-manager.kubeconfig"

    def exists(self) -> bool:
        """Whether a cluster was ever brought up here."""
        return self.cluster_json.is_file()

    def prepare(self) -> None:
        """Create the directories; LauncherError if that is not possible or not writable."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for directory in (self.root, self.pki, self.kubeconfigs, self.logs, self.run):
                directory.mkdir(exist_ok=True)
                directory.chmod(0o700)
            with tempfile.TemporaryFile(dir=self.run):
                pass
        except OSError as error:
            raise LauncherError(
                f"cannot write to {error.filename or self.root}: {error.strerror}"
            ) from error

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

        LauncherError if another supervisor has it.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise LauncherError(f"the cluster in {self.root} is already running") from None
        return descriptor

    def locked(self) -> bool:
        """Whether a supervisor holds the lock now."""
        if not self.lock.exists():
            return False
        try:
            os.close(self.acquire_lock())
        except LauncherError:
            return True
        return False

    def purge(self) -> None:
        """Delete the directory and everything in it."""
        try:
            shutil.rmtree(self.root)
        except OSError as error:
            raise LauncherError(
                f"cannot delete {error.filename or self.root}: {error.strerror}"
            ) from error


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Atomically write a file of mode 0600; LauncherError if the directory refuses.

    `durable=False` leaves out the fsync, for what can be made again.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_directory(path.parent)
    except OSError as error:
        raise LauncherError(f"cannot write {path}: {error.strerror}") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
