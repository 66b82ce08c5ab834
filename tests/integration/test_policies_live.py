"""Admission policies on a cluster of real processes, as the real kubectl shows them."""

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
GROUP = "admissionregistration.k8s.io/v1"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one"),
]


async def kubectl(herd: Herd, *args: str, body: Any = None) -> tuple[int, str, str]:
    """kubectl's exit code and what it prints; `body` goes to its standard input."""
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL),
        "--kubeconfig",
        str(herd.kubeconfig),
        *args,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    sent = json.dumps(body).encode() if body is not None else b""
    output, errors = await asyncio.wait_for(process.communicate(sent), 60)
    return process.returncode or 0, output.decode(), errors.decode()


def policy(kind: str, name: str, resource: str, operation: str, **spec: Any) -> list[Any]:
    """A policy about a core resource, and its binding."""
    rule = {
        "apiGroups": [""], "apiVersions": ["v1"], "operations": [operation],
        "resources": [resource],
    }  # fmt: skip
    actions = spec.pop("actions", None)
    bound = {"policyName": name, **({"validationActions": actions} if actions else {})}
    return [
        {
            "apiVersion": GROUP, "kind": kind, "metadata": {"name": name},
            "spec": {"matchConstraints": {"resourceRules": [rule]}, **spec},
        },
        {"apiVersion": GROUP, "kind": f"{kind}Binding", "metadata": {"name": name}, "spec": bound},
    ]  # fmt: skip


async def apply(herd: Herd, *objects: Any) -> None:
    body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    code, _, errors = await kubectl(herd, "apply", "-f", "-", body=body)
    assert code == 0, errors


async def test_policies_as_kubectl_shows_them(herd: Herd):
    refuse = policy(
        "ValidatingAdmissionPolicy", "no-x", "configmaps", "CREATE", actions=["Deny"],
        validations=[{
            "expression": "!has(object.data) || object.data.all(key, key != 'x')",
            "messageExpression": "'no x in ' + string(object.metadata.name)", "reason": "Forbidden",
        }],
    )  # fmt: skip
    warn = policy(
        "ValidatingAdmissionPolicy", "warn", "configmaps", "CREATE", actions=["Warn"],
        validations=[{"expression": "object.metadata.name.size() > 1", "message": "too short"}],
    )  # fmt: skip
    label = policy(
        "MutatingAdmissionPolicy", "label", "configmaps", "CREATE", reinvocationPolicy="Never",
        mutations=[{"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'seen': 'yes'}}}",
        }}],
    )  # fmt: skip
    await apply(herd, *refuse, *warn, *label)
    code, _, errors = await kubectl(herd, "create", "configmap", "aa", "--from-literal=x=1")
    assert (code, errors) == (
        1,
        'error: failed to create configmap: configmaps "aa" is forbidden: '
        "ValidatingAdmissionPolicy 'no-x' with binding 'no-x' denied request: no x in aa\n",
    )
    code, output, errors = await kubectl(herd, "create", "configmap", "b", "--from-literal=y=1")
    assert (code, output) == (0, "configmap/b created\n")
    assert errors == (
        "Warning: Validation failed for ValidatingAdmissionPolicy 'warn' with binding 'warn': too "
        "short\n"
    )
    _, output, _ = await kubectl(herd, "get", "configmap", "b", "-o", "jsonpath={.metadata.labels}")
    assert json.loads(output) == {"seen": "yes"}
    await kubectl(
        herd, "wait", "--for=jsonpath={.status.observedGeneration}=1",
        "validatingadmissionpolicy/no-x", "--timeout=90s",
    )  # fmt: skip
    _, output, _ = await kubectl(herd, "get", "validatingadmissionpolicies", "no-x")
    assert output.splitlines()[1].split()[:3] == ["no-x", "1", "<unset>"]


async def test_a_policy_keeps_people_out_of_pods(herd: Herd):
    await apply(herd, *policy(
        "ValidatingAdmissionPolicy", "no-shell", "pods/exec", "CONNECT", actions=["Deny"],
        validations=[{
            "expression": "object.command[0] != 'sh' || object.container != 'c'",
            "message": "no shells",
        }],
    ))  # fmt: skip
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "node-0", "containers": [{"name": "c", "image": "i"}]},
    }  # fmt: skip
    await apply(herd, pod)
    await kubectl(herd, "wait", "--for=condition=Ready", "pod/p", "--timeout=90s")
    code, _, errors = await kubectl(herd, "exec", "p", "-c", "c", "--", "sh", "-c", "true")
    assert code == 1
    assert "'no-shell' with binding 'no-shell' denied request: no shells" in errors
    code, output, errors = await kubectl(herd, "exec", "p", "-c", "c", "--", "echo", "hello")
    assert (code, output) == (0, "hello\n"), errors
