"""Which handler answers a request: by verb, by subresource, or the kind's own."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.apiserver.edge.messages import Response
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.handlers import (
    patching,
    reads,
    resourcemetrics,
    reviews,
    scale,
    tokens,
    writes,
)
from kubeherd.cluster.apiserver.handlers.pods import (
    binding,
    eviction,
    execing,
    forwarding,
    podlogs,
    proxying,
)
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import watching
from kubeherd.cluster.apiserver.read.conversion import ASKS, Unconverted

_Handler: TypeAlias = Callable[[Call], Awaitable[Response]]

_BY_VERB: dict[str, _Handler] = {
    "get": reads.get,
    "list": reads.list_objects,
    "watch": watching.watch,
    "create": writes.create,
    "update": writes.update,
    "patch": patching.patch,
    "delete": writes.delete,
    "deletecollection": writes.delete_collection,
}
_BY_RESOURCE: dict[str, _Handler] = {
    **reviews.HANDLERS,
    "bindings": binding.bind,
    **dict.fromkeys((one.group_resource for one in kinds.COMPUTED), resourcemetrics.answer),
}
_ON_WHAT_IS: dict[str, _Handler] = {
    "pods/eviction": eviction.evict,
    "pods/attach": execing.attach,
    "pods/exec": execing.execute,
    "pods/log": podlogs.log,
    "pods/portforward": forwarding.forward,
    "serviceaccounts/token": tokens.request_token,
    "pods/proxy": proxying.pod,
    "nodes/proxy": proxying.node,
    "services/proxy": proxying.service,
}


def _fresh(handler: _Handler) -> _Handler:
    """One that acts on an object which another server may just have made."""

    async def handle(call: Call) -> Response:
        await call.services.store.fresh()
        return await handler(call)

    return handle


_BY_SUBRESOURCE: dict[str, _Handler] = {
    "pods/binding": binding.bind,
    **{name: _fresh(handler) for name, handler in _ON_WHAT_IS.items()},
}


async def answer(route: Route, one: Call) -> Response:
    """What the handler of the route answers; again, once a webhook was asked to convert."""
    handler = _handler(route)
    for _ in range(ASKS):
        given = len(one.warnings)
        try:
            return await handler(one)
        except Unconverted as missing:
            del one.warnings[given:]
            await missing.ask()
    raise errors.InternalError("Internal error occurred: too much must be converted at once")


def _handler(route: Route) -> _Handler:
    if route.subresource is None:
        own = _BY_RESOURCE.get(route.resource.group_resource)
        return own if own is not None else _BY_VERB[route.verb]
    name = route.subresource.name
    if name == "scale":
        return scale.scale
    return _BY_SUBRESOURCE.get(f"{route.resource.plural}/{name}", _BY_VERB[route.verb])
