"""exec and attach to a pod: who may, which container, and who answers.

Source: Kubernetes v1.36, pkg/registry/core/pod/rest/subresources.go, strategy.go (ExecLocation) and
pkg/kubelet/server/server.go (getExec): the pod, its container and its node are looked at before
anything else; a request that is no upgrade is refused last.
"""

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import UpgradeResponse
from kubeherd.cluster.apiserver.handlers import podtarget
from kubeherd.cluster.apiserver.handlers.services import Call

if TYPE_CHECKING:
    from kubeherd.cluster.apiserver.streams.session import Streams

NO_SPDY: Final = (
    "kubeherd speaks WebSocket here, not SPDY: use kubectl 1.31 or later, or a client that asks "
    "for the subprotocol v5.channel.k8s.io or v4.channel.k8s.io"
)


async def execute(call: Call) -> UpgradeResponse:
    """Run a command: the answer takes over the connection."""
    pod, spec = _container(call)
    streams = _streams(call)
    name = str(spec["name"])
    _check_running(pod, name, f'container not found ("{name}")')
    words = parse_qs(call.request.raw_query, keep_blank_values=True).get("command", [])
    if not any(words[:1]):
        raise errors.BadRequest("you must specify a command")
    _check_upgrade(call)
    # What belongs to open sessions is loaded by the first one.
    from kubeherd.cluster.apiserver.streams import answers, channels  # noqa: PLC0415

    protocol = channels.choose(call.request.headers.get("sec-websocket-protocol", ""))
    return UpgradeResponse(answers.command(call, pod, spec, words, streams, protocol), protocol)


async def attach(call: Call) -> UpgradeResponse:
    """Show what a container writes from now on; what is typed, nobody reads."""
    pod, spec = _container(call)
    streams = _streams(call)
    metadata, name = pod["metadata"], str(spec["name"])
    where = f"{metadata['name']}_{metadata['namespace']}"
    _check_running(pod, name, f"container {name} not found in pod {where}")
    _check_upgrade(call)
    from kubeherd.cluster.apiserver.streams import answers, channels  # noqa: PLC0415

    protocol = channels.choose(call.request.headers.get("sec-websocket-protocol", ""))
    return UpgradeResponse(answers.attached(call, pod, spec, streams, protocol), protocol)


def _container(call: Call) -> tuple[JsonObject, JsonObject]:
    """The pod and the spec of its container that are meant, on a node."""
    pod = _target(call)
    spec = podtarget.container_spec(pod, call.request.query.get("container", ""))
    _check_host(pod)
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


def _target(call: Call) -> JsonObject:
    """The pod that is meant; NotFound if there is none, Forbidden without the right to create,
    which a WebSocket, a GET, needs as well."""
    if call.route.verb != "create":
        call.check_create()
    route = call.route
    pod = call.services.registry.get(kinds.PODS, route.namespace, route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, route.name)
    return dict(pod)


def _check_host(pod: JsonObject) -> None:
    """BadRequest for a pod that no node has."""
    if not (pod.get("spec") or {}).get("nodeName"):
        name = pod["metadata"]["name"]
        raise errors.BadRequest(f"pod {name} does not have a host assigned")


def _check_running(pod: JsonObject, container: str, why: str) -> None:
    """InternalError, as from a kubelet, where the container does not run or is none of ours."""
    entry = podtarget.container_status(pod, container)
    if podtarget.is_foreign(entry):
        node = pod["spec"]["nodeName"]
        raise errors.InternalError(f'the kubelet of node "{node}" is not one of kubeherd\'s')
    if "running" not in (entry.get("state") or {}):
        raise errors.InternalError(f"unable to upgrade connection: {why}")


def _check_upgrade(call: Call) -> None:
    """BadRequest for a request that does not ask for a WebSocket."""
    headers = call.request.headers
    wanted = headers.get("upgrade", "").lower()
    if "upgrade" not in headers.get("connection", "").lower() or not wanted:
        raise errors.BadRequest("Upgrade request required")
    if wanted != "websocket":
        raise errors.BadRequest(NO_SPDY)
