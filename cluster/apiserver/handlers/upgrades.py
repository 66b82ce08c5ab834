"""What exec, attach and port-forward look at before the connection is taken over.

Source: Kubernetes v1.36, pkg/registry/core/pod/rest/subresources.go and authorize.go.
"""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.handlers.services import Call


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


def check_upgrade(call: Call, no_spdy: str) -> None:
    """BadRequest for a request that does not ask for a WebSocket, `no_spdy` for one that asks for
    SPDY."""
    headers = call.request.headers
    wanted = headers.get("upgrade", "").lower()
    if "upgrade" not in headers.get("connection", "").lower() or not wanted:
        raise errors.BadRequest("Upgrade request required")
    if wanted != "websocket":
        raise errors.BadRequest(no_spdy)
