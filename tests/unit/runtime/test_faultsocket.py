"""Telling a process its faults: in force when `tell` returns, refused with the reason, bounded."""

import asyncio
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.runtime.sockets.faultsocket import hurtable, tell
from kubeherd.cluster.runtime.sockets.unixsockets import bound_socket, socket_address
from kubeherd.faults import Fault, FaultError, Nodes, effects

FAULT = Fault(id="f-1", target=Nodes(("node-1",)), effect=effects.HeartbeatLoss())


class Hurt:
    def __init__(self) -> None:
        self.faults: Sequence[Fault] = ()

    def begin(self, faults: Sequence[Fault]) -> None:
        if any(isinstance(fault.effect, effects.StoreFull) for fault in faults):
            raise FaultError("this process has no store")
        self.faults = faults


async def test_faults_are_in_force_when_tell_returns_and_gone_when_told_none(tmp_path: Path):
    hurt, path = Hurt(), tmp_path / "node-1.faults"
    async with hurtable(path, hurt.begin):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await tell(path, [FAULT], timeout_s=PATIENCE_S)
        assert hurt.faults == [FAULT]
        await tell(path, [], timeout_s=PATIENCE_S)
        assert hurt.faults == []
    assert not path.exists()


async def test_what_cannot_be_carried_out_is_refused_and_the_old_faults_stay(tmp_path: Path):
    hurt, path = Hurt(), tmp_path / "x.faults"
    full = Fault(id="f-2", target=Nodes(("node-1",)), effect=effects.StoreFull())
    async with hurtable(path, hurt.begin):
        await tell(path, [FAULT], timeout_s=PATIENCE_S)
        with pytest.raises(FaultError, match="store-full hurts a component"):
            await tell(path, [full], timeout_s=PATIENCE_S)
        assert hurt.faults == [FAULT]


async def test_a_line_that_is_no_list_of_faults_gets_an_answer_and_changes_nothing(tmp_path: Path):
    hurt, path = Hurt(), tmp_path / "x.faults"
    async with hurtable(path, hurt.begin):
        with socket_address(path) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        writer.write(b"{}\n")
        assert b"Expected `array`" in await asyncio.wait_for(reader.readline(), PATIENCE_S)
        writer.close()
        assert hurt.faults == ()


async def test_nobody_there_is_an_oserror_and_a_silent_one_a_timeout(tmp_path: Path):
    with pytest.raises(OSError, match=r"."):
        await tell(tmp_path / "nobody.faults", [FAULT], timeout_s=PATIENCE_S)
    path = tmp_path / "frozen.faults"
    with bound_socket(path) as frozen:
        frozen.listen()
        with pytest.raises(TimeoutError):
            await tell(path, [FAULT], timeout_s=0.05)


async def test_one_that_ends_before_it_answers_was_not_told(tmp_path: Path):
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    path = tmp_path / "dying.faults"
    async with await asyncio.start_unix_server(hang_up, sock=bound_socket(path)):
        with pytest.raises(OSError, match="ended before it answered"):
            await tell(path, [FAULT], timeout_s=PATIENCE_S)
