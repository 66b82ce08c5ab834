"""One remote command on one WebSocket: carries messages between the client and who answers.

Invariants: the answer ends when the client goes, soon after if the client has said something (some
say all and hang up at once), and the connection when the answer is complete; what a client sends
and nobody reads waits in a bounded queue, then the client waits.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.remotecommand import channels
from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.apiserver.edge.messages import Socket

FRAME_BYTES: Final = 32 * 1024
_STDIN_MESSAGES: Final = 16
_LAST_WORDS_S: Final = 10.0


class Streams(NamedTuple):
    """Which streams the client asked for; at least one of the first three."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def first(self) -> Channel:
        """The lowest channel on which the server writes."""
        if self.stdout:
            return Channel.STDOUT
        return Channel.STDERR if self.stderr else Channel.ERROR


class Session:
    """What an answerer has of the client."""

    def __init__(self, socket: Socket, protocol: channels.Protocol) -> None:
        self._socket = socket
        self._protocol = protocol
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue(_STDIN_MESSAGES)
        self.has_spoken = False
        """Whether there was any standard input."""
        self._size: tuple[int, int] | None = None
        self._resize: Callable[[int, int], None] = lambda _columns, _rows: None

    def on_resize(self, tell: Callable[[int, int], None]) -> None:
        """From now on tell the columns and rows of the client's terminal, as far as known."""
        self._resize = tell
        if self._size is not None:
            tell(*self._size)

    async def write(self, channel: Channel, data: bytes) -> None:
        """Send data on a channel, in messages of a bounded size."""
        for start in range(0, len(data), FRAME_BYTES):
            piece = data[start : start + FRAME_BYTES]
            await self._socket.send(channels.encode(self._protocol, channel, piece))

    async def read(self) -> bytes | None:
        """The next data on standard input; None at its end."""
        return await self._stdin.get()

    async def end_input(self) -> None:
        """There will be no more standard input."""
        await self._stdin.put(None)

    async def greet(self, channel: Channel) -> None:
        """The empty message by which a v4 client knows that the streams are there."""
        if self._protocol is not channels.Protocol.V5:
            await self._socket.send(channels.encode(self._protocol, channel, b""))

    async def listen(self) -> None:
        """Take what the client sends, until it goes."""
        while (raw := await self._socket.receive()) is not None:
            message = channels.decode(self._protocol, raw)
            if message is None:
                continue
            channel, data = message
            if channel is Channel.STDIN and data:
                self.has_spoken = True
                await self._stdin.put(data)
            elif channel is Channel.CLOSE and data == bytes((Channel.STDIN,)):
                await self.end_input()
            elif channel is Channel.RESIZE and (size := _size(data)) is not None:
                self._size = size
                self._resize(*size)


Answerer = Callable[[Session], Awaitable[JsonObject]]
"""Answers the command and returns the Status with which it ended."""


def unhurried(answer: Answerer) -> Answerer:
    """The same answer, for a client that only begins to make its channels."""

    async def answered(session: Session) -> JsonObject:
        await asyncio.sleep(channels.OPENING_S)
        return await answer(session)

    return answered


async def serve(
    socket: Socket, protocol: channels.Protocol, greeted: Channel, answer: Answerer
) -> None:
    """Let `answer` answer, tell how it ended, and close the connection."""
    session = Session(socket, protocol)

    async def answered() -> JsonObject | None:
        with suppress(ConnectionError):
            await session.greet(greeted)
            return await answer(session)
        return None

    answering = asyncio.create_task(answered(), name="exec")
    listening = asyncio.create_task(session.listen(), name="exec-client")
    status: JsonObject | None = None
    try:
        await asyncio.wait((answering, listening), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and session.has_spoken:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await session.end_input()
                    await asyncio.wait((answering,))
        if answering.done():
            status = answering.result()
    finally:
        for task in (answering, listening):
            task.cancel()
        await asyncio.gather(answering, listening, return_exceptions=True)
        # Some clients drop the connection on the status. If the end has not come by then, those
        # that wait for it in another thread read a stranger's bytes: those of their next
        # connection, which gets the same descriptor.
        with suppress(ConnectionError):
            await socket.close(None if status is None else _told(protocol, status))


def _told(protocol: channels.Protocol, status: JsonObject) -> bytes | str | None:
    """The message that tells how it ended; None: there is nothing to tell."""
    if protocol is not channels.Protocol.NONE:
        return channels.encode(protocol, Channel.ERROR, json.dumps(status).encode())
    message = str(status.get("message", ""))
    return channels.encode(protocol, Channel.ERROR, message.encode()) if message else None


def _size(data: bytes) -> tuple[int, int] | None:
    """Columns and rows; None for what makes no sense."""
    try:
        size = json.loads(data)
        return int(size["Width"]), int(size["Height"])
    except (ValueError, TypeError, KeyError):
        return None
