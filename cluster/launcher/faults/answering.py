"""What the supervisor answers to requests about faults."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults.commands import FaultCommands
from kubeherd.faults import Fault, FaultError, FaultKind
from kubeherd.faults.fault import decode_all, encode_all

Change = Callable[[], AbstractAsyncContextManager[None]]
"""While its body runs nothing else changes the cluster."""


class Restarted(msgspec.Struct, frozen=True):
    """Go on when these processes serve; unless `needed`, also if they take too long: something
    else may keep them from it."""

    processes: tuple[str, ...]
    needed: bool = True


class Answer(msgspec.Struct, frozen=True):
    """The end: these faults were begun, undone or listed, as JSON."""

    faults: msgspec.Raw


async def answer(
    request: Request, commands: FaultCommands, change: Change
) -> AsyncGenerator[Restarted | Answer]:
    """Carry out a request step by step. LauncherError if it cannot be."""
    if request.op is Op.FAULT_BEGIN:
        async with change():
            faults = await commands.begin(_decoded(request.faults))
        for step in commands.bounces(faults):
            async with change():
                await commands.bounce(step)
            try:
                yield Restarted(step.processes)
            finally:
                commands.bounced(step)
    elif request.op is Op.FAULT_UNDO:
        async with change():
            faults = await commands.undo(request.ids)
        yield Restarted(tuple(commands.processes(_ended(faults))), needed=False)
    else:
        yield Answer(_encoded(commands.active))
        return
    async with change():
        await commands.tend()  # those that serve again are told their faults
    yield Answer(_encoded(faults))


def _ended(faults: Sequence[Fault]) -> list[Fault]:
    return [fault for fault in faults if fault.kind in (FaultKind.CRASH, FaultKind.STOP)]


def _decoded(faults: msgspec.Raw) -> list[Fault]:
    try:
        return decode_all(bytes(faults))
    except FaultError as error:
        raise LauncherError(str(error)) from None


def _encoded(faults: Sequence[Fault]) -> msgspec.Raw:
    return msgspec.Raw(encode_all(faults))
