"""Writes that are staged in one step of the event loop and answered in another, without own tasks.

Half of the cost of a short write (`write.short`) that comes alone is the task that carries it from
layer to layer and waits for its commit. The writes of a group are staged one after the other in one
step, wait for their commits together, and are answered in one step. Invariants: a write that begins
here has the same effect, answer and metrics as by `ApiServer.handle`; where that is not certain
nothing begins, and `handle` has to carry it out. Of the refusals two are answered here, because
they come in numbers: kubelets delete again and again what is gone, and clients that hurry renew
Leases before they know what became of the last renewal.
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
from kubeherd.cluster.apiserver.handlers import alikecreates, patching, writes
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
ANSWER_US: Final = 20
"""About how long it takes to stage a write, and to answer it; for `Turns`."""


Show: TypeAlias = Callable[[Call, bytes], ApiResponse]
"""Makes the answer to a call from the JSON that was stored."""


class Begun(msgspec.Struct, eq=False, frozen=True):
    """A write that is staged, and what is needed to answer it."""

    call: Call
    pending: Pending
    show: Show
    series: Series
    started_s: float

    def answer(self) -> ApiResponse:
        """The answer, once `settled` has returned; to be called once."""
        request, staged = self.call.request, self.pending.staged
        try:
            if staged is None:  # it changed nothing, and the object is durable
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
        """To be called instead of `answer` when the client has gone."""
        self.series.failed(self.call.request, self.started_s, asyncio.CancelledError())


def begin(
    services: Services, request: ApiRequest, route: Route, allowed: Callable[[], ServedKind]
) -> Begun | None:
    """Stage a request that is certainly a short write; else None, and nothing has happened.
    `allowed` returns the kind that the request is for, or raises an ApiError if its user may not do
    what it asks."""
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
    """Wait until all of these can be answered, or for so long that they never will. Commits are
    done in the order of their revisions, so the newest one is waited for. It need not be that of
    the last write: one that changed nothing waits for the commit that it rests on."""
    staged = [one.pending.staged for one in begun if one.pending.staged is not None]
    last = max(staged, key=lambda one: one.revision, default=None)
    if last is not None:
        with suppress(TimeoutError):
            await store.settled(last)


_First: TypeAlias = tuple[Pending, Show]
"""What was staged, and how to make its answer."""
_Stage: TypeAlias = Callable[[Call], _First | None]


def _stage_of(route: Route) -> _Stage | None:
    """What stages a write with this route, if it can be a short one."""
    resource, verb, part = route.resource, route.verb, route.subresource_name
    if verb == "create" and not part and places(resource):
        return _stage_create
    if resource is kinds.PODS:
        return _OF_PODS.get((verb, part))
    return _stage_renewal if resource is kinds.LEASES and verb == "update" else None


def _stage_create(one: Call) -> _First | None:
    made = alikecreates.stage(one, one.context())
    if made is None:
        return None
    return made.pending, lambda call, stored: alikecreates.answer(call, made, stored)


def _stage_binding(one: Call) -> _First | None:
    pending = binding.stage(one, one.context())
    return None if pending is None else (pending, lambda call, _: binding.answer(call))


def _stage_status(one: Call) -> _First | None:
    pending = patching.stage_status(one, patch_type(one), one.context())
    return None if pending is None else (pending, _changed)


def _stage_renewal(one: Call) -> _First | None:
    ctx = one.context()
    pending = writes.stage_renewal(one, ctx)
    if pending is not None:
        return pending, _changed
    late = writes.late_renewal(one, ctx)
    return None if late is None else _refusal(one, late)


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
    """Nothing is staged; but a refusal tells of the object's state, which must be durable first."""
    staged = one.services.store.staged(one.kind.key, one.route.namespace, one.route.name)

    def refuse(_: Call, __: bytes) -> ApiResponse:
        raise error.with_traceback(None)

    return Pending(Written(b""), staged), refuse


def _changed(
    one: Call, stored: bytes, *, tree: JsonObject | None = None, status: int = 200
) -> ApiResponse:
    """The answer with the changed object; `tree` is the same object, if it is at hand."""
    return object_response(
        one.request, one.kind, stored, one.negotiated, one.services.clock, tree=tree, status=status
    )


_OF_PODS: dict[tuple[str, str], _Stage] = {
    ("create", "binding"): _stage_binding,
    ("delete", ""): _stage_delete,
    ("patch", "status"): _stage_status,
}
