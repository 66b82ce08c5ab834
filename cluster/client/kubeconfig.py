"""Reading kubeconfig files: the server's address and one identity.

The subset that clusters write: certificates and keys as files or as base64 data, bearer tokens,
user name and password. An exec or auth-provider entry is refused with a clear message. Invariant:
secrets stay in memory, they are never part of an error's text.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import msgspec
import orjson

from kubeherd.cluster.api.failure import KubeherdError


class KubeconfigError(KubeherdError):
    """The file cannot be used; the text says why, in one line."""


class ClusterAccess(msgspec.Struct, frozen=True):
    """Where an API server is and who we are there. PEM texts are bytes, empty if absent."""

    server: str
    ca_pem: bytes = b""
    certificate_pem: bytes = b""
    key_pem: bytes = b""
    token: str = ""
    username: str = ""
    password: str = ""
    tls_server_name: str = ""
    skip_tls_verify: bool = False
    namespace: str = "default"

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"ClusterAccess({self.server!r}, namespace={self.namespace!r})"


def load_kubeconfig(path: str | Path, context: str = "") -> ClusterAccess:
    """Read a kubeconfig; `context` empty: its current context. KubeconfigError if unusable."""
    file, tree = Path(path), load_tree(path)
    try:
        return _access(file, tree, context)
    except (KeyError, TypeError, AttributeError) as error:
        raise KubeconfigError(f"kubeconfig {file} is incomplete: {error}") from error


def load_tree(path: str | Path) -> dict[str, Any]:
    """A kubeconfig as it is written, in YAML or JSON; KubeconfigError if it is neither."""
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"cannot read kubeconfig {file}: {error.strerror}") from error
    return _parse(file, data)


def _parse(file: Path, data: bytes) -> dict[str, Any]:
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        tree = _parse_yaml(file, data)
    if not isinstance(tree, dict):
        raise KubeconfigError(f"kubeconfig {file} is not a mapping")
    return tree


def _parse_yaml(file: Path, data: bytes) -> Any:
    import yaml  # noqa: PLC0415 - processes whose kubeconfig is JSON never load it

    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"kubeconfig {file} is neither YAML nor JSON") from error


def _access(file: Path, tree: dict[str, Any], context: str) -> ClusterAccess:
    wanted = context or tree.get("current-context") or ""
    entry = _named(file, tree, "contexts", wanted)["context"]
    cluster = _named(file, tree, "clusters", entry["cluster"])["cluster"]
    user = _named(file, tree, "users", entry["user"]).get("user") or {}
    for unsupported in ("exec", "auth-provider"):
        if unsupported in user:
            raise KubeconfigError(
                f"kubeconfig {file}: {unsupported} credentials are not supported: run `kubectl"
                " proxy` and use a kubeconfig with its address, http://127.0.0.1:8001"
            )
    token = user.get("token") or ""
    if not token and user.get("tokenFile"):
        token = _read(file, user["tokenFile"]).decode().strip()
    return ClusterAccess(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=_pem(file, cluster, "certificate-authority"),
        certificate_pem=_pem(file, user, "client-certificate"),
        key_pem=_pem(file, user, "client-key"),
        token=token,
        username=user.get("username") or "",
        password=user.get("password") or "",
        tls_server_name=cluster.get("tls-server-name") or "",
        skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=entry.get("namespace") or "default",
    )


def _named(file: Path, tree: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    for entry in tree.get(section) or ():
        if entry["name"] == name:
            return dict(entry)
    raise KubeconfigError(f'kubeconfig {file} has no "{name}" in its {section}')


def _pem(file: Path, entry: dict[str, Any], key: str) -> bytes:
    data = entry.get(f"{key}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"kubeconfig {file}: {key}-data is not base64") from error
    return _read(file, entry[key]) if entry.get(key) else b""


def _read(kubeconfig: Path, name: str) -> bytes:
    """Read a file that a kubeconfig names; relative names count from the kubeconfig."""
    path = kubeconfig.parent / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {kubeconfig}: {path}: {error.strerror}") from error
