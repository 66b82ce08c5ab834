"""The real kubectl drives a StatefulSet on a cluster of real processes."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from liveherd import Herd

BESIDE_PYTHON = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=f"{os.environ.get('PATH', '')}:{BESIDE_PYTHON}")
WEB: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "serviceName": "web",
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        },
    },
}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one"),
]


async def kubectl(herd: Herd, *args: str) -> str:
    """What kubectl prints on standard output; fails if it fails."""
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL),
        "--kubeconfig",
        str(herd.kubeconfig),
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def images(herd: Herd) -> list[str]:
    """Name, image and host name of each pod."""
    columns = "custom-columns=N:.metadata.name,I:.spec.containers[0].image,H:.spec.hostname"
    listed = await kubectl(
        herd, "get", "pods", "--no-headers", "--sort-by=.metadata.name", "-o", columns
    )
    return [" ".join(line.split()) for line in listed.splitlines()]


async def test_rollout_undo_and_scale(herd: Herd, tmp_path: Path):
    manifest = tmp_path / "web.json"
    manifest.write_text(json.dumps(WEB))
    await kubectl(herd, "apply", "-f", str(manifest))
    status = await kubectl(herd, "rollout", "status", "sts/web", "--timeout=90s")
    assert "3 new pods have been updated" in status
    assert await images(herd) == [f"web-{index} web:1 web-{index}" for index in range(3)]

    await kubectl(herd, "set", "image", "sts/web", "main=web:2")
    await kubectl(herd, "rollout", "status", "sts/web", "--timeout=90s")
    assert {line.split()[1] for line in await images(herd)} == {"web:2"}

    await kubectl(herd, "rollout", "undo", "sts/web")
    await kubectl(herd, "rollout", "status", "sts/web", "--timeout=90s")
    assert {line.split()[1] for line in await images(herd)} == {"web:1"}
    history = await kubectl(herd, "rollout", "history", "sts/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]

    await kubectl(herd, "scale", "sts/web", "--replicas=1")
    await kubectl(herd, "wait", "--for=jsonpath={.status.replicas}=1", "sts/web", "--timeout=90s")
    assert [line.split()[0] for line in await images(herd)] == ["web-0"]
    described = await kubectl(herd, "describe", "sts/web")
    assert "Delete Pod web-2 in StatefulSet web successful" in described
