"""Damaged stores under a real `kubeherd up`: one line, no file changed, and a way on."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from damagedstores import DATABASE, FRAME, LOG, MARK, Files, cut, files_in, flip, swap
from killing import kill_and_wait
from patience import PATIENCE_S

from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import ClusterOptions
from kubeherd.cluster.store.sqlite.engine import SKIPPED_AFTER_LOSS

pytestmark = pytest.mark.integration

CONFIGMAP_COUNT = 60


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[ClusterHandle]:
    handle = ClusterHandle(
        tmp_path / "herd", lifecycle.new_settings(ClusterOptions(speed=20.0), nodes=0, seed=1)
    )
    yield handle
    handle.down()
    assert osproc.marked(handle.rundir.root) == []


def up(handle: ClusterHandle, *args: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", "-m", "kubeherd.cluster.cli.main", "up", *args]
    environment = {**os.environ, "KUBEHERD_DIR": str(handle.rundir.root)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def refused(handle: ClusterHandle, *args: str) -> str:
    """The one line of an `up` that failed."""
    result = up(handle, *args)
    assert result.returncode == 1, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def store_files(handle: ClusterHandle) -> Files:
    root = handle.rundir.root
    return {file.name: file.read_bytes() for file in root.glob("*store.db*") if file.is_file()}


def put_back(handle: ClusterHandle, files: Files) -> None:
    for name in store_files(handle):
        (handle.rundir.root / name).unlink()
    for name, content in files.items():
        (handle.rundir.root / name).write_bytes(content)


def power_off(handle: ClusterHandle) -> None:
    """SIGKILL for the supervisor, so that it restarts nothing, and then for all others."""
    supervisor = handle.state().supervisor
    assert supervisor is not None
    kill_and_wait(supervisor)
    kill_and_wait(*osproc.marked(handle.rundir.root))


async def write(handle: ClusterHandle, count: int) -> None:
    async with handle.view() as view:
        for number in range(count):
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"c{number}", "namespace": "default"},
                "data": {"number": str(number)},
            }
            await view.client.create(CONFIGMAPS, body)


async def versions(handle: ClusterHandle) -> dict[str, int]:
    async with handle.view() as view:
        listed = await view.client.list(CONFIGMAPS, PartialObject, "default")
        return {o.metadata.name: int(o.metadata.resource_version) for o in listed.items}


def blocking(call: Callable[..., object], *args: object) -> "asyncio.Future[object]":
    return asyncio.ensure_future(asyncio.to_thread(call, *args))


async def test_damage_is_refused_and_a_copy_put_back_brings_everything(
    handle: ClusterHandle,
) -> None:
    await blocking(handle.up)
    await write(handle, CONFIGMAP_COUNT)
    promised = await versions(handle)
    assert len(promised) >= CONFIGMAP_COUNT
    power_off(handle)
    whole = store_files(handle)
    assert set(whole) == {DATABASE, LOG, MARK}
    frames = len(whole[LOG]) // FRAME
    # each file and each way to notice; all kinds of damage are test_store_damage's subject
    for damage in (
        cut(DATABASE, 50),
        flip(LOG, 32 + frames // 2 * FRAME + 300, 5),
        swap(LOG, None),
        swap(DATABASE, None),
        swap(MARK, None),
    ):
        files = dict(whole)
        damage(files)
        put_back(handle, files)
        line = await asyncio.to_thread(refused, handle)
        assert "store.db" in line
        assert store_files(handle) == files
    put_back(handle, whole)
    result = await asyncio.to_thread(up, handle)
    assert result.returncode == 0, result.stderr
    after = await versions(handle)
    assert promised.items() <= after.items()


async def test_a_loss_is_accepted_once(handle: ClusterHandle) -> None:
    await blocking(handle.up)
    await write(handle, CONFIGMAP_COUNT)
    promised = await versions(handle)
    power_off(handle)
    files = store_files(handle)
    cut(LOG, 32 + len(files[LOG]) // FRAME // 2 * FRAME)(files)
    put_back(handle, files)

    line = await asyncio.to_thread(refused, handle)
    found = re.search(r"--accept-loss-after (\d+)` .* keeps the files of now in (\S+)$", line)
    assert found is not None, line
    revision, aside = found.groups()
    assert f"--accept-loss-after {revision}" in await asyncio.to_thread(
        refused, handle, "--accept-loss-after", str(int(revision) + 1)
    )
    result = await asyncio.to_thread(up, handle, "--accept-loss-after", revision)
    assert result.returncode == 0, result.stderr
    assert files_in(Path(aside)) == files
    kept = {n: v for n, v in (await versions(handle)).items() if v < SKIPPED_AFTER_LOSS}
    assert kept.items() < promised.items()
    assert max(kept.values()) <= int(revision)

    await blocking(handle.crash, Role.APISERVER)
    async with asyncio.timeout(PATIENCE_S):
        # the supervisor is asked; it tells nobody by itself
        while not restarted(handle):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert kept.items() <= (await versions(handle)).items()


def restarted(handle: ClusterHandle) -> bool:
    state = handle.process(Role.APISERVER)
    return state.restarts == 1 and state.ready
