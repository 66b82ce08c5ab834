"""What a fresh cluster of kind looks like: its objects and static pods, as trees.

The manifests lie in `manifests`, written for kubeherd; names, labels, images and addresses are
those of kubeadm v1.36 (cmd/kubeadm/app/phases) and of kind. `@NAME@` in them is filled in.
"""

import base64
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.version import KUBERNETES_VERSION

CONTROL_PLANE_LABELS: Final = {
    "node-role.kubernetes.io/control-plane": "",
    "node.kubernetes.io/exclude-from-external-load-balancers": "",
}
"""Of the control-plane node; no kubelet may give them to itself (NodeRestriction)."""
SYSTEM: Final = "kube-system"
MARK: Final = (kinds.CONFIGMAPS, SYSTEM, "kubeadm-config")
"""The object that is created last: where it is, the profile has been applied."""

_DIRECTORY = Path(__file__).parent / "manifests"
_BOOTSTRAP_TOKENS = "bootstrap-token.yaml"
_FILES = (
    "kubeadm.yaml",
    _BOOTSTRAP_TOKENS,
    "kube-proxy.yaml",
    "kindnet.yaml",
    "coredns.yaml",
    "local-path-storage.yaml",
    "kubeadm-config.yaml",
)


class Server(msgspec.Struct, frozen=True):
    """Where the API server is (a URL), and the PEM of who signed its certificate."""

    url: str
    ca_pem: bytes


def objects(server: Server) -> list[JsonObject]:
    """All objects, in the order in which they are created; the last one is the `MARK`."""
    values = _values(server)
    return [tree for name in _FILES for tree in _documents(_DIRECTORY / name, values)]


def bootstrap_objects(server: Server) -> list[JsonObject]:
    """Those of them that bootstrap tokens need, for a cluster of any profile."""
    return _documents(_DIRECTORY / _BOOTSTRAP_TOKENS, _values(server))


def static_pods(server: Server) -> dict[str, bytes]:
    """File name -> manifest of each static pod of the control-plane node."""
    values = _values(server)
    found = sorted((_DIRECTORY / "static").glob("*.yaml"))
    return {path.name: _filled(path, values).encode() for path in found}


def _values(server: Server) -> dict[str, str]:
    endpoint = urlsplit(server.url)
    return {
        "@CA@": base64.b64encode(server.ca_pem).decode(),
        "@ENDPOINT@": endpoint.netloc,
        "@PORT@": str(endpoint.port),
        "@SERVER@": server.url,
        "@VERSION@": KUBERNETES_VERSION,
    }


def _filled(path: Path, values: dict[str, str]) -> str:
    text = path.read_text()
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _documents(path: Path, values: dict[str, str]) -> list[Any]:
    return list(yaml.load_all(_filled(path, values), Loader=yaml.CSafeLoader))
