"""Tokens and certificates of a cluster of real processes, shown to its own API server."""

import asyncio
import base64
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.runtime.clock import LoopClock

pytestmark = [pytest.mark.integration, pytest.mark.kubeherd(nodes=1, speed=5)]

CSRS = kinds.resource("certificates.k8s.io", "v1", "certificatesigningrequests")
BINDINGS = kinds.resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ROBOT = "system:serviceaccount:default:robot"


async def answered(client: ApiClient, path: str, member: str, key: str) -> str:
    """The value at `member.key` of the object at `path`, as soon as it has one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            tree = await client.request("GET", path)
            if value := (tree.get(member) or {}).get(key):
                return str(value)
            await asyncio.sleep(0.05)


async def whoami(kubeconfig: Path, token: str = "", certificate: Path | None = None) -> str:
    access = load_kubeconfig(kubeconfig)
    context = ssl.create_default_context(cadata=access.ca_pem.decode())
    if certificate is not None:
        context.load_cert_chain(certificate)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(access.server) as session,
        session.post(WHOAMI, json={}, ssl=context, headers=headers) as answer,
    ):
        tree = await answer.json()
        assert answer.status == 201, tree
        return str(tree["status"]["userInfo"]["username"])


async def test_an_account_is_known_by_its_tokens(herd: Herd) -> None:
    client, meta = herd.client, {"name": "robot", "namespace": "default"}
    await client.create(kinds.SERVICEACCOUNTS, {"metadata": meta}, "default")
    named = {"kubernetes.io/service-account.name": "robot"}
    held: JsonObject = {
        "metadata": {**meta, "annotations": named},
        "type": "kubernetes.io/service-account-token",
    }
    await client.create(kinds.SECRETS, held, "default")
    path = kinds.SERVICEACCOUNTS.path("default", "robot", "token")
    asked = await client.request("POST", path, body={"spec": {}})
    assert await whoami(herd.kubeconfig, asked["status"]["token"]) == ROBOT
    filled = await answered(client, kinds.SECRETS.path("default", "robot"), "data", "token")
    assert await whoami(herd.kubeconfig, base64.b64decode(filled).decode()) == ROBOT
    key = herd.handle.rundir.pki / "sa.key"
    assert key.stat().st_mode & 0o777 == 0o600


async def test_a_kubelet_with_the_right_gets_another_certificate(
    herd: Herd, tmp_path: Path
) -> None:
    right = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
    group = "rbac.authorization.k8s.io"
    await herd.client.create(BINDINGS, {
        "metadata": {"name": "rotation"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": right},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:nodes"}],
    })  # fmt: skip
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes"),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "system:node:node-0"),
    ])  # fmt: skip
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    transport = from_kubeconfig(herd.handle.rundir.node_kubeconfig("node-0"))
    try:
        await ApiClient(transport, LoopClock(1)).create(CSRS, {
            "metadata": {"name": "renewal"},
            "spec": {
                "request": base64.b64encode(pem).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"],
            },
        })  # fmt: skip
    finally:
        await transport.close()
    path = CSRS.path(name="renewal")
    signed = base64.b64decode(await answered(herd.client, path, "status", "certificate"))
    file = tmp_path / "renewal.pem"
    file.write_bytes(signed + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ))  # fmt: skip
    assert await whoami(herd.kubeconfig, certificate=file) == "system:node:node-0"
