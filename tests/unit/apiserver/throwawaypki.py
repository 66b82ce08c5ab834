"""Certificates and kubeconfigs for one test: a certificate authority that lives in a temp dir."""

import base64
import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(common: str, groups: tuple[str, ...] = ()) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Authority:
    """Writes ``DIR/pki`` as the API server expects it, and identities on request."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = _key()
        self._name = _name("test-ca")
        self.certificate = self._issue(self._name, self._key, authority=True)
        pki = directory / "pki"
        pki.mkdir(parents=True)
        server = _key()
        (pki / "ca.crt").write_bytes(self.certificate)
        (pki / "apiserver.crt").write_bytes(self._issue(_name("apiserver"), server, server=True))
        (pki / "apiserver.key").write_bytes(_pem(server))

    def _issue(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
        server: bool = False,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_key_usage(authority), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if server:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    def identity(self, user: str, *groups: str) -> tuple[Path, Path]:
        """Certificate and key files of a user."""
        key = _key()
        stem = user.replace(":", "_")
        certificate = self.directory / f"{stem}.crt"
        private = self.directory / f"{stem}.key"
        certificate.write_bytes(self._issue(_name(user, groups), key))
        private.write_bytes(_pem(key))
        return certificate, private

    def kubeconfig(self, port: int) -> Path:
        """A kubeconfig of an administrator."""
        certificate, private = self.identity("admin", "system:masters")

        def encoded(data: bytes) -> str:
            return base64.b64encode(data).decode()

        path = self.directory / "kubeconfig"
        path.write_text(
            f"""apiVersion: v1
kind: Config
clusters:
- name: c
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority-data: {encoded(self.certificate)}
users:
- name: u
  user:
    client-certificate-data: {encoded(certificate.read_bytes())}
    client-key-data: {encoded(private.read_bytes())}
contexts:
- name: x
  context: {{cluster: c, user: u}}
current-context: x
"""
        )
        return path


def _key_usage(authority: bool) -> x509.KeyUsage:
    """What Python 3.13 insists on: an authority must say that it signs certificates."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
