"""The control socket: private, whatever the path is long, errors come through as such."""

import asyncio
import contextlib
import re
import select
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from patience import PATIENCE_S

from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher.control import Op, Reply, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.supervisor import controlserver
from kubeherd.cluster.launcher.supervisor.controlserver import ControlServer
from kubeherd.cluster.runtime.sockets.unixsockets import socket_address


async def handler(request: Request) -> AsyncIterator[Reply]:
    if request.op is Op.NODE_KILL:
        raise LauncherError(f"no such node: {request.nodes[0]}")
    yield Reply(final=False)
    yield Reply(nodes=request.nodes)


async def replies(rundir: RunDir, request: Request) -> list[Reply]:
    return await asyncio.to_thread(lambda: list(control.ask(rundir, request, PATIENCE_S)))


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
    monkeypatch.setattr(controlserver, "_LAST_ANSWERS_S", 0.01)
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
        await asyncio.wait_for(asked.wait(), PATIENCE_S)
        await server.close()
    assert asking.result() == "the supervisor went away"
    assert errors == []


async def test_who_waits_for_a_supervisor_that_leaves_is_told_so(rundir: RunDir) -> None:
    """It closed its socket before it took the connection: the system resets that."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(rundir.socket) as address:
        listener.bind(address)
    listener.listen()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_refusal(rundir, Request(op=Op.WAIT)))
        ready, _, _ = await asyncio.to_thread(select.select, [listener], [], [], PATIENCE_S)
        assert ready
        listener.close()
    assert asking.result() == "the supervisor went away"


async def _refusal(rundir: RunDir, request: Request) -> str:
    with pytest.raises(control.NotListening) as refused:
        await replies(rundir, request)
    return str(refused.value)


async def connected(rundir: RunDir) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with socket_address(rundir.socket) as address:  # the path may be longer than an address
        return await asyncio.open_unix_connection(address, limit=1 << 22)


async def raw(rundir: RunDir, data: bytes) -> Reply:
    """What the server answers to these bytes; `control.ask` sends only what is right."""
    reader, writer = await connected(rundir)
    writer.write(data)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    line = await asyncio.wait_for(reader.readline(), PATIENCE_S)
    writer.close()
    await writer.wait_closed()
    return msgspec.json.decode(line, type=Reply)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\n", "not a request"),
        (b"\xff\xfe\n", "not a request"),
        (b"[" * 100_000 + b"\n", "not a request"),
        (b'{"op": "node-add", "count": 10000000}\n', r"Expected `int` <= 10000 - at `\$.count`"),
        (b'{"op": "node-add", "count": -5}\n', r"Expected `int` >= 0 - at `\$.count`"),
        (b'{"op": "node-add", "count": 1.5}\n', r"got `float` - at `\$.count`"),
        (b'{"op": "node-add", "count": 0}\n', "node-add needs names or a count"),
        (b'{"op": "node-remove"}\n', "node-remove needs the name of a node"),
        (b'{"op": "node-kill", "nodes": ["' + b"x" * 254 + b'"]}\n', "length <= 253"),
        (b'{"op": "node-kill", "nodes": [' + b'"x",' * 10_000 + b'"x"]}\n', "length <= 10000"),
    ],
    ids=lambda value: str(value[:40]),
)
async def test_a_request_out_of_its_limits_reaches_nobody(rundir: RunDir, data: bytes, error: str):
    reached: list[Request] = []

    async def note(request: Request) -> AsyncIterator[Reply]:
        reached.append(request)
        yield Reply()

    server = ControlServer(rundir, note)
    await server.start()
    assert re.search(error, (await raw(rundir, data)).error)
    assert reached == []
    assert (await raw(rundir, b'{"op": "status"}\n')).error == ""  # and it goes on serving
    await server.close()


async def test_an_endless_line_is_cut_off(rundir: RunDir):
    server = ControlServer(rundir, handler)
    await server.start()
    reader, writer = await connected(rundir)
    with contextlib.suppress(ConnectionError):  # the rest of it is not read any more
        for _ in range(64):
            writer.write(b"x" * (1 << 20))
            await asyncio.wait_for(writer.drain(), PATIENCE_S)
        await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    assert (await raw(rundir, b'{"op": "status"}\n')).error == ""
    await server.close()


@pytest.mark.parametrize("op", Op)
async def test_every_operation_on_nodes_needs_one(rundir: RunDir, op: Op):
    request = Request(op=op)
    if op in (Op.STATUS, Op.WAIT, Op.STOP, Op.SPEED, Op.FAULT_UNDO, Op.FAULT_LIST):
        request.check()
    else:
        with pytest.raises(LauncherError, match=f"^{op} needs"):
            request.check()


async def test_silent_clients_are_few(rundir: RunDir, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(controlserver, "_CLIENTS_LIMIT", 3)
    monkeypatch.setattr(controlserver, "_REQUEST_TIMEOUT_S", PATIENCE_S)
    server = ControlServer(rundir, handler)
    await server.start()
    silent = [await connected(rundir) for _ in range(3)]
    assert "more than 3 commands at once" in (await raw(rundir, b'{"op": "stop"}\n')).error
    for _, writer in silent:
        writer.close()
    await server.close()


async def test_silent_clients_are_not_for_long(rundir: RunDir, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(controlserver, "_CLIENTS_LIMIT", 3)
    monkeypatch.setattr(controlserver, "_REQUEST_TIMEOUT_S", 0.05)
    server = ControlServer(rundir, handler)
    await server.start()
    silent = [await connected(rundir) for _ in range(3)]
    for reader, writer in silent:
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()
    monkeypatch.setattr(controlserver, "_REQUEST_TIMEOUT_S", PATIENCE_S)
    assert (await raw(rundir, b'{"op": "stop"}\n')).error == ""
    await server.close()


async def test_an_unexpected_failure_is_told_and_the_next_request_served(
    rundir: RunDir, capfd: pytest.CaptureFixture
):
    async def failing(_request: Request) -> AsyncIterator[Reply]:
        raise RuntimeError("a mistake")
        yield Reply()

    server = ControlServer(rundir, failing)
    await server.start()
    for _ in range(2):
        answer = await raw(rundir, b'{"op": "status"}\n')
        assert answer.error == "status failed: RuntimeError: a mistake"
    await server.close()


async def test_the_socket_of_another_supervisor_stays(rundir: RunDir):
    old, new = ControlServer(rundir, handler), ControlServer(rundir, handler)
    await old.start()
    await new.start()  # in a directory that was made anew under the same path
    await old.close()
    assert (await raw(rundir, b'{"op": "status"}\n')).error == ""
    await new.close()
    assert not rundir.socket.exists()
