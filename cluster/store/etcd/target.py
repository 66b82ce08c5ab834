"""Which etcd, and who we are to it."""

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from kubeherd.cluster.store.engine import StoreError


class EtcdTarget(msgspec.Struct, frozen=True):
    """The members that may be asked, as URLs (``https://127.0.0.1:2379``), and credentials.

    The files are PEM. With `ca_file` a member's certificate must be of that CA, without it of one
    that the system knows; `cert_file` and `key_file` are ours. User and password: "" for none.
    """

    endpoints: tuple[str, ...]
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"EtcdTarget({', '.join(self.endpoints)})"

    def check(self) -> None:
        """StoreError if it cannot be used, whatever etcd says."""
        if not self.endpoints:
            raise StoreError("no endpoint of etcd is given")
        for endpoint in self.endpoints:
            address(endpoint)
        if (self.cert_file is None) != (self.key_file is None):
            raise StoreError("a client certificate for etcd and its key belong together")
        if bool(self.user) != bool(self.password):
            raise StoreError("a user of etcd and a password belong together")


def address(endpoint: str) -> tuple[str, int]:
    """Host and port of a URL; StoreError if it is none of http or https with a port."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in ("http", "https") or parts.path not in ("", "/"):
        raise StoreError(
            f"{endpoint!r} is no endpoint of etcd: it must look like https://127.0.0.1:2379"
        )
    return host, port


def is_tls(endpoint: str) -> bool:
    """Whether it is talked to over TLS."""
    return endpoint.startswith("https:")
