"""Three API servers on an etcd: killed and frozen while clients work; and starts that fail."""

import asyncio
import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from liveherd import Herd
from patience import PATIENCE_S

import kubeherd
from kubeherd.cluster.api.errors import AlreadyExists, ApiError, ServiceUnavailable, Timeout
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.processes import etcd, osproc
from kubeherd.cluster.launcher.settings import ClusterOptions, Settings, StoreKind
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.history import Write
from kubeherd.history.files import merged, read

try:
    etcd.binary()
except LauncherError as error:
    pytestmark = pytest.mark.skip(reason=str(error))
else:
    pytestmark = pytest.mark.integration

SERVERS = ("apiserver", "apiserver-2", "apiserver-3")
WRITERS = 3


class Writer:
    """Creates objects one after the other, repeating what got no answer."""

    def __init__(self, kubeconfig: Path, name: str) -> None:
        self.acknowledged: list[str] = []
        self.repeated = 0
        self.longest_s = 0.0
        self._name = name
        self._transport = from_kubeconfig(kubeconfig)
        self._client = ApiClient(self._transport, LoopClock())

    async def run(self) -> None:
        try:
            while True:
                await self._write(f"{self._name}-{len(self.acknowledged)}")
        finally:
            await self._transport.close()

    async def _write(self, name: str) -> None:
        began_s = time.monotonic()
        made = {"metadata": {"name": name, "namespace": "default"}}
        while True:
            try:
                await self._client.create(CONFIGMAPS, made, "default")
            except AlreadyExists:
                assert self.repeated
            except (TransportError, ApiError):
                self.repeated += 1
                assert time.monotonic() - began_s < PATIENCE_S, "nobody answers"
                await asyncio.sleep(0.02)
                continue
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
            self.acknowledged.append(name)
            return


async def served_anew(kubeconfig: Path) -> bool:
    """Whether a client that comes now is answered."""
    access = load_kubeconfig(kubeconfig)
    tls = ssl.create_default_context(cadata=access.ca_pem.decode())
    port = int(access.server.rpartition(":")[2])
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        finally:
            writer.close()


async def until_back(handle: ClusterHandle, name: str, restarts: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            process = await asyncio.to_thread(handle.process, name)
            if process.restarts == restarts and process.ready:
                return
            await asyncio.sleep(0.02)


async def roll(herd: Herd, image: str) -> None:
    """As a client does that repeats what got no answer."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await herd.set_image("web", image)
            except (TransportError, ServiceUnavailable, Timeout):
                await asyncio.sleep(0.02)


@pytest.mark.kubeherd(store="etcd", apiservers=3, controllers=2, nodes=2, record="writes", speed=10)
async def test_servers_die_and_freeze_and_clients_go_on(
    herd: Herd, daemonset: Callable[..., JsonObject], kubeherd_cluster: kubeherd.Cluster
):
    writers = [Writer(herd.kubeconfig, f"w{number}") for number in range(WRITERS)]
    tasks = [asyncio.create_task(writer.run()) for writer in writers]
    await herd.apply(daemonset("web", "app:1"))
    await herd.until_running("web", "node-0", "node-1")
    for number, name in enumerate((*SERVERS, "etcd"), 2):
        await herd.crash(name)
        await roll(herd, f"app:{number}")
        await until_back(herd.handle, name, 1)
    frozen = herd.handle.process("apiserver-2").process
    assert frozen is not None
    assert osproc.send_signal(frozen, signal.SIGSTOP)
    answered = await asyncio.gather(*(served_anew(herd.kubeconfig) for _ in range(20)))
    assert all(answered)
    assert osproc.send_signal(frozen, signal.SIGCONT)
    await herd.until_running("web", "node-0", "node-1")
    for task in tasks:
        assert not task.done() or task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    path = "/api/v1/namespaces/default/configmaps"
    found = {one["metadata"]["name"] for one in (await herd.client.request("GET", path))["items"]}
    acknowledged = {name for writer in writers for name in writer.acknowledged}
    assert acknowledged <= found
    assert len(acknowledged) > 10 * WRITERS
    states = {one.name: one for one in herd.handle.state().processes}
    assert len({states[name].port for name in SERVERS} - {0}) == 3
    text = (await herd.client.send("GET", "/metrics/apiserver-3")).body.decode()
    assert "apiserver_request_total" in text

    directory = kubeherd_cluster.directory
    await asyncio.to_thread(kubeherd_cluster.stop)
    assert osproc.marked(directory) == []
    rundir = RunDir(directory)
    files = [rundir.history_of(name) for name in SERVERS]
    whole = list(merged(*(read(file) for file in files)))
    told = {
        record.name
        for record in whole
        if isinstance(record, Write)
        if record.resource == "configmaps" and record.namespace == "default"
    }
    assert acknowledged <= told
    assert rundir.purge() == []


def started(root: Path, settings: Settings) -> str:
    """Why a cluster does not start; nothing of it is left running."""
    handle = ClusterHandle(root, settings)
    with pytest.raises(LauncherError) as failed:
        handle.up()
    handle.down()
    assert osproc.marked(root) == []
    return str(failed.value)


def test_starts_that_fail_say_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = lifecycle.new_settings(ClusterOptions(store=StoreKind.ETCD, apiservers=2), nodes=0)
    program = tmp_path / "etcd"
    program.write_text(
        '#!/bin/sh\necho \'{"level": "fatal", "msg": "no", "error": "broken"}\'; exit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv(etcd.BINARY_VARIABLE, str(program))
    assert started(tmp_path / "a", settings) == "etcd could not start: no: broken"
    monkeypatch.delenv(etcd.BINARY_VARIABLE)
    given = msgspec.structs.replace(settings, etcd_endpoints=("http://127.0.0.1:1",))
    assert "nothing listens there: is etcd running?" in started(tmp_path / "b", given)
