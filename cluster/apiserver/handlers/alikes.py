"""Creates of objects that are alike, between requests and `write.alikecreates`."""

from datetime import datetime

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.access import kubelets
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.negotiation import Shape, wants_pretty
from kubeherd.cluster.apiserver.edge.responses import finished
from kubeherd.cluster.apiserver.handlers import answers
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write import alike
from kubeherd.cluster.apiserver.write.alikecreates import Form
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.pending import Written

_WIRES = {"": alike.JSON, codecs.JSON: alike.JSON, codecs.MSGPACK: alike.MSGPACK}
"""By content type; with parameters it is another one, and goes the general way."""


def form(call: Call) -> Form | None:
    """What requests have in common that are alike to this; None for one that is alike to none: what
    a kubelet may depends on the object, and options change what is done."""
    request, resource = call.request, call.kind.resource
    if request.query or request.audited is not None or not alike.places(resource):
        return None
    content_type = request.headers.get("content-type", "")
    user = request.user
    if content_type not in _WIRES or kubelets.acting(user) is not None:
        return None
    agent = request.headers.get("user-agent", "")
    namespace = call.route.namespace
    return Form(resource.api_version, resource.plural, namespace, user, content_type, agent)


async def created(call: Call, form: Form, ctx: RequestContext) -> ApiResponse | None:
    """201 and the new object, if it is alike to others; None, and nothing has happened, if not."""
    request, services, kind = call.request, call.services, call.kind
    staged = services.alike.stage(kind, form, request.body, ctx)
    if staged is None:
        return None
    written = await services.registry.commit(kind, staged.pending)
    media = call.negotiated.media
    if call.negotiated.shape is Shape.OBJECT and not wants_pretty({}, request.headers):
        body = staged.answer(media, written.json)
        if body is not None:
            return finished(request, body, media, 201)
    return await answers.one(call, written.json, status=201)


def look_at(call: Call, form: Form, written: Written, ctx: RequestContext) -> None:
    """An object was created the general way: others that are alike may follow."""
    creates, body = call.services.alike, call.request.body
    if not creates.is_worth_a_look(form, body) or ctx.warnings:
        return

    def decoded(marked: bytes, now: datetime) -> tuple[JsonObject, RequestContext]:
        request = msgspec.structs.replace(call.request, body=marked)
        again = msgspec.structs.replace(call, request=request, warnings=[])
        own = again.context()
        own.now, own.fence = now, ""
        return again.decode(own), own

    wire = _WIRES[form.content_type]
    creates.learn(call.kind, form, wire, body, decoded, written.json)
