"""A recorded history over kills: it has all that anybody was told is written, once and in order."""

import asyncio
import signal
from pathlib import Path

import pytest
from kills.server import Server, free_port
from patience import PATIENCE_S

from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.history import Began, Ended, Write
from kubeherd.history.files import read

pytestmark = pytest.mark.integration

KILLS = 3
WRITERS = 4
BETWEEN = (5, 40)
"""Acknowledged writes between two kills."""


async def write(
    client: ApiClient, writer: str, acknowledged: dict[str, int], enough: asyncio.Semaphore
) -> None:
    """Create one object after the other until the server has gone."""
    number = 0
    while True:
        number += 1
        name = f"{writer}-{number}"
        try:
            made = await client.create(CONFIGMAPS, {"metadata": {"name": name}}, "default")
        except TransportError:
            return
        acknowledged[name] = int(made["metadata"]["resourceVersion"])
        enough.release()


async def test_no_acknowledged_write_is_missing_after_kills(tmp_path: Path) -> None:
    rundir, port, rng = RunDir(tmp_path / "herd"), free_port(), Rng(5)
    rundir.prepare()
    ClusterPki.ensure(rundir, f"https://127.0.0.1:{port}")
    server = Server(rundir.root, port, ["--record", str(rundir.history)])
    await server.open()
    acknowledged: dict[str, int] = {}
    for life in range(KILLS):
        await server.spawn()
        await server.ready()
        transport = from_kubeconfig(rundir.kubeconfig)
        client = ApiClient(transport, LoopClock())
        written = asyncio.Semaphore(0)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(write(client, f"w{life}-{writer}", acknowledged, written))
            for _ in range(rng.randint(*BETWEEN)):
                await written.acquire()
            await server.kill()
        await transport.close()
    await server.spawn()
    await server.ready()
    server.signal(signal.SIGTERM)
    await server.ended()
    await server.close()
    records = list(read(rundir.history))
    assert [type(one) for one in records if isinstance(one, (Began, Ended))] == [Began, Ended]
    assert isinstance(records[-1], Ended)
    writes = [one for one in records if isinstance(one, Write)]
    revisions = [one.revision for one in writes]
    assert revisions == sorted(set(revisions))
    told = {one.name: one.revision for one in writes if one.resource == "configmaps"}
    assert len(acknowledged) > KILLS
    assert acknowledged.items() <= told.items()
    users = {one.actor.user for one in writes if one.name in acknowledged and one.actor}
    assert users == {"kubernetes-admin"}
