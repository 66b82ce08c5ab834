"""Writes that are begun and answered in single steps of the event loop: no task waits for each.

Of what a short write (`write.short`) costs when it comes alone, half is the task that carries it
from layer to layer and waits for its commit. Many that came together are staged one after the other
in one step, wait together, and are answered in one step. Invariants: what begins here is what
`ApiServer.handle` would have done, with the same rights, counts and answers; where that is not
certain, nothing begins, and `handle` decides. A deletion may be refused here, too: of all writes it
is the one that is sent again and again for what is gone.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import msgspec

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.edge.responses import object_response, refused
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.handlers import alikes, patching, writes
from kubeherd.cluster.apiserver.handlers.patchtypes import patch_type
from kubeherd.cluster.apiserver.handlers.pods import binding
from kubeherd.cluster.apiserver.handlers.services import Call, Services, call
from kubeherd.cluster.apiserver.metrics import Series
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.outcomes import LATE
from kubeherd.cluster.apiserver.write.pending import Pending, Written
from kubeherd.cluster.apiserver.write.short.alike.places import places
from kubeherd.cluster.runtime.metrics import stopwatch_s
from kubeherd.cluster.store.store import Store

BEGIN_US: Final = 100
"""About what it takes to begin a write, ..."""
ANSWER_US: Final = 20
"""... and to answer it: a turn of the event loop has room for so many."""


Show: TypeAlias = Callable[[Call, bytes], ApiResponse]
"""What a call is answered of the stored object."""


class Begun(msgspec.Struct, eq=False, frozen=True):
    """A write that is staged, and what is needed to answer it."""

    call: Call
    pending: Pending
    show: Show
    series: Series
    started_s: float

    def answer(self) -> ApiResponse:
        """What its client is told, once its wait is over; to be called once."""
        request, staged = self.call.request, self.pending.staged
        try:
            if staged is None:  # it changes nothing, and what is there is durable
                response = self.show(self.call, self.pending.written.json)
            elif staged.done:
                response = self.show(self.call, staged.outcome().json)
            else:
                raise errors.OutcomeUnknown(LATE)
        except ApiError as error:
            response = refused(request, error)
        except BaseException as error:
            self.series.failed(request, self.started_s, error)
            raise
        self.series.answered(request, self.started_s, response)
        return response

    def give_up(self) -> None:
        """Instead of `answer`: its client has gone."""
        self.series.failed(self.call.request, self.started_s, asyncio.CancelledError())


def begin(
    services: Services, request: ApiRequest, route: Route, allowed: Callable[[], ServedKind]
) -> Begun | None:
    """Stage the write that a request is, if it is a short one that `allowed` lets pass; it returns
    the kind, or raises an ApiError. None, and nothing has happened, if that is not certain."""
    started_s = stopwatch_s()
    stage = _stage_of(route)
    if stage is None:
        return None
    try:
        kind = allowed()
        one = call(services, request, route, kind)
        staged = stage(one)
    except ApiError:
        return None
    if staged is None:
        return None
    series = services.metrics.begin(request, route, kind)
    series.short += 1
    return Begun(one, *staged, series, started_s)


async def settled(store: Store, begun: Iterable[Begun]) -> None:
    """Return when all of these can be answered. All are done when what was staged last is, and that
    need not be what began last: who changes nothing waits for what others have staged before."""
    staged = [one.pending.staged for one in begun if one.pending.staged is not None]
    last = max(staged, key=lambda one: one.revision, default=None)
    if last is not None:
        with suppress(TimeoutError):
            await store.settled(last)


_First: TypeAlias = tuple[Pending, Show]
"""What was staged, and how it will be answered."""
_Stage: TypeAlias = Callable[[Call], _First | None]


def _stage_of(route: Route) -> _Stage | None:
    """What stages the short writes among those with this route, if there are any."""
    resource, verb, part = route.resource, route.verb, route.subresource_name
    if verb == "create" and not part and places(resource):
        return _stage_create
    if resource is kinds.PODS:
        return _OF_PODS.get((verb, part))
    return _stage_renewal if resource is kinds.LEASES and verb == "update" else None


def _stage_create(one: Call) -> _First | None:
    made = alikes.stage(one, one.context())
    if made is None:
        return None
    return made.pending, lambda call, stored: alikes.answer(call, made, stored)


def _stage_binding(one: Call) -> _First | None:
    pending = binding.stage(one, one.context())
    return None if pending is None else (pending, lambda call, _: binding.answer(call))


def _stage_status(one: Call) -> _First | None:
    pending = patching.stage_status(one, patch_type(one), one.context())
    return None if pending is None else (pending, _changed)


def _stage_renewal(one: Call) -> _First | None:
    pending = writes.stage_renewal(one, one.context())
    return None if pending is None else (pending, _changed)


def _stage_delete(one: Call) -> _First | None:
    try:
        staged = writes.stage_delete(one)
    except ApiError as error:
        return _refusal(one, error)
    if staged is None:
        return None
    pending, status = staged
    return pending, partial(_changed, tree=pending.written.tree, status=status)


def _refusal(one: Call, error: ApiError) -> _First:
    """Nothing is staged; but a refusal tells what there is, which must be durable before."""
    staged = one.services.store.staged(one.kind.key, one.route.namespace, one.route.name)

    def refuse(_: Call, __: bytes) -> ApiResponse:
        raise error.with_traceback(None)

    return Pending(Written(b""), staged), refuse


def _changed(
    one: Call, stored: bytes, *, tree: JsonObject | None = None, status: int = 200
) -> ApiResponse:
    """The object as it is now; `tree`: the same, if it need not be decoded."""
    return object_response(
        one.request, one.kind, stored, one.negotiated, one.services.clock, tree=tree, status=status
    )


_OF_PODS: dict[tuple[str, str], _Stage] = {
    ("create", "binding"): _stage_binding,
    ("delete", ""): _stage_delete,
    ("patch", "status"): _stage_status,
}
