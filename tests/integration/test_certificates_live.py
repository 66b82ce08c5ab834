"""Certificates of a cluster of real processes: ended ones, renewed ones, those of other people."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.kinds import NAMESPACES
from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.pki import ClusterPki, Identity
from kubeherd.cluster.launcher.pki.authority import utc_now
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import ClusterOptions

pytestmark = [pytest.mark.integration, pytest.mark.kubeherd(nodes=2, speed=5)]

CLUSTER_ROLE_BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


def daemonset(name: str) -> dict:
    labels = {"app": name}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "x"}]},
            },
        },
    }


def shown(rundir: RunDir) -> int:
    """The serial number of the certificate that the API server shows to a new connection."""
    access = load_kubeconfig(rundir.kubeconfig)
    host, _, port = access.server.rpartition("/")[2].rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain,
        ssl.create_default_context(cadata=access.ca_pem.decode()).wrap_socket(
            plain, server_hostname=host
        ) as secure,
    ):
        shown = secure.getpeercert(True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number


def clock_of(days_ago: int) -> Callable[[], datetime]:
    return lambda: utc_now() - timedelta(days=days_ago)


def restarted(handle: ClusterHandle) -> bool:
    server = handle.process(Role.APISERVER)
    return server.restarts == 1 and server.ready


async def test_a_cluster_that_slept_for_years_starts(tmp_path: Path) -> None:
    settings = lifecycle.new_settings(ClusterOptions(speed=5), nodes=2)
    handle = ClusterHandle(tmp_path / "herd", settings)
    handle.rundir.prepare()
    for years in (12, 2):  # even the authority has ended, and was renewed once
        pki = ClusterPki.ensure(
            handle.rundir, settings.server, settings.certified, clock_of(365 * years)
        )
        pki.ensure_nodes(settings.node_names)
    try:
        await asyncio.to_thread(handle.up)
        async with handle.view() as view:
            await view.until(lambda: len(view.ready_nodes()) == 2, "nodes Ready", PATIENCE_S)
    finally:
        await asyncio.to_thread(handle.down)


def test_a_start_without_the_authoritys_key_is_given_up(tmp_path: Path) -> None:
    settings = lifecycle.new_settings(nodes=1)
    handle = ClusterHandle(tmp_path / "herd", settings)
    handle.rundir.prepare()
    ClusterPki.ensure(handle.rundir, settings.server, settings.certified)
    (handle.rundir.pki / "ca.key").unlink()
    before = {path: path.read_bytes() for path in handle.rundir.pki.iterdir()}
    with pytest.raises(LauncherError, match=r"^cannot read the certificate authority: .*ca\.key"):
        handle.up()
    handle.down()  # waits for the end of the supervisor
    assert osproc.marked(handle.rundir.root) == []
    assert {path: path.read_bytes() for path in handle.rundir.pki.iterdir()} == before


async def test_processes_take_renewed_certificates_over(herd: Herd) -> None:
    await herd.apply(daemonset("before"))
    await herd.until_running("before", "node-0", "node-1")
    rundir, settings = herd.handle.rundir, herd.handle.settings
    first = shown(rundir)
    ClusterPki.of(rundir, settings).renew(settings, [])
    assert shown(rundir) != first
    await herd.apply(daemonset("after"))  # on connections that were open
    await herd.until_running("after", "node-0", "node-1")
    await asyncio.to_thread(herd.handle.crash, Role.APISERVER)  # and on new ones, of all processes
    async with asyncio.timeout(PATIENCE_S):
        # the supervisor is asked; it tells nobody by itself
        while not restarted(herd.handle):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await herd.set_image("after", "y")
    await herd.until_running("after", "node-0", "node-1")


async def test_another_person_may_what_roles_say(herd: Herd, tmp_path: Path) -> None:
    rundir, settings = herd.handle.rundir, herd.handle.settings
    text = ClusterPki.of(rundir, settings).person(
        settings, Identity("jane", ("devs",)), timedelta(hours=1)
    )
    path = tmp_path / "jane"
    path.write_text(text)
    access = load_kubeconfig(path)
    async with aiohttp.ClientSession(access.server) as session:

        async def status(method: str, target: str) -> int:
            context = tls_context(access)
            async with session.request(method, target, ssl=context) as answer:
                return answer.status

        assert await status("GET", NAMESPACES.path()) == 403
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
        group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}
        body = {"metadata": {"name": "devs"}, "roleRef": role, "subjects": [group]}
        await herd.client.request("POST", CLUSTER_ROLE_BINDING, body=body)
        assert await status("GET", NAMESPACES.path()) == 200
        assert await status("DELETE", NAMESPACES.path(name="default")) == 403
