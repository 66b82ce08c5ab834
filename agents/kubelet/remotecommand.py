"""`exec` at a kubelet's own server: the pod's script over a WebSocket.

Source: Kubernetes v1.36, pkg/kubelet/server/server.go (getExec) and cri-streaming: the API server
passes the client's WebSocket on as it is. Commands run nowhere: what is not scripted is not found.
Invariant: the answer ends when the client goes, and the connection when the answer is complete.
"""

import asyncio
import json
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp import WSMsgType, web

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.helpers import environment
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.remotecommand import channels, script
from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.api.remotecommand.script import Reply
from kubeherd.cluster.runtime.clock import Clock

NO_STREAM: Final = "you must specify at least 1 of stdin, stdout, stderr"
_MAX_MESSAGE_BYTES: Final = 64 * 1024
_TRUE: Final = "1"


class _Wanted(msgspec.Struct, frozen=True):
    """Which of the output's streams the client asked for."""

    stdout: bool
    stderr: bool
    tty: bool


async def execute(
    request: web.Request, pod: JsonObject, container: JsonObject, clock: Clock
) -> web.StreamResponse:
    """Answer a command in a container, which is given by its spec; BadRequest for a request that
    is none, or no WebSocket."""
    wanted = _wanted(request)
    words = request.query.getall("command", [])
    if not any(words[:1]):
        raise errors.BadRequest("you must specify a command")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise errors.BadRequest("this kubelet speaks WebSocket, not SPDY")
    protocol = channels.choose(request.headers.get("Sec-WebSocket-Protocol", ""))
    annotations = pod["metadata"].get("annotations") or {}
    around = environment.of_command(pod, container)
    reply = script.reply(annotations, str(container["name"]), words, around)
    client = _Client(protocol)
    await client.begin(request)
    answering = asyncio.create_task(client.answer(reply, wanted, clock), name="exec")
    listening = asyncio.create_task(client.gone(), name="exec-client")
    try:
        await asyncio.wait((answering, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (answering, listening):
            task.cancel()
        await asyncio.gather(answering, listening, return_exceptions=True)
    return await client.end()


def _wanted(request: web.Request) -> _Wanted:
    stdin, stdout, stderr, tty = (
        request.query.get(name) == _TRUE for name in ("input", "output", "error", "tty")
    )
    if not (stdin or stdout or (stderr and not tty)):
        raise errors.BadRequest(NO_STREAM)
    return _Wanted(stdout=stdout, stderr=stderr and not tty, tty=tty)


class _Client:
    """The connection of one command."""

    def __init__(self, protocol: channels.Protocol) -> None:
        self._protocol = protocol
        spoken = (protocol.value,) if protocol else ()
        self._socket = web.WebSocketResponse(protocols=spoken, max_msg_size=_MAX_MESSAGE_BYTES)

    async def begin(self, request: web.Request) -> None:
        """Take the connection over."""
        await self._socket.prepare(request)

    async def gone(self) -> None:
        """Wait until the client goes; what it types, nobody reads."""
        while (await self._socket.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
            pass

    async def answer(self, reply: Reply, wanted: _Wanted, clock: Clock) -> None:
        """Write what the script says, when it says it, and how the command ended."""
        with suppress(ConnectionError):
            if self._protocol is not channels.Protocol.V5:
                await self._write(Channel.STDOUT if wanted.stdout else Channel.ERROR, b"")
            await asyncio.sleep(channels.OPENING_S)
            now_s = 0.0
            for at_s, data in reply.output:
                await clock.sleep(at_s - now_s)
                now_s = at_s
                await self._show(Channel.STDOUT, data, wanted)
            await clock.sleep(reply.ends_s - now_s)
            await self._show(Channel.STDERR, reply.stderr.encode(), wanted)
            await self._write(Channel.ERROR, json.dumps(reply.status).encode())

    async def end(self) -> web.WebSocketResponse:
        """Close the connection."""
        await self._socket.close()
        return self._socket

    async def _show(self, channel: Channel, data: bytes, wanted: _Wanted) -> None:
        if wanted.tty:
            channel, data = Channel.STDOUT, data.replace(b"\n", b"\r\n")
        if data and (wanted.stdout if channel is Channel.STDOUT else wanted.stderr):
            await self._write(channel, data)

    async def _write(self, channel: Channel, data: bytes) -> None:
        message = channels.encode(self._protocol, channel, data)
        if isinstance(message, str):
            await self._socket.send_str(message)
        else:
            await self._socket.send_bytes(message)
