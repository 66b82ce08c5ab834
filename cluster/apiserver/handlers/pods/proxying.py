"""proxy to a pod, a service or a node: answered by its script, else as where nobody listens.

Source: Kubernetes v1.36, pkg/registry/core/{pod/strategy,node/strategy,service/storage/storage}.go
(ResourceLocation) and apimachinery/pkg/util/proxy. A service reaches a ready pod that it selects:
Endpoints need not be there.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from kubeherd.cluster.api import errors, kinds, labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.handlers.services import Call

_SCHEMES: Final = {"": "80", "http": "80", "https": "443"}
_KUBELET_PORT: Final = 10250


class _Target(NamedTuple):
    """`scheme:name:port` of a path; scheme and port may be empty."""

    scheme: str
    name: str
    port: str


async def pod(call: Call) -> ApiResponse:
    """Ask a pod: its port, else the first that it declares, else that of the scheme."""
    target = _target(call, "pod")
    tree = _get(call, target.name)
    declared = (str(one["containerPort"]) for one in _ports(tree))
    return _asked(call, tree, target.port or next(declared, "") or _SCHEMES[target.scheme])


async def service(call: Call) -> ApiResponse:
    """Ask a pod behind a service: at its port by number or name, else the one without a name."""
    target = _target(call, "service")
    tree = _get(call, target.name)
    wanted, spec = target.port, tree.get("spec") or {}
    ports = spec.get("ports") or ()
    if wanted.isdecimal():
        names = [one.get("name", "") for one in ports if str(one["port"]) == wanted]
        if not names:
            why = f'no service port {wanted} found for service "{target.name}"'
            raise errors.ServiceUnavailable(why)
        wanted = names[0]
    port = next((one for one in ports if one.get("name", "") == wanted), None)
    for behind in _selected(call, spec.get("selector") or {}) if port else ():
        number = str(port.get("targetPort") or port["port"]) if port else ""
        named = [str(one["containerPort"]) for one in _ports(behind) if one.get("name") == number]
        if number.isdecimal() or named:
            return _asked(call, behind, number if number.isdecimal() else named[0])
    raise errors.ServiceUnavailable(f'no endpoints available for service "{call.route.name}"')


async def node(call: Call) -> ApiResponse:
    """Ask a node: its kubelet, or what listens on another port."""
    target = _target(call, "node")
    tree = _get(call, target.name)
    endpoints = (tree.get("status") or {}).get("daemonEndpoints") or {}
    kubelet = (endpoints.get("kubeletEndpoint") or {}).get("Port") or _KUBELET_PORT
    return _asked(call, tree, target.port or str(kubelet))


def _target(call: Call, kind: str) -> _Target:
    parts = call.route.name.split(":")
    scheme, name, port = ["", *parts, ""][:3] if len(parts) < 3 else parts[:3]
    if len(parts) > 3 or not name or scheme not in _SCHEMES:
        raise errors.BadRequest(f'invalid {kind} request "{call.route.name}"')
    return _Target(scheme, name, port)


def _get(call: Call, name: str) -> JsonObject:
    found = call.services.registry.get(call.kind.storage, call.route.namespace, name)
    if found is None:
        raise errors.not_found(call.kind.resource, name)
    return dict(found)


def _ports(tree: JsonObject) -> Iterator[JsonObject]:
    """The ports that the containers of a pod declare."""
    for container in (tree.get("spec") or {}).get("containers") or ():
        yield from container.get("ports") or ()


def _selected(call: Call, selector: Mapping[str, str]) -> Iterator[JsonObject]:
    """The ready pods of the namespace with these labels; none for no labels."""
    matches = labels.from_selector({"matchLabels": dict(selector)}).matches
    for record in call.services.store.list(kinds.PODS.group_resource, call.route.namespace):
        if selector and matches(record.attrs.labels):
            tree = record.load()
            if _is_ready(tree):
                yield tree


def _is_ready(tree: JsonObject) -> bool:
    conditions = (tree.get("status") or {}).get("conditions") or ()
    return "deletionTimestamp" not in tree["metadata"] and any(
        (one["type"], one["status"]) == ("Ready", "True") for one in conditions
    )


def _address(tree: JsonObject) -> str:
    """The address of a pod, or the internal one of a node; BadRequest if there is none yet."""
    status = tree.get("status") or {}
    internal = (
        one["address"] for one in status.get("addresses") or () if one["type"] == "InternalIP"
    )
    address = status.get("podIP") or next(internal, "")
    if not address:
        raise errors.BadRequest("address not allowed")
    return str(address)


def _asked(call: Call, tree: JsonObject, port: str) -> ApiResponse:
    """What the port of a pod or node answers; ServiceUnavailable if nobody listens there."""
    # What belongs to scripts of ports is loaded by the first that is asked for.
    from kubeherd.cluster.apiserver.streams import portscript  # noqa: PLC0415

    request = call.request
    where = _address(tree)
    if not request.path.endswith("/") and not call.route.remainder and request.method == "GET":
        query = f"?{request.raw_query}" if request.raw_query else ""
        return ApiResponse(301, b"", headers={"Location": f"{request.path}/{query}"})
    where = f"[{where}]:{port}" if ":" in where else f"{where}:{port}"
    if not port.isdecimal():
        raise _unreachable(f"dial tcp: lookup tcp/{port}: unknown port")
    found = portscript.entry(tree["metadata"].get("annotations") or {}, int(port))
    if found is None:
        raise _unreachable(f"dial tcp {where}: connect: connection refused")
    if isinstance(found, str):
        raise _unreachable("the script of the port is a text, which is no HTTP response")
    return ApiResponse(found.status.value, found.body.encode(), found.content_type)


def _unreachable(why: str) -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(f"error trying to reach service: {why}")
