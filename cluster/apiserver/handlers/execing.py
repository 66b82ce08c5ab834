"""exec into a pod: who may, which container, and who answers.

Source: Kubernetes v1.36, pkg/registry/core/pod/rest/subresources.go, strategy.go (ExecLocation) and
pkg/kubelet/server/server.go (getExec): the pod, its container and its node are looked at before
anything else; a request that is no upgrade is refused last.
"""

from typing import Final
from urllib.parse import parse_qs

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import UpgradeResponse
from kubeherd.cluster.apiserver.handlers import podtarget
from kubeherd.cluster.apiserver.handlers.services import Call

NO_SPDY: Final = (
    "kubeherd speaks WebSocket here, not SPDY: use kubectl 1.31 or later, or a client that asks "
    "for the subprotocol v5.channel.k8s.io or v4.channel.k8s.io"
)


async def execute(call: Call) -> UpgradeResponse:
    """Run a command: the answer takes over the connection."""
    if call.route.verb != "create":
        call.check_create()
    pod = target(call)
    query = call.request.query
    spec = podtarget.container_spec(pod, query.get("container", ""))
    check_host(pod)
    stdin, stdout, stderr, tty = (
        parameters.boolean(query, name) for name in ("stdin", "stdout", "stderr", "tty")
    )
    stderr = stderr and not tty
    if not (stdin or stdout or stderr):
        raise errors.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    check_running(pod, str(spec["name"]))
    words = parse_qs(call.request.raw_query, keep_blank_values=True).get("command", [])
    if not any(words[:1]):
        raise errors.BadRequest("you must specify a command")
    check_upgrade(call)
    # What belongs to open sessions is loaded by the first one.
    from kubeherd.cluster.apiserver.streams import answers, channels, session  # noqa: PLC0415

    protocol = channels.choose(call.request.headers.get("sec-websocket-protocol", ""))
    streams = session.Streams(stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
    serve = answers.command(call, pod, spec, words, streams, protocol)
    return UpgradeResponse(serve, protocol)


def target(call: Call) -> JsonObject:
    """The pod that is meant; NotFound if there is none."""
    route = call.route
    pod = call.services.registry.get(kinds.PODS, route.namespace, route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, route.name)
    return dict(pod)


def check_host(pod: JsonObject) -> None:
    """BadRequest for a pod that no node has."""
    if not (pod.get("spec") or {}).get("nodeName"):
        name = pod["metadata"]["name"]
        raise errors.BadRequest(f"pod {name} does not have a host assigned")


def check_running(pod: JsonObject, container: str) -> None:
    """InternalError, as from a kubelet, where the container does not run or is none of ours."""
    entry = podtarget.container_status(pod, container)
    if podtarget.is_foreign(entry):
        node = pod["spec"]["nodeName"]
        raise errors.InternalError(f'the kubelet of node "{node}" is not one of kubeherd\'s')
    if "running" not in (entry.get("state") or {}):
        raise errors.InternalError(
            f'unable to upgrade connection: container not found ("{container}")'
        )


def check_upgrade(call: Call) -> None:
    """BadRequest for a request that does not ask for a WebSocket."""
    headers = call.request.headers
    wanted = headers.get("upgrade", "").lower()
    if "upgrade" not in headers.get("connection", "").lower() or not wanted:
        raise errors.BadRequest("Upgrade request required")
    if wanted != "websocket":
        raise errors.BadRequest(NO_SPDY)
