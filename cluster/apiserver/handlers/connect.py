"""proxy: nothing real is there to reach."""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.handlers.services import Call


async def connect(call: Call) -> ApiResponse:
    """proxy: there is no real container or service to reach."""
    route = call.route
    kind, name = call.kind, route.name
    found = call.services.registry.get(kind.storage, route.namespace, name)
    if found is None:
        raise errors.not_found(kind.resource, name)
    if kind.resource is kinds.PODS and not (found.get("status") or {}).get("podIP"):
        raise errors.BadRequest("address not allowed")
    raise errors.BadRequest(
        f"{kind.resource.plural}/{route.subresource_name} is not available: kubeherd's pods and "
        "nodes are fake and run no processes"
    )
