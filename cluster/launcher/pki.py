"""The cluster's certificates and keys: its own CA, the API server's, one identity per client, and
the key that signs service account tokens.

Who a client is, is in its certificate: the common name is the user, organisations are the groups
(Kubernetes' X.509 client authentication). Keys are EC P-256. Invariants: the CA is created once
and never replaced while its files are there, so every kubeconfig handed out stays good; private
keys are written 0600 (`rundir.write_private`) and never logged.
"""

import base64
import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.client.kubeconfig import KubeconfigError, load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.errors import LauncherError

VALIDITY = timedelta(days=3650)
_CLOCK_SKEW = timedelta(minutes=5)
_SERVING_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_PLAIN = re.compile(
    r"https?://[\w.:-]+|(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z](?:[\w:-]*\w)?"
    r"|[A-Za-z0-9+/]{40,}={0,2}",
    re.ASCII,
)
"""What the values of a kubeconfig are: addresses, names, base64; any other is quoted."""
_SERVING_ADDRESSES = ("127.0.0.1", "::1", "10.96.0.1")


class Identity(msgspec.Struct, frozen=True):
    """A client's user name and groups."""

    user: str
    groups: tuple[str, ...] = ()


ADMIN = Identity("kubernetes-admin", ("system:masters",))
CONTROLLER_MANAGER = Identity("system:kube-controller-manager")
SCHEDULER = Identity("system:kube-scheduler")


def node_identity(node: str) -> Identity:
    """The identity of the agent of `node`, as the Node authorizer of Kubernetes expects it."""
    return Identity(f"system:node:{node}", ("system:nodes",))


def fleet_identity(agent: str) -> Identity:
    """The identity of the agent process `agent` with several nodes.

    One identity for all its nodes: a certificate and connections for each of a thousand nodes cost
    more than all that the nodes do. What it may do says the role that RBAC binds to its group.
    """
    return Identity(f"kubeherd:agent:{agent}", ("kubeherd:fleet-agents",))


class KeyPair(msgspec.Struct, frozen=True):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """The cluster's CA: signs certificates. Safe to use from several threads."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls) -> "Authority":
        """A new self-signed CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
        certificate = (
            _builder(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, pair: KeyPair) -> "Authority":
        """The CA from its files' contents; ValueError if they are not a certificate and its key."""
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("not an elliptic curve key")
        if certificate.public_key() != key.public_key():
            raise ValueError("the key does not belong to the certificate")
        return cls(certificate, key)

    def key_pair(self) -> KeyPair:
        """The CA's own certificate and key."""
        return KeyPair(self.certificate_pem, _key_pem(self._key))

    def issue_client(self, identity: Identity) -> KeyPair:
        """A client certificate that authenticates `identity`."""
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in identity.groups),
                x509.NameAttribute(NameOID.COMMON_NAME, identity.user),
            ]
        )
        return self._issue(subject, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_server(self, hosts: Sequence[str] = ()) -> KeyPair:
        """The API server's certificate, good for loopback, the names of the service and `hosts`,
        addresses or names."""
        names = _serving_names(hosts)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
        return self._issue(subject, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _issue(
        self,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        alternative_names: Sequence[x509.GeneralName],
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, self._certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if alternative_names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternative_names), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def kubeconfig(server: str, ca_pem: bytes, pair: KeyPair, user: str) -> JsonObject:
    """A kubeconfig with everything embedded."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kubeherd",
                "cluster": {"server": server, "certificate-authority-data": _b64(ca_pem)},
            }
        ],
        "contexts": [{"name": "kubeherd", "context": {"cluster": "kubeherd", "user": user}}],
        "current-context": "kubeherd",
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _b64(pair.certificate),
                    "client-key-data": _b64(pair.key),
                },
            }
        ],
    }


def _in_yaml(tree: JsonValue, indent: str = "") -> str:
    """A kubeconfig as people know it: YAML in blocks; strings plain where they are no other YAML.

    PyYAML takes ten times as long, most of it to load: a twentieth of the start of a cluster.
    """
    if isinstance(tree, dict):
        return "".join(f"{indent}{key}:{_after_key(value, indent)}" for key, value in tree.items())
    items = tree if isinstance(tree, list) else ()
    return "".join(f"{indent}- {_in_yaml(item, indent + '  ').lstrip()}" for item in items)


def _after_key(value: JsonValue, indent: str) -> str:
    if isinstance(value, str):
        return f" {value if _PLAIN.fullmatch(value) else msgspec.json.encode(value).decode()}\n"
    return "\n" + _in_yaml(value, indent + "  " * isinstance(value, dict))


class ClusterPki:
    """The certificates of one run directory, made when they are missing, otherwise reused."""

    def __init__(self, rundir: RunDir, authority: Authority, server: str) -> None:
        self._rundir = rundir
        self._authority = authority
        self._server = server

    @classmethod
    def ensure(cls, rundir: RunDir, server: str, hosts: Sequence[str] = ()) -> "ClusterPki":
        """Load or create the CA, the API server's certificate and the two central kubeconfigs.

        `server` is the address to put into them, `hosts` are addresses and names for which the
        server's certificate must be good. LauncherError if a file cannot be written or is damaged.
        """
        authority = _ensure_authority(rundir.pki)
        certificate, key = rundir.pki / "apiserver.crt", rundir.pki / "apiserver.key"
        if not (key.exists() and _is_good_for(certificate, hosts)):
            serving = authority.issue_server(hosts)
            write_private(key, serving.key)
            write_private(certificate, serving.certificate)
        _ensure_token_key(rundir.pki)
        pki = cls(rundir, authority, server)
        if not pki._is_current(rundir.kubeconfig):
            write_private(rundir.kubeconfig, _in_yaml(pki._kubeconfig(ADMIN)).encode())
        pki._ensure_internal(rundir.controller_kubeconfig, CONTROLLER_MANAGER)
        pki._ensure_internal(rundir.scheduler_kubeconfig, SCHEDULER)
        return pki

    def ensure_nodes(self, nodes: Sequence[str]) -> None:
        """Write the kubeconfigs of these nodes where they are missing or for another address."""
        for node in nodes:
            self._ensure_internal(self._rundir.node_kubeconfig(node), node_identity(node))

    def ensure_fleets(self, agents: Iterable[str]) -> None:
        """The same for agent processes with several nodes each."""
        for agent in agents:
            self._ensure_internal(self._rundir.fleet_kubeconfig(agent), fleet_identity(agent))

    def ensure_command(self) -> None:
        """The kubeconfig of a user's program in an experiment: an identity of its own, with all
        rights."""
        from kubeherd.faults.targets import COMMAND_USER  # noqa: PLC0415 - seldom wanted

        identity = Identity(COMMAND_USER, ("system:masters",))
        self._ensure_internal(self._rundir.command_kubeconfig, identity)

    def _ensure_internal(self, path: Path, identity: Identity) -> None:
        """A kubeconfig for a process of ours: in JSON, which is read faster than YAML.

        It is not fsynced: what a crash of the machine damages is recognised and made again.
        """
        if not self._is_current(path):
            write_private(path, orjson.dumps(self._kubeconfig(identity)), durable=False)

    def _kubeconfig(self, identity: Identity) -> JsonObject:
        pair = self._authority.issue_client(identity)
        return kubeconfig(self._server, self._authority.certificate_pem, pair, identity.user)

    def _is_current(self, path: Path) -> bool:
        try:
            access = load_kubeconfig(path)
        except KubeconfigError:
            return False
        return access.server == self._server and access.ca_pem == self._authority.certificate_pem


def _ensure_authority(directory: Path) -> Authority:
    certificate, key = directory / "ca.crt", directory / "ca.key"
    if certificate.exists():
        try:
            return Authority.load(KeyPair(certificate.read_bytes(), key.read_bytes()))
        except (OSError, ValueError) as error:
            raise LauncherError(
                f"the certificate authority in {directory} is damaged: {error}"
            ) from error
    authority = Authority.create()
    pair = authority.key_pair()
    write_private(key, pair.key)
    write_private(certificate, pair.certificate)
    return authority


def _serving_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """What the API server's certificate is good for."""
    found: list[x509.GeneralName] = [x509.DNSName(name) for name in _SERVING_NAMES]
    found += [x509.IPAddress(ipaddress.ip_address(text)) for text in _SERVING_ADDRESSES]
    for host in hosts:
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        if name not in found:
            found.append(name)
    return found


def _is_good_for(certificate: Path, hosts: Sequence[str]) -> bool:
    """Whether the API server's certificate is there, and is good for just these hosts."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return set(names) == set(_serving_names(hosts))


def _ensure_token_key(directory: Path) -> None:
    """The key that signs service account tokens, named as by kubeadm. An old one stays: tokens in
    Secrets are good for ever."""
    path = directory / "sa.key"
    if not path.exists():
        write_private(path, _key_pem(ec.generate_private_key(ec.SECP256R1())))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
