"""exec and attach to a pod: who may, which container, and who answers.

Source: Kubernetes v1.36, pkg/registry/core/pod/rest/subresources.go, strategy.go (ExecLocation) and
pkg/kubelet/server/server.go (getExec): the pod, its container and its node are looked at before
anything else; a request that is no upgrade is refused last.
"""

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.helpers import podtarget
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import Upgrade, UpgradeResponse
from kubeherd.cluster.apiserver.handlers.pods import upgrades
from kubeherd.cluster.apiserver.handlers.services import Call

if TYPE_CHECKING:
    from kubeherd.cluster.apiserver.streams.session import Answerer, Streams


async def execute(call: Call) -> UpgradeResponse:
    """Run a command: the answer takes over the connection."""
    pod, spec = await _container(call, "PodExecOptions")
    streams = _streams(call)
    name = str(spec["name"])
    _check_running(pod, name, f'container not found ("{name}")')
    words = _words(call)
    if not any(words[:1]):
        raise errors.BadRequest("you must specify a command")
    upgrade = upgrades.wanted(call)
    # What belongs to open sessions is loaded by the first one.
    from kubeherd.cluster.apiserver.streams import answers  # noqa: PLC0415

    return _session(call, upgrade, streams, answers.command(call, pod, spec, words, streams))


async def attach(call: Call) -> UpgradeResponse:
    """Show what a container writes from now on; what is typed, nobody reads."""
    pod, spec = await _container(call, "PodAttachOptions")
    streams = _streams(call)
    metadata, name = pod["metadata"], str(spec["name"])
    where = f"{metadata['name']}_{metadata['namespace']}"
    _check_running(pod, name, f"container {name} not found in pod {where}")
    upgrade = upgrades.wanted(call)
    from kubeherd.cluster.apiserver.streams import answers  # noqa: PLC0415

    return _session(call, upgrade, streams, answers.attached(call, pod, spec, streams))


def _session(
    call: Call, upgrade: Upgrade, streams: "Streams", answer: "Answerer"
) -> UpgradeResponse:
    """The connection, taken over for an answer in the way the client speaks."""
    from kubeherd.cluster.api.remotecommand import channels  # noqa: PLC0415
    from kubeherd.cluster.apiserver.streams import session, spdysession  # noqa: PLC0415

    if upgrade is Upgrade.SPDY:
        upgrades.check_stream_protocol(call, spdysession.PROTOCOL)
        serve = partial(spdysession.serve, streams=streams, answer=answer)
        return UpgradeResponse(serve, spdysession.PROTOCOL, upgrade)
    protocol = channels.choose(call.request.headers.get("sec-websocket-protocol", ""))
    answer = session.unhurried(answer)
    serve = partial(session.serve, protocol=protocol, greeted=streams.first, answer=answer)
    return UpgradeResponse(serve, protocol)


def _options(call: Call) -> JsonObject:
    """The query as the object that admission sees."""
    query = call.request.query
    flags = ("stdin", "stdout", "stderr", "tty")
    options: JsonObject = {name: True for name in flags if parameters.boolean(query, name)}
    if query.get("container"):
        options["container"] = query["container"]
    if words := _words(call):
        options["command"] = words
    return options


def _words(call: Call) -> list[str]:
    return parse_qs(call.request.raw_query, keep_blank_values=True).get("command", [])


async def _container(call: Call, kind: str) -> tuple[JsonObject, JsonObject]:
    """The pod and the spec of its container that are meant, on a node; `kind` of the options."""
    pod = await upgrades.target(call, kind, _options(call))
    spec = podtarget.container_spec(pod, call.request.query.get("container", ""))
    upgrades.check_host(pod)
    return pod, spec


def _streams(call: Call) -> "Streams":
    from kubeherd.cluster.apiserver.streams.session import Streams  # noqa: PLC0415

    stdin, stdout, stderr, tty = (
        parameters.boolean(call.request.query, name)
        for name in ("stdin", "stdout", "stderr", "tty")
    )
    if not (stdin or stdout or (stderr and not tty)):
        raise errors.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return Streams(stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty)


def _check_running(pod: JsonObject, container: str, why: str) -> None:
    """BadRequest (a kubelet says 500) where the container does not run or is none of ours."""
    entry = podtarget.container_status(pod, container)
    podtarget.check_ours(pod, entry)
    if "running" not in (entry.get("state") or {}):
        raise errors.BadRequest(f"unable to upgrade connection: {why}")
