"""Who answers a remote command: for now the pod's script."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge.messages import Socket
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.streams import channels, script, session
from kubeherd.cluster.apiserver.streams.channels import Channel
from kubeherd.cluster.apiserver.streams.script import Reply
from kubeherd.cluster.apiserver.streams.session import Session
from kubeherd.cluster.runtime.clock import Clock


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


def command(
    call: Call,
    pod: JsonObject,
    container: str,
    words: Sequence[str],
    streams: Streams,
    protocol: channels.Protocol,
) -> Callable[[Socket], Awaitable[None]]:
    """What is to be done with the connection of a command."""
    annotations = pod["metadata"].get("annotations") or {}
    reply = script.reply(annotations, container, words)
    answer = partial(_scripted, reply, streams, call.services.clock)
    return partial(session.serve, protocol=protocol, greeted=streams.first, answer=answer)


async def _scripted(reply: Reply, streams: Streams, clock: Clock, client: Session) -> JsonObject:
    now_s = 0.0
    for at_s, text in reply.output:
        await clock.sleep(at_s - now_s)
        now_s = at_s
        if streams.stdout:
            await client.write(Channel.STDOUT, _on_terminal(text, streams))
    await clock.sleep(reply.ends_s - now_s)
    if reply.stderr:
        channel = Channel.STDOUT if streams.tty else Channel.STDERR
        if streams.stdout if streams.tty else streams.stderr:
            await client.write(channel, _on_terminal(reply.stderr, streams))
    return reply.status


def _on_terminal(text: str, streams: Streams) -> bytes:
    return (text.replace("\n", "\r\n") if streams.tty else text).encode()
