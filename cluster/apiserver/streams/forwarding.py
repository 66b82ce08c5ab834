"""Port-forward over a WebSocket: two channels for each port, data and error.

Source: Kubernetes v1.36, k8s.io/cri-streaming/pkg/streaming/portforward/websocket.go: the i-th port
has the channels 2i and 2i+1, each of which begins with the port as two bytes, the low one first.
Invariant: the connection ends when all conversations are over, or the client goes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from kubeherd.cluster.api.remotecommand import channels
from kubeherd.cluster.apiserver.edge.messages import Socket
from kubeherd.cluster.apiserver.streams.inbox import Inbox
from kubeherd.cluster.apiserver.streams.session import FRAME_BYTES

Send = Callable[[bytes], Awaitable[None]]
Converse = Callable[[int, Inbox, Send], Awaitable[str]]
"""Talks to the client of a port until there is no more to say; the error, "" for none."""


async def serve(
    socket: Socket, protocol: channels.Protocol, ports: Sequence[int], converse: Converse
) -> None:
    """Let `converse` talk on each port, and close the connection."""
    inboxes = [Inbox() for _ in ports]

    async def send(channel: int, data: bytes) -> None:
        for start in range(0, len(data), FRAME_BYTES):
            piece = data[start : start + FRAME_BYTES]
            await socket.send(channels.encode(protocol, channel, piece))

    async def talk(index: int, port: int) -> None:
        with suppress(ConnectionError):
            for channel in (2 * index, 2 * index + 1):
                await send(channel, port.to_bytes(2, "little"))
            error = await converse(port, inboxes[index], partial(send, 2 * index))
            inboxes[index].close()
            await send(2 * index + 1, error.encode())

    async def listen() -> None:
        while (raw := await socket.receive()) is not None:
            message = channels.split(protocol, raw)
            if message is not None and message[0] in range(0, 2 * len(ports), 2) and message[1]:
                await inboxes[message[0] // 2].put(message[1])

    listening = asyncio.create_task(listen(), name="forward-client")
    talking = asyncio.gather(*(talk(index, port) for index, port in enumerate(ports)))
    try:
        await asyncio.wait((listening, talking), return_when=asyncio.FIRST_COMPLETED)
        if talking.done():
            talking.result()
    finally:
        for task in (listening, talking):
            task.cancel()
        await asyncio.gather(listening, talking, return_exceptions=True)
        await socket.close()


async def recite(reply: bytes, inbox: Inbox, send: Send) -> str:
    """A scripted conversation: wait for the client's first words, say one's own, hang up."""
    if await inbox.get():
        await send(reply)
    return ""


async def refuse(why: str, port: int, _inbox: Inbox, _send: Send) -> str:
    """What a kubelet says of a port on which nobody listens; `why` names the pod."""
    return (
        f"error forwarding port {port} to pod {why}: failed to connect to localhost:{port}: "
        "connect: connection refused"
    )


async def relay(why: str, port: int, inbox: Inbox, send: Send) -> str:
    """A conversation with what listens on this port of the machine (`up --exec local`)."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return await refuse(why, port, inbox, send)

    async def ask() -> None:
        while data := await inbox.get():
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    asking = asyncio.create_task(ask(), name="forward-ask")
    try:
        while data := await reader.read(FRAME_BYTES):
            await send(data)
    except ConnectionResetError as error:
        return f"error forwarding port {port} to pod {why}: {error}"
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        writer.close()
    return ""
