"""The real kubectl on a cluster of real processes: a rollout as a person drives it."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from liveherd import Herd

from kubeherd.cluster.cli.main import main

BESIDE_PYTHON = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=f"{os.environ.get('PATH', '')}:{BESIDE_PYTHON}")
MANIFEST = Path(__file__).parents[2] / "examples" / "fluentd-daemonset.yaml"
DAEMONSET = "ds/fluentd-elasticsearch"
NEW_IMAGE = {
    "metadata": {"annotations": {"kubernetes.io/change-cause": "second"}},
    "spec": {
        "template": {
            "spec": {"containers": [{"name": "fluentd-elasticsearch", "image": "fluentd:2"}]}
        }
    },
}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one"),
]


async def kubectl(herd: Herd, *args: str) -> str:
    """What kubectl prints on standard output (newer ones warn on the other); fails if it fails."""
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL),
        "--kubeconfig",
        str(herd.kubeconfig),
        "--namespace=kube-system",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_rollout_and_rollback(herd: Herd):
    assert await kubectl(herd, "apply", "-f", str(MANIFEST)) == (
        "daemonset.apps/fluentd-elasticsearch created\n"
    )
    await kubectl(herd, "rollout", "status", DAEMONSET, "--timeout=90s")
    assert await kubectl(herd, "apply", "-f", str(MANIFEST)) == (
        "daemonset.apps/fluentd-elasticsearch unchanged\n"
    )
    await kubectl(herd, "patch", DAEMONSET, "-p", json.dumps(NEW_IMAGE))
    status = await kubectl(herd, "rollout", "status", DAEMONSET, "--timeout=90s")
    assert status.endswith('daemon set "fluentd-elasticsearch" successfully rolled out\n')
    history = await kubectl(herd, "rollout", "history", DAEMONSET)
    assert [line.split() for line in history.splitlines()[2:] if line] == [
        ["1", "<none>"],
        ["2", "second"],
    ]
    undone = await kubectl(herd, "rollout", "undo", DAEMONSET, "--to-revision=1")
    assert undone == "daemonset.apps/fluentd-elasticsearch rolled back\n"
    await kubectl(herd, "rollout", "status", DAEMONSET, "--timeout=90s")
    images = await kubectl(
        herd, "get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}"
    )
    assert images.split() == ["k8s.gcr.io/fluentd-elasticsearch:1.20"] * 3
    deleted = await kubectl(herd, "delete", DAEMONSET)
    assert deleted.startswith('daemonset.apps "fluentd-elasticsearch" deleted')


@pytest.mark.kubeherd(nodes=1)
async def test_kubectl_and_the_command_agree_on_the_version(herd: Herd):
    served = json.loads(await kubectl(herd, "version", "-o", "json"))["serverVersion"]["gitVersion"]
    kubelet = await kubectl(
        herd, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"
    )
    said = CliRunner().invoke(main, ["--version"]).output
    assert said.rstrip().endswith(f"serves Kubernetes {served}")
    assert kubelet == served
