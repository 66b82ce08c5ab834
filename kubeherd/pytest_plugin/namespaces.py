"""Fresh namespaces on a shared cluster."""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubeherd import Cluster
from kubeherd.cluster.client.kubeconfig import load_tree

_NAME_LIMIT = 50


@contextmanager
def fresh_namespace(cluster: Cluster, test: str) -> Iterator[str]:
    """A namespace named after a test, usable (it has its ServiceAccount); deleted at the end.

    The end does not wait until it is gone: the next test has another one.
    """
    words = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:_NAME_LIMIT].strip("-")
    name = f"{words or 'test'}-{secrets.token_hex(3)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    cluster.wait_for("ServiceAccount", "default", lambda _account: True, name)
    yield name
    cluster.delete("Namespace", name)


def kubeconfig_for(cluster: Cluster, namespace: str, directory: Path) -> Path:
    """The cluster's kubeconfig with another default namespace, as a file in `directory`."""
    tree = load_tree(cluster.kubeconfig)
    for entry in tree["contexts"]:
        entry["context"]["namespace"] = namespace
    path = directory / "kubeconfig"
    path.touch(0o600)
    path.write_text(json.dumps(tree))
    return path
