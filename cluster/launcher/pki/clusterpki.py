"""Keeps the certificates of one cluster's directory good: makes what is missing, renews in time.

Invariants: the CA's key is made once and never replaced while its files are there, so every
kubeconfig that was handed out is good until its own end; what is renewed keeps its key where that
lies in a file of its own, so a single rename replaces it; private keys are written 0600
(`rundir.write_private`) and never logged. What runs takes a renewed certificate over by itself: the
API server with the next connection (`apiserver.edge.tls`), its clients within seconds
(`client.rotation`).
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.kubeconfig import KubeconfigError, load_tree
from kubeherd.cluster.launcher.directory.rundir import RunDir, write_all_private, write_private
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import inventory, kubeconfigs, lifetimes
from kubeherd.cluster.launcher.pki.authority import (
    Authority,
    Identity,
    KeyPair,
    Now,
    identity_of,
    key_pem,
    load_key,
    serving_names,
    utc_now,
)
from kubeherd.cluster.launcher.pki.authorityfiles import ensure_authority, load_authority
from kubeherd.cluster.launcher.pki.etcdpki import EtcdPki
from kubeherd.cluster.launcher.pki.inventory import Item, Kind
from kubeherd.cluster.launcher.settings import Settings

_NEVER = datetime.max.replace(tzinfo=UTC)


class ClusterPki:
    """The certificates of one run directory, made when they are missing, otherwise reused."""

    def __init__(
        self, rundir: RunDir, authority: Authority, server: str, hosts: Sequence[str] = ()
    ) -> None:
        """`server` is the address to put into kubeconfigs, `hosts` are addresses and names for
        which the server's certificate must be good."""
        self._rundir = rundir
        self._authority = authority
        self._server = server
        self._hosts = hosts
        self.next_due = _NEVER
        """When the first of those that were seen or made is to be renewed."""

    @classmethod
    def ensure(
        cls, rundir: RunDir, server: str, hosts: Sequence[str] = (), now: Now = utc_now
    ) -> "ClusterPki":
        """Load or create the CA, the API server's certificate and the kubeconfigs that every
        cluster has; renew what is due.

        LauncherError if a file cannot be written or is damaged.
        """
        pki = cls(rundir, ensure_authority(rundir.pki / "ca.crt", now), server, hosts)
        pki._keep_authority()
        _ensure_token_key(rundir.pki)
        pki._ensure([inventory.server_item(rundir), *inventory.central_items(rundir)])
        return pki

    @classmethod
    def of(cls, rundir: RunDir, settings: Settings, now: Now = utc_now) -> "ClusterPki":
        """That of a cluster that was up before; LauncherError if it has no authority that can sign
        here and now."""
        if settings.joined:
            raise LauncherError(
                f"the nodes in {rundir.root} joined {settings.joined}: its certificates are made "
                "where it is, and theirs are renewed while they run"
            )
        authority = load_authority(rundir.pki / "ca.crt", now)
        if authority is None:
            raise LauncherError(f"there is no certificate authority in {rundir.pki}")
        return cls(rundir, authority, settings.server, settings.certified)

    def ensure_nodes(self, nodes: Sequence[str]) -> None:
        """Write the kubeconfigs of these nodes where they are missing, due or for another address
        or authority."""
        self._ensure(inventory.node_items(self._rundir, nodes))

    def ensure_fleets(self, agents: Iterable[str]) -> None:
        """The same for agent processes with several nodes each."""
        self._ensure(inventory.fleet_items(self._rundir, list(agents)))

    def ensure_command(self) -> None:
        """The same for a user's program in an experiment."""
        self._ensure([inventory.command_item(self._rundir)])

    def ensure_etcd(self) -> list[Item]:
        """The same for the cluster's own etcd; returns those that were made."""
        etcd = EtcdPki(self._rundir, self._authority.now)
        made = etcd.keep()
        self.next_due = min(self.next_due, etcd.next_due())
        return made

    def keep(self, settings: Settings) -> list[Item]:
        """Renew what is due of all certificates, and make what is missing; returns these."""
        self.next_due = _NEVER
        renewed = self._keep_authority()
        renewed += self._ensure(inventory.all_items(self._rundir, settings)[1:])
        return renewed + (self.ensure_etcd() if settings.has_own_etcd else [])

    def renew(self, settings: Settings, names: Collection[str]) -> list[Item]:
        """Renew these certificates, or all; returns those that were. A renewed CA, and one that has
        ended is renewed, takes all kubeconfigs with it: they hold it.

        LauncherError for a name that there is not, or a file that cannot be written: then every
        file is as it was.
        """
        items = inventory.all_items(self._rundir, settings)
        etcd = EtcdPki(self._rundir, self._authority.now) if settings.has_own_etcd else None
        of_etcd = inventory.etcd_items(self._rundir) if etcd is not None else []
        known = [item.name for item in (*items, *of_etcd)]
        for name in names:
            if name not in known:
                raise LauncherError(f'there is no certificate "{name}": {_some(known)}')
        files: dict[Path, bytes] = {}
        wanted = {*names} or {*known}
        ends = self._authority.certificate.not_valid_after_utc
        if "ca" in wanted or self._authority.now() >= ends:
            files[items[0].path] = self._renew_authority()
            wanted |= {item.name for item in items if item.kind is not Kind.SERVER}
        renewed = [item for item in items if item.name in wanted]
        for item in renewed:
            if item.kind is not Kind.AUTHORITY:
                files |= self._made(item)
        if etcd is not None:
            files |= etcd.files(wanted)
        write_all_private(files)
        return renewed + [item for item in of_etcd if item.name in wanted]

    def person(self, settings: Settings, identity: Identity, life: timedelta) -> str:
        """A kubeconfig, in YAML, for somebody else; with an address that others reach.

        LauncherError for a name that no certificate can hold, or if the authority has ended.
        """
        ends = self._authority.certificate.not_valid_after_utc
        if self._authority.now() >= ends:
            raise LauncherError(
                f"the certificate authority ended on {ends:%Y-%m-%d}: `kubeherd up` or "
                "`kubeherd cert renew ca` renews it"
            )
        try:
            pair = self._authority.issue_client(identity, life)
        except ValueError as error:
            raise LauncherError(f"no certificate can name {identity.user!r}: {error}") from None
        return kubeconfigs.to_yaml(self._kubeconfig(settings.public_server, pair, identity.user))

    # --- the authority ---

    def _keep_authority(self) -> list[Item]:
        """Renew the CA if it is due; returns it if it was."""
        certificate, now = self._authority.certificate, self._authority.now()
        if not self._authority.is_self_signed and now < certificate.not_valid_after_utc:
            return []  # whoever signed it may renew it
        if not lifetimes.is_due(certificate, now):
            self._note(certificate)
            return []
        item = inventory.authority_item(self._rundir)
        write_private(item.path, self._renew_authority())
        self._note(self._authority.certificate)
        return [item]

    def _note(self, certificate: x509.Certificate) -> None:
        self.next_due = min(self.next_due, lifetimes.renew_at(certificate))

    def _renew_authority(self) -> bytes:
        """From now on the CA is another certificate: which is to be written."""
        if not self._authority.is_self_signed:
            ended = self._authority.certificate.not_valid_after_utc
            raise LauncherError(
                f"{self._rundir.pki / 'ca.crt'} ends on {ended:%Y-%m-%d} and is signed by another "
                "authority, which has to renew it"
            )
        self._authority = self._authority.renewed()
        return self._authority.certificate_pem

    # --- what it signs ---

    def _ensure(self, items: Iterable[Item]) -> list[Item]:
        """Make these where they are not good; returns those that were made."""
        made = [item for item in items if not self._is_good(item)]
        for item in made:
            # What a crash of the machine damages is recognised and made again: no fsync for those
            # of which there may be thousands.
            durable = item.kind is Kind.SERVER or item.path == self._rundir.kubeconfig
            write_all_private(self._made(item), durable=durable)
        return made

    def _is_good(self, item: Item) -> bool:
        try:
            certificate = inventory.read(item)
            if lifetimes.is_due(certificate, self._authority.now()):
                return False
            if item.kind is Kind.SERVER:
                return self._is_good_server(certificate)
            access = inventory.access(item)
        except (OSError, ValueError, KubeconfigError):
            return False
        self._note(certificate)
        return (
            access.server == self._server
            and access.ca_pem == self._authority.certificate_pem
            and identity_of(certificate) == item.identity
        )

    def _is_good_server(self, certificate: x509.Certificate) -> bool:
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return False
        key = self._server_key()
        self._note(certificate)
        return (
            set(names.value) == set(serving_names(self._hosts))
            and key is not None
            and certificate.public_key() == key.public_key()
            and self._authority.issued(certificate)
        )

    def _server_key(self) -> ec.EllipticCurvePrivateKey | None:
        """The API server's key, None if there is none that can be used."""
        try:
            return load_key(_key_path(self._rundir).read_bytes())
        except (OSError, ValueError):
            return None

    def _made(self, item: Item) -> dict[Path, bytes]:
        """A new certificate, as the files to be written, in this order."""
        if item.kind is Kind.SERVER:
            key = self._server_key()
            pair = self._authority.issue_server(self._hosts, key)
            self._note(x509.load_pem_x509_certificate(pair.certificate))
            new_key = {} if key is not None else {_key_path(self._rundir): pair.key}
            return {**new_key, item.path: pair.certificate}
        pair = self._authority.issue_client(item.identity)
        self._note(x509.load_pem_x509_certificate(pair.certificate))
        new = self._kubeconfig(self._server, pair, item.identity.user)
        if item.path != self._rundir.kubeconfig:
            return {item.path: orjson.dumps(new)}  # JSON is read faster than YAML
        try:
            old = load_tree(item.path)
        except KubeconfigError:
            old = {}
        return {item.path: kubeconfigs.to_yaml(kubeconfigs.renewed(old, new)).encode()}

    def _kubeconfig(self, server: str, pair: KeyPair, user: str) -> JsonObject:
        return kubeconfigs.kubeconfig(server, self._authority.certificate_pem, pair, user)


def _some(names: Sequence[str]) -> str:
    """A few of these names."""
    shown = ", ".join(names[:10])
    return f"there are {shown}" + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _key_path(rundir: RunDir) -> Path:
    return rundir.pki / "apiserver.key"


def _ensure_token_key(directory: Path) -> None:
    """The key that signs service account tokens, named as by kubeadm. An old one stays: tokens in
    Secrets are good for ever."""
    path = directory / "sa.key"
    if not path.exists():
        write_private(path, key_pem(ec.generate_private_key(ec.SECP256R1())))
