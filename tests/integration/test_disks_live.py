"""Real processes on disks that are full or fail: refused, said to be unknown, and recovered."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from kills.server import free_port
from patience import PATIENCE_S

from kubeherd.cluster.client.http.transport import HttpTransport, from_kubeconfig
from kubeherd.cluster.client.transport import JSON, TransportResponse
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.settings import ClusterOptions
from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.cluster.runtime.handshake import READY_FD_VARIABLE

pytestmark = pytest.mark.integration

CMS = "/api/v1/namespaces/default/configmaps"


@contextlib.asynccontextmanager
async def connection(rundir: RunDir) -> AsyncIterator[HttpTransport]:
    transport = from_kubeconfig(rundir.kubeconfig)
    try:
        yield transport
    finally:
        await transport.close()


async def post(transport: HttpTransport, name: str) -> TransportResponse:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return await transport.request(
        "POST", CMS, body=json.dumps(body).encode(), content_type=JSON, accept=JSON
    )


async def names(transport: HttpTransport) -> set[str]:
    answer = await transport.request("GET", CMS, accept=JSON)
    return {item["metadata"]["name"] for item in json.loads(answer.body)["items"]}


async def until_ready(transport: HttpTransport, status: int) -> TransportResponse:
    async with asyncio.timeout(PATIENCE_S):
        # the server is asked; it tells nobody by itself
        while (answer := await transport.request("GET", "/readyz")).status != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return answer


def restarted(process: ProcessState, before: int) -> bool:
    return process.ready and process.restarts > before


# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here: that takes root and mount(8)")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(place: Path) -> Path:
    """Leave no room on the disk; removing the file makes some."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return ballast


async def test_a_full_disk_refuses_writes_and_recovers_by_itself(small_disk: Path):
    settings = lifecycle.new_settings(ClusterOptions(speed=20.0), nodes=2, seed=1)
    handle = ClusterHandle(small_disk / "herd", settings)
    kept: set[str] = set()
    await asyncio.to_thread(handle.up)
    try:
        async with contextlib.AsyncExitStack() as stack:
            view = await stack.enter_async_context(handle.view())
            await view.until(lambda: len(view.ready_nodes()) == 2, "all nodes Ready")
            transport = await stack.enter_async_context(connection(handle.rundir))
            assert (await post(transport, "before")).status == 201
            ballast = fill(small_disk)
            refused = await post(transport, "refused-0")
            while refused.status == 201:  # the log's last page had room
                kept.add(f"refused-{len(kept)}")
                refused = await post(transport, f"refused-{len(kept)}")
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
            assert b"database or disk is full" in refused.body
            unready = await until_ready(transport, 500)
            assert b"[-]etcd failed: reason withheld\n" in unready.body
            assert await names(transport) >= {"before"} | kept, "reads go on"

            restarts = handle.process(Role.APISERVER).restarts
            await asyncio.to_thread(handle.crash, Role.APISERVER)
            async with asyncio.timeout(PATIENCE_S):
                # the supervisor is asked; it tells nobody by itself
                while not restarted(handle.process(Role.APISERVER), restarts):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert await names(transport) >= {"before"} | kept, "it starts on a full disk"

            ballast.unlink()
            await until_ready(transport, 200)
            assert (await post(transport, "after")).status == 201
            assert await names(transport) >= {"before", "after"} | kept
            assert f"refused-{len(kept)}" not in await names(transport)
            await view.until(lambda: len(view.ready_nodes()) == 2, "all nodes Ready")
    finally:
        await asyncio.to_thread(handle.down)


# --- a disk whose sync fails ---


@contextlib.asynccontextmanager
async def apiserver(
    rundir: RunDir, port: int, under: Sequence[str] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An API server that serves, perhaps under another program, and is killed at the end."""
    read_end, write_end = os.pipe()
    with rundir.log("apiserver").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *under,
            *(sys.executable, "-m", "kubeherd.cluster.apiserver", "--dir", str(rundir.root)),
            *("--port", str(port)),
            stderr=log,
            pass_fds=(write_end,),
            env={**os.environ, READY_FD_VARIABLE: str(write_end)},
        )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as ready:
            facts = json.loads(await asyncio.to_thread(ready.readline))
        assert "error" not in facts, facts
        yield process
    finally:
        if process.returncode is None:
            os.kill(facts["pid"], 9)
            await process.wait()


def failing_syncs(first: int) -> list[str]:
    """strace that fails the process's syncs from the `first` on."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    return [*command, "-e", f"inject=fdatasync:error=EIO:when={first}+"]


async def test_a_failed_sync_is_told_as_unknown_and_read_back_by_the_next_process(tmp_path: Path):
    rundir, port = RunDir(tmp_path / "herd"), free_port()
    rundir.prepare()
    ClusterPki.ensure(rundir, f"https://127.0.0.1:{port}")
    under = await asyncio.to_thread(failing_syncs, 12)
    kept: set[str] = set()
    async with connection(rundir) as transport:
        async with apiserver(rundir, port, under) as process:
            while (answer := await post(transport, f"m{len(kept)}")).status == 201:
                kept.add(f"m{len(kept)}")
            assert kept
            assert answer.status == 504
            told = json.loads(answer.body)
            assert told["reason"] == "Timeout"
            assert told["details"] == {"retryAfterSeconds": 1}
            assert "retry-after" not in answer.headers, "which would make clients repeat it"
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 1
        assert "commit_outcome_unknown" in rundir.log("apiserver").read_text()
        async with apiserver(rundir, port):
            found = await names(transport)
            assert kept <= found
            assert found - kept <= {f"m{len(kept)}", "kube-root-ca.crt"}
            again = await post(transport, f"m{len(kept)}")
            assert again.status == (409 if f"m{len(kept)}" in found else 201)
            assert (await post(transport, "after")).status == 201
