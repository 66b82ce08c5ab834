"""The control socket: private, whatever the path is long, errors come through as such."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher.control import ControlServer, Op, Reply, Request
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.rundir import RunDir


async def handler(request: Request) -> AsyncIterator[Reply]:
    if request.op is Op.NODE_KILL:
        raise LauncherError(f"no such node: {request.nodes[0]}")
    yield Reply(final=False)
    yield Reply(nodes=request.nodes)


async def replies(rundir: RunDir, request: Request) -> list[Reply]:
    return await asyncio.to_thread(lambda: list(control.ask(rundir, request, 5)))


@pytest.mark.parametrize("depth", [0, 12])
async def test_progress_then_answer(tmp_path: Path, depth: int):
    rundir = RunDir(Path(tmp_path, *["directory"] * depth))
    rundir.prepare()
    server = ControlServer(rundir, handler)
    await server.start()
    assert rundir.socket.stat().st_mode & 0o777 == 0o600
    found = await replies(rundir, Request(op=Op.NODE_STOP, nodes=("a",)))
    assert [reply.final for reply in found] == [False, True]
    assert found[-1].nodes == ("a",)
    with pytest.raises(LauncherError, match="no such node: b"):
        await replies(rundir, Request(op=Op.NODE_KILL, nodes=("b",)))
    await server.close()
    with pytest.raises(LauncherError, match="is not running"):
        await replies(rundir, Request(op=Op.STATUS))


async def test_nonsense_is_refused(rundir: RunDir, monkeypatch: pytest.MonkeyPatch):
    server = ControlServer(rundir, handler)
    await server.start()
    with socket.socket(socket.AF_UNIX) as connection:
        monkeypatch.chdir(rundir.run)
        connection.connect(rundir.socket.name)
        connection.sendall(b'{"op": "format-disk"}\n')
        reader, writer = await asyncio.open_unix_connection(sock=connection.dup())
        assert b"not a request" in await reader.readline()
        writer.close()
    await server.close()


async def test_an_answer_that_the_end_cuts_off_is_no_error_of_the_supervisor(
    rundir: RunDir, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(control, "_LAST_ANSWERS_S", 0.01)
    errors: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    asked = asyncio.Event()

    async def endless(_request: Request) -> AsyncIterator[Reply]:
        asked.set()
        await asyncio.Event().wait()
        yield Reply()

    server = ControlServer(rundir, endless)
    await server.start()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_refusal(rundir, Request(op=Op.STOP)))
        await asyncio.wait_for(asked.wait(), 5)
        await server.close()
    assert asking.result() == "the supervisor went away"
    assert errors == []


async def _refusal(rundir: RunDir, request: Request) -> str:
    with pytest.raises(LauncherError) as refused:
        await replies(rundir, request)
    return str(refused.value)
