"""What exec, attach and port-forward look at before the connection is taken over.

Source: Kubernetes v1.36, pkg/registry/core/pod/rest/subresources.go and authorize.go.
"""

from typing import Final

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import Upgrade
from kubeherd.cluster.apiserver.edge.parameters import all_values
from kubeherd.cluster.apiserver.handlers.services import Call

_PROTOCOL_HEADER: Final = "X-Stream-Protocol-Version"


async def target(call: Call, kind: str, options: JsonObject) -> JsonObject:
    """The pod that is meant; NotFound if there is none, Forbidden without the right to create,
    which a WebSocket, a GET, needs as well, or what policies and webhooks say to the `options`, an
    object of this kind."""
    if call.route.verb != "create":
        call.check_create()
    route, ctx = call.route, call.context()
    told = {"kind": kind, "apiVersion": "v1", **options}
    await call.services.registry.chain.ask(
        AdmissionRequest(
            Operation.CONNECT, kinds.PODS, route.namespace, route.name, ctx.user, ctx.subresource,
            told, warnings=ctx.warnings, kind=("", "v1", kind),
        ),
        ctx,
    )  # fmt: skip
    pod = call.services.registry.get(kinds.PODS, route.namespace, route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, route.name)
    return dict(pod)


def check_host(pod: JsonObject) -> None:
    """BadRequest for a pod that no node has."""
    if not (pod.get("spec") or {}).get("nodeName"):
        name = pod["metadata"]["name"]
        raise errors.BadRequest(f"pod {name} does not have a host assigned")


def wanted(call: Call) -> Upgrade:
    """What the request asks its connection to become; BadRequest where that is nothing known."""
    headers = call.request.headers
    names = headers.get("upgrade", "").lower()
    if "upgrade" not in headers.get("connection", "").lower() or not names:
        raise errors.BadRequest("Upgrade request required")
    for upgrade in Upgrade:
        if upgrade.value.lower() in names:
            return upgrade
    raise errors.BadRequest("unable to upgrade: missing upgrade headers in request")


def check_stream_protocol(call: Call, spoken: str) -> None:
    """Refuses a client of SPDY that does not speak this stream protocol.

    Source: Kubernetes v1.36, k8s.io/streaming/pkg/httpstream (Handshake).
    """
    names = [
        name
        for line in all_values(call.request.headers, _PROTOCOL_HEADER)
        for part in line.split(",")
        if (name := part.strip())
    ]
    if not names:
        raise errors.BadRequest(f"unable to upgrade: header {_PROTOCOL_HEADER} does not exist")
    if spoken not in names:
        raise errors.Forbidden(
            "unable to upgrade: unable to negotiate protocol: client supports "
            f"[{' '.join(names)}], server accepts [{spoken}]",
        )
