"""One place says which versions these are; everything that shows one shows that."""

import json
import re
from importlib.metadata import version
from pathlib import Path

from click.testing import CliRunner

import kubeherd.cluster.api.version as versions
from kubeherd.agents.node.nodestatus import NodeConfig, NodeIdentity, status_content
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.version import KUBEHERD_VERSION, KUBERNETES_VERSION, PRODUCT
from kubeherd.cluster.apiserver.edge import openapi
from kubeherd.cluster.apiserver.handlers import health
from kubeherd.cluster.apiserver.write.context import default_manager
from kubeherd.cluster.cli.main import main

PACKAGES = ("agents", "cluster", "controller")


def test_the_command_says_what_the_server_says() -> None:
    result = CliRunner().invoke(main, ["--version"])
    served = json.loads(health.version())
    assert (
        result.output
        == f"kubeherd {version('kubeherd')}, serves Kubernetes {served['gitVersion']}\n"
    )
    assert served["gitVersion"] == KUBERNETES_VERSION
    assert KUBERNETES_VERSION.startswith(f"v{served['major']}.{served['minor']}.")


def test_the_kubelets_and_openapi_say_it_too() -> None:
    identity = NodeIdentity(pod_cidr="10.0.0.0/24", ip="127.0.0.1", boot_id="1")
    info = status_content(NodeConfig(name="node-0"), identity, ())["nodeInfo"]
    assert info["kubeletVersion"] == KUBERNETES_VERSION
    assert info["containerRuntimeVersion"] == f"kubeherd://{KUBEHERD_VERSION}"
    document = openapi.document(f"/openapi/v3{PODS.root}", {})
    assert document is not None
    assert json.loads(document.body)["info"]["version"] == KUBERNETES_VERSION


def test_clients_are_the_manager_kubeherd() -> None:
    assert default_manager({"user-agent": PRODUCT}) == "kubeherd"


def test_no_other_module_writes_a_version_of_its_own() -> None:
    """A full version in a string literal elsewhere would stay behind at the next one."""
    either = "|".join(map(re.escape, (KUBERNETES_VERSION, KUBEHERD_VERSION)))
    literal = re.compile(rf'"[^"\n]*\b({either})\b')
    root = Path(versions.__file__).parents[2]
    found = [
        str(path)
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
        if path.name != "version.py" and literal.search(path.read_text())
    ]
    assert found == []
