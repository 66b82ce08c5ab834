"""Who issues certificates, and to whom: the cluster's CA and the identities of its clients.

Keys are EC P-256. Invariant: no certificate outlives the authority that signed it.
"""

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubeherd.cluster.launcher.pki.lifetimes import AUTHORITY_LIFE, CLOCK_SKEW, LIFE

Now = Callable[[], datetime]

_SERVING_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_SERVING_ADDRESSES = ("127.0.0.1", "::1", "10.96.0.1")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_NO_HOSTS: Sequence[str] = ()


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


def identity_of(certificate: x509.Certificate) -> Identity:
    """Whom a client's certificate names."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    user = str(names[-1].value) if names else ""
    return Identity(user, tuple(str(group.value) for group in groups))


class KeyPair(msgspec.Struct, frozen=True):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class Authority:
    """The cluster's CA: signs certificates. Safe to use from several threads."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, now: Now = utc_now
    ) -> None:
        self.certificate = certificate
        self._key = key
        self.now = now
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls, now: Now = utc_now, common_name: str = "kubernetes") -> "Authority":
        """A new self-signed CA."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        return cls._self_signed(name, ec.generate_private_key(ec.SECP256R1()), now)

    @classmethod
    def load(cls, pair: KeyPair, now: Now = utc_now) -> "Authority":
        """The CA from its files' contents; ValueError if they are not a certificate and its key."""
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = load_key(pair.key)
        if certificate.public_key() != key.public_key():
            raise ValueError("the key does not belong to the certificate")
        return cls(certificate, key, now)

    @classmethod
    def _self_signed(
        cls, name: x509.Name, key: ec.EllipticCurvePrivateKey, now: Now
    ) -> "Authority":
        begin = now()
        certificate = (
            _builder(name, name, key, begin, begin + AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key, now)

    @property
    def is_self_signed(self) -> bool:
        """Whether nobody else has to renew it."""
        return self.certificate.issuer == self.certificate.subject

    def renewed(self) -> "Authority":
        """The same CA, good from now on: the key and the name stay, so all that it has signed stays
        good, and so do copies of the old certificate until that ends."""
        return self._self_signed(self.certificate.subject, self._key, self.now)

    def key_pair(self) -> KeyPair:
        """The CA's own certificate and key."""
        return KeyPair(self.certificate_pem, key_pem(self._key))

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether this CA has signed a certificate."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except Exception:
            return False
        return True

    def issue_client(
        self,
        identity: Identity,
        life: timedelta = LIFE,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> KeyPair:
        """A client certificate that authenticates `identity`, for this key or a new one. ValueError
        for names that cannot be in one."""
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in identity.groups),
                x509.NameAttribute(NameOID.COMMON_NAME, identity.user),
            ]
        )
        key = key or ec.generate_private_key(ec.SECP256R1())
        return self._issue(subject, (ExtendedKeyUsageOID.CLIENT_AUTH,), (), key, life)

    def issue_server(
        self, hosts: Sequence[str] = _NO_HOSTS, key: ec.EllipticCurvePrivateKey | None = None
    ) -> KeyPair:
        """The API server's certificate, good for loopback, the names of the service and `hosts`,
        addresses or names; for this key or a new one."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
        key = key or ec.generate_private_key(ec.SECP256R1())
        usages = (ExtendedKeyUsageOID.SERVER_AUTH,)
        return self._issue(subject, usages, serving_names(hosts), key, LIFE)

    def issue_etcd(self, key: ec.EllipticCurvePrivateKey | None = None) -> KeyPair:
        """The certificate of an etcd on this machine, with which it also talks to itself and to
        other members; for this key or a new one."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
        usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
        key = key or ec.generate_private_key(ec.SECP256R1())
        return self._issue(subject, usages, _names(_LOOPBACK_NAMES), key, LIFE)

    def _issue(
        self,
        subject: x509.Name,
        usages: Sequence[x509.ObjectIdentifier],
        alternative_names: Sequence[x509.GeneralName],
        key: ec.EllipticCurvePrivateKey,
        life: timedelta,
    ) -> KeyPair:
        begin = self.now()
        end = min(begin + life, self.certificate.not_valid_after_utc)
        builder = (
            _builder(subject, self.certificate.subject, key, begin, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
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
        return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key))


def serving_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """What the API server's certificate is good for."""
    return _names((*_SERVING_NAMES, *_SERVING_ADDRESSES, *hosts))


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Addresses and DNS names as a certificate has them, each once."""
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        if name not in found:
            found.append(name)
    return found


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """A private key from its PEM; ValueError if it is no key on an elliptic curve."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:  # it is encrypted
        raise ValueError(str(error)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begin: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - CLOCK_SKEW)
        .not_valid_after(end)
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
