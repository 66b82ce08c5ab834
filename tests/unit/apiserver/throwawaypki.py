"""Certificates and kubeconfigs for one test: the launcher's certificate authority in a temp dir."""

from pathlib import Path

import orjson

from kubeherd.cluster.launcher import pki
from kubeherd.cluster.launcher.pki import ADMIN, Identity


class Authority:
    """Writes ``DIR/pki`` as the API server expects it, and identities on request."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._authority = pki.Authority.create()
        self.certificate = self._authority.certificate_pem
        server = self._authority.issue_server()
        files = directory / "pki"
        files.mkdir(parents=True)
        (files / "ca.crt").write_bytes(self.certificate)
        (files / "apiserver.crt").write_bytes(server.certificate)
        (files / "apiserver.key").write_bytes(server.key)

    def identity(self, user: str, *groups: str) -> tuple[Path, Path]:
        """Certificate and key files of a user."""
        pair = self._authority.issue_client(Identity(user, groups))
        stem = user.replace(":", "_")
        certificate = self.directory / f"{stem}.crt"
        private = self.directory / f"{stem}.key"
        certificate.write_bytes(pair.certificate)
        private.write_bytes(pair.key)
        return certificate, private

    def kubeconfig(self, port: int) -> Path:
        """A kubeconfig of an administrator."""
        pair = self._authority.issue_client(ADMIN)
        server = f"https://127.0.0.1:{port}"
        path = self.directory / "kubeconfig"
        path.write_bytes(orjson.dumps(pki.kubeconfig(server, self.certificate, pair, ADMIN.user)))
        return path
