"""What every handler needs of the server, and helpers around one request."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import orjson

from kubeherd.cluster.api import defaults, errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs, decoding
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.access.authz import questions
from kubeherd.cluster.apiserver.access.authz.attributes import refusal
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.edge.messages import ApiRequest
from kubeherd.cluster.apiserver.edge.negotiation import (
    LIST_TYPES,
    OBJECT_TYPES,
    Negotiated,
    Shape,
    is_produced,
    negotiate,
    negotiate_without_tables,
    unavailable,
)
from kubeherd.cluster.apiserver.edge.responses import check_shape
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.handlers import objectkinds
from kubeherd.cluster.apiserver.metrics import Metrics
from kubeherd.cluster.apiserver.read.openwatches import OpenWatches
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import revisiondata
from kubeherd.cluster.apiserver.write.context import FieldValidation, RequestContext, write_context
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.apiserver.write.short.alike.creates import AlikeCreates
from kubeherd.cluster.apiserver.write.tracking import is_component
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.store import Store

if TYPE_CHECKING:
    from kubeherd.cluster.apiserver.streams.local import LocalCommands

_T = TypeVar("_T")
_ANSWERED_ONLY = frozenset({"binding", "eviction", "token"})
"""Subresources of which nothing is stored."""
_WRITING = frozenset({"create", "update", "patch", "delete"})
_OPTIONS_KIND = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


class Services(msgspec.Struct, frozen=True):
    """The parts of the server, shared by all requests."""

    store: Store
    clock: Clock
    rng: Rng
    registry: Registry
    heavy: HeavyWork
    tokens: TokenIssuer
    metrics: Metrics
    alike: AlikeCreates
    turns: Turns
    """Of the process: those who begin writes, answer them, and show commits share each."""
    pod_log_dir: Path | None = None
    local_commands: "LocalCommands | None" = None
    """Runs what `exec` asks for; None: nothing runs."""
    watches: OpenWatches = msgspec.field(default_factory=OpenWatches)


class Named(msgspec.Struct, frozen=True):
    """A kind that is no resource, such as Scale."""

    group: str
    version: str
    kind: str


class Call(msgspec.Struct, frozen=True):
    """One routed request with its negotiated answer form."""

    services: Services
    request: ApiRequest
    route: Route
    kind: ServedKind
    negotiated: Negotiated
    warnings: list[str] = msgspec.field(default_factory=list)
    """What the answer warns of, also if it is a refusal."""

    def context(self) -> RequestContext:
        """The options of a write."""
        request = self.request
        ctx = write_context(
            request.user,
            self.services.clock.now(),
            request.query,
            request.headers,
            _OPTIONS_KIND.get(self.route.verb, "CreateOptions"),
            self.route.subresource_name,
        )
        ctx.size_bytes = len(request.body)
        ctx.warnings = self.warnings
        if request.audited is not None:
            ctx.annotations = request.audited.annotations
        return ctx

    async def on_body(self, work: Callable[[], _T]) -> _T:
        """The result of work that is about the request's body."""
        heavy, size_bytes = self.services.heavy, len(self.request.body)
        if heavy.is_light(size_bytes):
            return work()
        return await heavy.run(work, size_bytes)

    def check_create(self) -> None:
        """Forbidden unless the user may create the object that an update or apply did not find:
        the right to update alone makes no objects."""
        question = msgspec.structs.replace(
            questions.of_route(self.request, self.route), verb="create"
        )
        decision = self.services.registry.authorizer.authorize(question)
        if not decision.allowed:
            raise refusal(question, decision.reason)

    def decode(self, ctx: RequestContext) -> JsonObject:
        """The body as an object of the call's kind: decoded, checked, defaulted."""
        resource = self.kind.resource
        decode = partial(decoding.decode, resource, dropped=ctx.dropped)
        tree = self._decoded(resource, decode, ctx)
        content_type = self.request.headers.get("content-type", "")
        ctx.data_text = revisiondata.text_of(resource, content_type, self.request.body, tree)
        defaults.apply(resource, tree)
        self._note(tree)
        return tree

    def _note(self, tree: JsonObject) -> None:
        """Keep a copy of what was sent for the audit log, if that is going to show it."""
        audited = self.request.audited
        if audited is None:
            return
        if audited.wants_objects:
            audited.sent = orjson.loads(orjson.dumps(tree))
        elif isinstance(meta := tree.get("metadata"), dict):
            audited.sent = {"metadata": dict(meta)}

    def decode_as(
        self, group: str, version: str, kind: str, ctx: RequestContext, *, also: str = ""
    ) -> JsonObject:
        """The body as an object of any kind; BadRequest if it is of another one. `also` is another
        apiVersion of the kind."""
        named = Named(group, version, kind)
        decode = decoding.decode_kind
        return self._decoded(named, lambda tree: decode(group, version, kind, tree), ctx, also=also)

    def _decoded(
        self,
        named: "Named | Resource",
        decode: Callable[[JsonObject], list[str]],
        ctx: RequestContext,
        *,
        also: str = "",
    ) -> JsonObject:
        group, version, kind = named.group, named.version, named.kind
        duplicates = ctx.field_validation is not FieldValidation.IGNORE and not is_component(
            self.request.user
        )
        content_type = self.request.headers.get("content-type", "")
        sent = self.request.body
        api_version = f"{group}/{version}" if group else version
        try:
            body = codecs.decode_body(
                content_type,
                sent,
                find_duplicates=duplicates,
                expected=(api_version, kind),
            )
        except errors.BadRequest as error:
            if codecs.media_type(content_type) == codecs.PROTOBUF:
                raise  # says it all
            raise objectkinds.unrecognized(kind, sent, error.message) from None
        tree = body.tree
        objectkinds.check(tree, sent, group, version, kind, also=also)
        unknown = decode(tree)
        problems = codecs.in_document_order(sent, body.strict_problems, unknown)
        prefix = f'{kind} in version "{version}" cannot be handled as a {kind}: '
        ctx.strict_problems(problems, prefix)
        self._note(tree)
        if not isinstance(tree.get("metadata"), dict):
            tree["metadata"] = {}
        return tree


def call(services: Services, request: ApiRequest, route: Route, kind: ServedKind) -> Call:
    """A call; NotAcceptable if the client accepts nothing that can be served, BadRequest for a
    table with a wrong ``includeObject``: a write must not find out when it has been done."""
    accept = request.headers.get("accept", "")
    if not is_produced(accept):
        raise unavailable(LIST_TYPES if route.verb in ("list", "watch") else OBJECT_TYPES)
    answered_only = kind.resource.verbs == ("create",) or route.subresource_name in _ANSWERED_ONLY
    negotiated = negotiate_without_tables(accept) if answered_only else negotiate(accept)
    if negotiated.shape is Shape.TABLE:
        tables.check_include_object(request.query.get("includeObject", ""))
    if route.verb in _WRITING:
        check_shape(kind, negotiated)
    return Call(services, request, route, kind, negotiated)
