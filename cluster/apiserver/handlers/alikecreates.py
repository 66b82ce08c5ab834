"""Creates of objects that are alike: between requests and `write.short.alike.creates`."""

from datetime import datetime
from typing import Final

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.access import kubelets
from kubeherd.cluster.apiserver.admission import node_restriction
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, User
from kubeherd.cluster.apiserver.edge.negotiation import Shape, wants_pretty
from kubeherd.cluster.apiserver.edge.responses import finished, object_response
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.pending import Written
from kubeherd.cluster.apiserver.write.short.alike.creates import Alike, Form
from kubeherd.cluster.apiserver.write.short.alike.places import places
from kubeherd.cluster.apiserver.write.short.alike.wires import JSON, MSGPACK

_WIRES = {"": JSON, codecs.JSON: JSON, codecs.MSGPACK: MSGPACK}
"""By content type; one with parameters is not among them, and goes the general way."""
MAX_AGENT: Final = 256
"""Characters of the User-Agent. Forms outlive their requests, so their size is bounded."""
MAX_USER: Final = 1024
"""Characters of all that is known of a user, which may include the pod and node of its token."""


def form(call: Call) -> Form | None:
    """The form of a create; None if it cannot have a template: because it has options, or because
    NodeRestriction has a rule for such objects, which decides by the object what a kubelet may."""
    request, resource = call.request, call.kind.resource
    if request.query or request.audited is not None or not places(resource):
        return None
    content_type = request.headers.get("content-type", "")
    user = request.user
    if content_type not in _WIRES:
        return None
    if kubelets.acting(user) is not None and node_restriction.concerns(resource):
        return None
    agent, namespace = request.headers.get("user-agent", ""), call.route.namespace
    return Form(resource.api_version, resource.plural, namespace, user, content_type, agent)


def _may_be_kept(form: Form) -> bool:
    """Whether a form is small enough to be kept."""
    return len(form.agent) <= MAX_AGENT and _length(form.user) <= MAX_USER


def _length(user: User) -> int:
    """Characters of all that is known of a user, and one more for each text."""
    texts = [user.name, user.uid, *user.groups]
    for key, values in user.extra:
        texts += (key, *values)
    return sum(map(len, texts)) + len(texts)


def stage(call: Call, ctx: RequestContext) -> Alike | None:
    """Stage a create from a template; None, and nothing has happened, if there is none for it."""
    wanted = form(call)
    if wanted is None:
        return None
    return call.services.alike.stage(call.kind, wanted, call.request.body, ctx)


def answer(call: Call, made: Alike, stored: bytes) -> ApiResponse:
    """201 and the new object, which is durable, and small enough to be encoded at once."""
    request, negotiated = call.request, call.negotiated
    if negotiated.shape is Shape.OBJECT and not wants_pretty({}, request.headers):
        body = made.answer(negotiated.media, stored)
        if body is not None:
            return finished(request, body, negotiated.media, 201)
    return object_response(request, call.kind, stored, negotiated, call.services.clock, status=201)


def look_at(call: Call, written: Written, ctx: RequestContext) -> None:
    """An object was created the general way: make a template if others like it may follow."""
    creates, body, like = call.services.alike, call.request.body, form(call)
    if like is None or not _may_be_kept(like):
        return
    if not creates.is_worth_a_look(like, body) or ctx.warnings:
        return

    def decoded(marked: bytes, now: datetime) -> tuple[JsonObject, RequestContext]:
        request = msgspec.structs.replace(call.request, body=marked)
        again = msgspec.structs.replace(call, request=request, warnings=[])
        own = again.context()
        own.now, own.fence = now, ""
        return again.decode(own), own

    wire = _WIRES[like.content_type]
    creates.learn(call.kind, like, wire, body, decoded, written.json)
