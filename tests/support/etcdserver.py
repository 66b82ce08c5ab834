"""A real etcd for tests: one member or several, on loopback, in a directory of the test."""

import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from patience import PATIENCE_S

from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.processes import etcd


def find_etcd() -> str | None:
    """The program that `kubeherd up --store etcd` would start; None if there is none."""
    try:
        return str(etcd.binary())
    except LauncherError:
        return None


_given: set[int] = set()


def free_port() -> int:
    """One that was not given before: nobody may listen at it yet."""
    while True:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port: int = server.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


class EtcdMember:
    """One process, which can be killed, started again and frozen."""

    def __init__(
        self, directory: Path, name: str, options: Sequence[str] = (), scheme: str = "http"
    ) -> None:
        self.name = name
        self.port, self.peer_port = free_port(), free_port()
        self.scheme = scheme
        self._directory = directory
        self._options = list(options)
        self._process: subprocess.Popen[bytes] | None = None
        self.peers = f"{name}={self.peer_url}"

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    def start(self) -> None:
        """Start it, if it does not run; who asks it waits until it answers."""
        if self._process is not None:
            return
        binary = find_etcd()
        assert binary is not None
        self._directory.mkdir(parents=True, exist_ok=True)
        arguments = {
            "name": self.name,
            "data-dir": str(self._directory / f"{self.name}.data"),
            "listen-client-urls": self.endpoint,
            "advertise-client-urls": self.endpoint,
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": self.peers,
            "heartbeat-interval": "20",
            "election-timeout": "200",
        }
        flags = [f"--{name}={value}" for name, value in arguments.items()]
        with (self._directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary, *flags, *self._options], stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL; what it has on disk stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def cluster(directory: Path, size: int) -> list[EtcdMember]:
    """Members that know each other; none runs yet."""
    members = [EtcdMember(directory, f"m{number}") for number in range(size)]
    for member in members:
        member.peers = ",".join(f"{one.name}={one.peer_url}" for one in members)
    return members
