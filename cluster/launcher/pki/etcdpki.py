"""The certificates of a cluster's own etcd, by an authority of its own.

As with kubeadm (its etcd/ca): whoever shows etcd a certificate of the authority that it trusts may
read and write everything, past the API servers and all that they check. So it is not the cluster's,
which signs nodes and people. Keys are made once; a certificate that is due is replaced by a rename.
etcd reads its own anew for each connection.
"""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.launcher.directory.rundir import RunDir, write_all_private
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import inventory, lifetimes
from kubeherd.cluster.launcher.pki.authority import (
    Authority,
    KeyPair,
    Now,
    load_key,
    utc_now,
)
from kubeherd.cluster.launcher.pki.authorityfiles import load_authority
from kubeherd.cluster.launcher.pki.inventory import Item, Kind

_COMMON_NAME = "etcd-ca"


class EtcdPki:
    """The certificates of one run directory."""

    def __init__(self, rundir: RunDir, now: Now = utc_now) -> None:
        """LauncherError if the authority is damaged."""
        self._now = now
        self._items = inventory.etcd_items(rundir)
        found = load_authority(self._items[0].path, now)
        self._is_new = found is None
        self._authority = Authority.create(now, _COMMON_NAME) if found is None else found

    def keep(self) -> list[Item]:
        """Make what is missing, renew what is due; returns these. LauncherError if a file cannot be
        written."""
        due = [item for item in self._items if not self._is_good(item)]
        write_all_private(self.files([item.name for item in due]))
        return due

    def files(self, names: Collection[str]) -> dict[Path, bytes]:
        """New certificates for those of these names, as the files to be written."""
        files: dict[Path, bytes] = {}
        for item in self._items:
            if item.name in names:
                files |= self._made(item)
        return files

    def next_due(self) -> datetime:
        """When the first of them is to be renewed. LauncherError if one cannot be read."""
        try:
            return min(lifetimes.renew_at(inventory.read(item)) for item in self._items)
        except (OSError, ValueError) as error:
            raise LauncherError(f"a certificate of etcd cannot be read: {error}") from None

    def _is_good(self, item: Item) -> bool:
        try:
            certificate = inventory.read(item)
            key = load_key(_key_path(item).read_bytes())
        except (OSError, ValueError):
            return False
        return (
            not lifetimes.is_due(certificate, self._now())
            and certificate.public_key() == key.public_key()
            and self._authority.issued(certificate)
        )

    def _made(self, item: Item) -> dict[Path, bytes]:
        if item.kind is Kind.AUTHORITY:
            if not self._is_new:
                self._authority = self._authority.renewed()
            pair = self._authority.key_pair()
        elif item.kind is Kind.SERVER:
            pair = self._authority.issue_etcd(self._key(item))
        else:
            pair = self._authority.issue_client(item.identity, key=self._key(item))
        return _files(item, pair)

    def _key(self, item: Item) -> ec.EllipticCurvePrivateKey | None:
        try:
            return load_key(_key_path(item).read_bytes())
        except (OSError, ValueError):
            return None


def _files(item: Item, pair: KeyPair) -> dict[Path, bytes]:
    """The key first: a certificate never lies beside the key of another."""
    return {_key_path(item): pair.key, item.path: pair.certificate}


def _key_path(item: Item) -> Path:
    return item.path.with_suffix(".key")
