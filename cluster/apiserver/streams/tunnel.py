"""Port-forward as kubectl does it: SPDY, inside of a WebSocket since 1.31.

Source: Kubernetes v1.36, client-go/tools/portforward and k8s.io/cri-streaming/pkg/streaming/
portforward/httpstream.go: a client opens two streams for each connection, `error` and `data`, that
share `requestid` and `port`; the server ends both when the conversation is over. Invariant: a
connection has at most `MAX_STREAMS` streams at once, and ends with its client.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.apiserver.edge.messages import Socket
from kubeherd.cluster.apiserver.streams import portscript, spdy
from kubeherd.cluster.apiserver.streams.forwarding import Converse
from kubeherd.cluster.apiserver.streams.inbox import Inbox
from kubeherd.cluster.apiserver.streams.session import FRAME_BYTES
from kubeherd.cluster.apiserver.streams.spdy import Frame, Kind

STREAM_PROTOCOL: Final = "portforward.k8s.io"
PROTOCOL: Final = f"SPDY/3.1+{STREAM_PROTOCOL}"
MAX_STREAMS: Final = 512


async def serve(socket: Socket, converse: Converse) -> None:
    """Let `converse` talk on each connection that the client opens, until it goes."""
    try:
        async with asyncio.TaskGroup() as tasks:
            with suppress(spdy.SpdyError, ConnectionError):
                await _Tunnel(socket, converse, tasks).listen()
            raise _Over
    except* (_Over, ConnectionError):
        pass
    finally:
        await socket.close()


class _Over(Exception):
    """The client has gone: so do all conversations."""


class _Tunnel:
    def __init__(self, socket: Socket, converse: Converse, tasks: asyncio.TaskGroup) -> None:
        self._socket = socket
        self._converse = converse
        self._tasks = tasks
        self._encoder = spdy.Encoder()
        self._errors: dict[str, int] = {}
        """Error streams by the request they belong to, until its data stream comes."""
        self._inboxes: dict[int, Inbox] = {}

    async def listen(self) -> None:
        decoder = spdy.Decoder()
        while (raw := await self._socket.receive()) is not None:
            for frame in decoder.feed(raw.encode() if isinstance(raw, str) else raw):
                await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.SYN_STREAM:
                await self._opened(frame)
            case Kind.PING:
                await self._socket.send(self._encoder.ping(frame.stream))
            case Kind.DATA | Kind.RST_STREAM if frame.stream in self._inboxes:
                inbox = self._inboxes[frame.stream]
                if frame.data:
                    await inbox.put(frame.data)
                if frame.fin or frame.kind is Kind.RST_STREAM:
                    await inbox.put(b"")

    async def _opened(self, frame: Frame) -> None:
        headers = frame.headers
        request = headers.get("requestid", "")
        if len(self._errors) + len(self._inboxes) >= MAX_STREAMS:
            raise spdy.SpdyError("too many streams")
        await self._socket.send(self._encoder.reply(frame.stream))
        if headers.get("streamtype") == "error":
            self._errors[request] = frame.stream
        elif request in self._errors:
            try:
                (port,) = portscript.ports([headers.get("port", "")])
            except (BadRequest, ValueError):
                raise spdy.SpdyError("a stream without a port") from None
            inbox = self._inboxes[frame.stream] = Inbox()
            talk = self._talk(frame.stream, self._errors.pop(request), port, inbox)
            self._tasks.create_task(talk, name="forward")

    async def _talk(self, data: int, error: int, port: int, inbox: Inbox) -> None:
        why = await self._converse(port, inbox, partial(self._send, data))
        inbox.close()
        del self._inboxes[data]
        await self._socket.send(self._encoder.data(error, why.encode(), fin=True))
        await self._socket.send(self._encoder.data(data, b"", fin=True))

    async def _send(self, stream: int, data: bytes) -> None:
        for start in range(0, len(data), FRAME_BYTES):
            piece = data[start : start + FRAME_BYTES]
            await self._socket.send(self._encoder.data(stream, piece))
