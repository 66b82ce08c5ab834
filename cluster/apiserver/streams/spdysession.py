"""A remote command over SPDY, as kubectl before 1.31 has it: a stream for each channel.

Source: Kubernetes v1.36, k8s.io/cri-streaming/pkg/streaming/remotecommand/httpstream.go: the client
opens the streams, says on each what it is for, and waits for the answer; the command begins when
all are there. Invariant: what a client sends before that is bounded, and so is the wait.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from kubeherd.cluster.api.remotecommand import channels
from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.apiserver.edge.messages import Socket
from kubeherd.cluster.apiserver.streams import session, spdy
from kubeherd.cluster.apiserver.streams.session import Answerer, Streams
from kubeherd.cluster.apiserver.streams.spdy import Frame, Kind

PROTOCOL: Final = "v4.channel.k8s.io"
_OPENING_S: Final = 30.0
_GOODBYE_S: Final = 2.0
_EARLY_MESSAGES: Final = 64
_CHANNELS: Final = {
    "stdin": Channel.STDIN,
    "stdout": Channel.STDOUT,
    "stderr": Channel.STDERR,
    "error": Channel.ERROR,
    "resize": Channel.RESIZE,
}


async def serve(socket: Socket, streams: Streams, answer: Answerer) -> None:
    """Let `answer` answer when the client has opened its streams; closes the connection."""
    channelled = _Channels(socket)
    wanted = {
        Channel.ERROR,
        *([Channel.STDIN] if streams.stdin else ()),
        *([Channel.STDOUT] if streams.stdout else ()),
        *([Channel.STDERR] if streams.stderr else ()),
        *([Channel.RESIZE] if streams.tty else ()),
    }
    try:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_OPENING_S):
                ready = await channelled.opened(wanted)
            if ready:
                protocol = channels.Protocol.V5  # whose messages say when a channel ends
                await session.serve(channelled, protocol, streams.first, answer)
    finally:
        await socket.close()


class _Channels:
    """The streams of a connection as the messages of a WebSocket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._decoder = spdy.Decoder()
        self._encoder = spdy.Encoder()
        self._numbers: dict[Channel, int] = {}
        self._messages: deque[bytes] = deque()

    async def opened(self, wanted: set[Channel]) -> bool:
        """Whether the client opened all these streams, which it is waited for."""
        while not wanted <= self._numbers.keys():
            if len(self._messages) > _EARLY_MESSAGES or not await self._listen():
                return False
        return True

    async def send(self, data: bytes | str) -> None:
        """Send a message on the stream that it is for; none: the client does not want it."""
        raw = data.encode() if isinstance(data, str) else data
        number = self._numbers.get(Channel(raw[0]))
        if number is not None:
            await self._socket.send(self._encoder.data(number, raw[1:]))

    async def receive(self) -> bytes | None:
        """The next message; None when there will be none."""
        while not self._messages:
            if not await self._listen():
                return None
        return self._messages.popleft()

    async def close(self, last: bytes | str | None = None) -> None:
        """End all streams, after a last message if there is one; returns when the client has hung
        up, or soon."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_GOODBYE_S):
                if last is not None:
                    await self.send(last)
                for number in self._numbers.values():
                    await self._socket.send(self._encoder.data(number, b"", fin=True))
                while await self._socket.receive() is not None:
                    pass

    async def _listen(self) -> bool:
        """Take what the client sends next; False when there will be no more."""
        raw = await self._socket.receive()
        if raw is None:
            return False
        try:
            for frame in self._decoder.feed(raw.encode() if isinstance(raw, str) else raw):
                await self._take(frame)
        except spdy.SpdyError:
            return False
        return True

    async def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.PING:
            await self._socket.send(self._encoder.ping(frame.stream))
        elif frame.kind is Kind.SYN_STREAM:
            channel = _CHANNELS.get(frame.headers.get("streamtype", ""))
            if channel is not None:
                self._numbers.setdefault(channel, frame.stream)
            await self._socket.send(self._encoder.reply(frame.stream))
        for channel, number in self._numbers.items():
            if number == frame.stream and frame.kind is not Kind.PING:
                self._said(channel, frame)

    def _said(self, channel: Channel, frame: Frame) -> None:
        # Each size of a window is a line of its own.
        parts = frame.data.splitlines() if channel is Channel.RESIZE else [frame.data]
        self._messages.extend(bytes((channel,)) + part for part in parts if part)
        if frame.fin or frame.kind is Kind.RST_STREAM:
            self._messages.append(bytes((Channel.CLOSE, channel)))
