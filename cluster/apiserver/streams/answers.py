"""Who answers a remote command: the pod's script, or a real process (`up --exec local`)."""

from collections.abc import Sequence
from functools import partial

from kubeherd.cluster.api.helpers import commands
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.remotecommand import outcome, script
from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.api.remotecommand.script import Reply
from kubeherd.cluster.apiserver.handlers.pods import podlogs
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.streams import forwarding, portscript
from kubeherd.cluster.apiserver.streams.forwarding import Converse, Send
from kubeherd.cluster.apiserver.streams.inbox import Inbox
from kubeherd.cluster.apiserver.streams.session import Answerer, Session, Streams
from kubeherd.cluster.runtime.clock import Clock


def command(
    call: Call, pod: JsonObject, container: JsonObject, words: Sequence[str], streams: Streams
) -> Answerer:
    """Who answers a command; `container` is its spec."""
    annotations = pod["metadata"].get("annotations") or {}
    name = str(container["name"])
    local = call.services.local_commands
    if local is not None and script.scripted_reply(annotations, name, words) is None:
        from kubeherd.cluster.apiserver.streams.local import Command  # noqa: PLC0415

        wanted = Command(words, pod, container, streams, call.request.user.name)
        return partial(local.run, wanted)
    files = commands.files_left(container.get("command") or (), container.get("args") or ())
    reply = script.reply(annotations, name, words, files)
    return partial(_scripted, reply, streams, call.services.clock)


def attached(call: Call, pod: JsonObject, container: JsonObject, streams: Streams) -> Answerer:
    """Who answers a client that attaches to a running container."""
    return partial(_show_output, call, pod, container, streams)


def converse(call: Call, pod: JsonObject) -> Converse:
    """Who talks to the clients of the pod's forwarded ports."""
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    where = f"{metadata['name']}, uid {metadata['uid']}"
    otherwise = forwarding.refuse if call.services.local_commands is None else forwarding.relay

    async def talk(port: int, inbox: Inbox, send: Send) -> str:
        scripted = portscript.reply(annotations, port)
        if scripted is not None:
            return await forwarding.recite(scripted, inbox, send)
        return await otherwise(where, port, inbox, send)

    return talk


async def _show_output(
    call: Call, pod: JsonObject, container: JsonObject, streams: Streams, client: Session
) -> JsonObject:
    async for data in podlogs.output_from_now(call, pod, container):
        if streams.stdout:
            await client.write(Channel.STDOUT, _on_terminal(data, streams))
    return outcome.SUCCESS


async def _scripted(reply: Reply, streams: Streams, clock: Clock, client: Session) -> JsonObject:
    now_s = 0.0
    for at_s, data in reply.output:
        await clock.sleep(at_s - now_s)
        now_s = at_s
        if streams.stdout:
            await client.write(Channel.STDOUT, _on_terminal(data, streams))
    await clock.sleep(reply.ends_s - now_s)
    if reply.stderr:
        channel = Channel.STDOUT if streams.tty else Channel.STDERR
        if streams.stdout if streams.tty else streams.stderr:
            await client.write(channel, _on_terminal(reply.stderr.encode(), streams))
    return reply.status


def _on_terminal(data: bytes, streams: Streams) -> bytes:
    return data.replace(b"\n", b"\r\n") if streams.tty else data
