"""Certificates and kubeconfigs for one test: the launcher's certificate authority in a temp dir."""

from datetime import timedelta
from pathlib import Path

import orjson

from kubeherd.cluster.launcher import pki
from kubeherd.cluster.launcher.directory.rundir import write_private
from kubeherd.cluster.launcher.pki import ADMIN, Identity
from kubeherd.cluster.launcher.pki.authority import utc_now
from kubeherd.cluster.launcher.pki.lifetimes import LIFE


class Authority:
    """Writes ``DIR/pki`` as the API server expects it, and identities on request."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ahead = timedelta(0)
        """So much the clock of the authority is ahead of time."""
        self.life = LIFE
        """Of the identities that are made from now on."""
        self._authority = pki.Authority.create(lambda: utc_now() + self.ahead)
        self.certificate = self._authority.certificate_pem
        files = directory / "pki"
        files.mkdir(parents=True)
        (files / "ca.crt").write_bytes(self.certificate)
        self.renew_server()

    def renew_server(self) -> None:
        """The server has a new certificate, and a new key."""
        server = self._authority.issue_server()
        for name, data in (("apiserver.key", server.key), ("apiserver.crt", server.certificate)):
            write_private(self.directory / "pki" / name, data)

    def identity(self, user: str, *groups: str) -> tuple[Path, Path]:
        """Certificate and key files of a user."""
        pair = self._authority.issue_client(Identity(user, groups), self.life)
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
