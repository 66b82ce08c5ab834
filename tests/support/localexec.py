"""Commands that really run, and the client of one."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from patience import PATIENCE_S

from kubeherd.cluster.api.remotecommand.channels import Channel, Protocol
from kubeherd.cluster.apiserver.streams import session
from kubeherd.cluster.apiserver.streams.local import Command, LocalCommands
from kubeherd.cluster.apiserver.streams.session import Streams

POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u1"}}
PLAIN = Streams(stdin=False, stdout=True, stderr=True, tty=False)


class Client:
    """The client's end of a connection."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._news = asyncio.Event()

    def says(self, channel: Channel, data: bytes) -> None:
        self._sent.put_nowait(bytes((channel,)) + data)

    def goes(self) -> None:
        self._sent.put_nowait(None)

    def text(self, channel: Channel) -> str:
        return b"".join(m[1:] for m in self.received if m[0] == channel).decode()

    @property
    def exit_code(self) -> int:
        status = json.loads(self.text(Channel.ERROR))
        return (
            0 if status["status"] == "Success" else int(status["details"]["causes"][0]["message"])
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition of what was received."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def send(self, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        self.received.append(data)
        self._news.set()

    async def receive(self) -> bytes | None:
        return await self._sent.get()

    async def close(self, last: bytes | str | None = None) -> None:
        if last is not None:
            await self.send(last)


async def serve(
    commands: LocalCommands, client: Client, *words: str, streams: Streams = PLAIN, **spec: Any
) -> Client:
    command = Command(words, POD, {"name": "c", **spec}, streams, "admin")
    answer = partial(commands.run, command)
    async with asyncio.timeout(PATIENCE_S):
        await session.serve(client, Protocol.V5, streams.first, answer)
    return client


async def shell(commands: LocalCommands, script: str, **spec: Any) -> str:
    """What a script says that succeeds."""
    client = await serve(commands, Client(), "sh", "-c", script, **spec)
    assert (client.exit_code, client.text(Channel.STDERR)) == (0, "")
    return client.text(Channel.STDOUT)
