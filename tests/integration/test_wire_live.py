"""A real API server process and clients that it refuses: what they print, what its log says."""

import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.launcher import pki
from kubeherd.cluster.launcher.pki import ADMIN, Authority

BESIDE_PYTHON = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=f"{os.environ.get('PATH', '')}:{BESIDE_PYTHON}")

pytestmark = pytest.mark.integration


@dataclass
class Server:
    directory: Path
    port: int
    authority: Authority

    def logged(self, event: str) -> list[dict[str, object]]:
        lines = map(json.loads, (self.directory / "log").read_text().splitlines())
        return [line for line in lines if line["event"] == event]

    def kubectl(self, signed_by: Authority, *arguments: str) -> str:
        """What kubectl prints for an administrator with a certificate of `signed_by`."""
        tree = pki.kubeconfig(
            f"https://127.0.0.1:{self.port}",
            self.authority.certificate_pem,
            signed_by.issue_client(ADMIN),
            "admin",
        )
        path = self.directory / "kubeconfig"
        path.write_text(json.dumps(tree))
        places = ("--kubeconfig", str(path), "--cache-dir", str(self.directory))
        command = [str(KUBECTL), *places, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr


@contextmanager
def server(directory: Path, open_files: int) -> Iterator[Server]:
    authority = Authority.create()
    serving = authority.issue_server()
    (directory / "pki").mkdir()
    (directory / "pki" / "ca.crt").write_bytes(authority.certificate_pem)
    (directory / "pki" / "apiserver.crt").write_bytes(serving.certificate)
    (directory / "pki" / "apiserver.key").write_bytes(serving.key)
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "kubeherd.cluster.apiserver", "--dir", str(directory),
               "--port", "0", "--store", "memory"]  # fmt: skip
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            command, stderr=log, pass_fds=[writer],
            env={**os.environ, "KUBEHERD_READY_FD": str(writer)},
        )  # fmt: skip
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (open_files, open_files))
    os.close(writer)
    try:
        with open(reader, encoding="utf-8") as pipe:  # noqa: PTH123 - a descriptor
            port = json.loads(pipe.read())["port"]
        yield Server(directory, port, authority)
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.kubectl
@pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one")
def test_kubectl_says_why_its_certificate_is_refused(tmp_path: Path) -> None:
    with server(tmp_path, open_files=1024) as running:
        assert "default" in running.kubectl(running.authority, "get", "namespaces")
        refused = running.kubectl(Authority.create(), "get", "namespaces")
        assert refused == "error: You must be logged in to the server (Unauthorized)\n"
        (entry,) = running.logged("tls_handshake_failed")
        assert entry["reason"] == "unable to get local issuer certificate"


def test_few_descriptors_and_many_silent_clients(tmp_path: Path) -> None:
    with server(tmp_path, open_files=64) as running:
        address = ("127.0.0.1", running.port)
        silent = [socket.create_connection(address, timeout=PATIENCE_S) for _ in range(100)]
        context = ssl.create_default_context(cadata=running.authority.certificate_pem.decode())
        with context.wrap_socket(
            socket.create_connection(address, timeout=PATIENCE_S), server_hostname="localhost"
        ) as client:
            client.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert running.logged("connections_exhausted")[0]["why"] == "max_connections"
        with socket.create_connection(address, timeout=PATIENCE_S) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b"".join(iter(lambda: plain.recv(4096), b""))
        assert answer.endswith(b"\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
        for client_socket in silent:
            client_socket.close()
