"""What every handler needs of the server, and helpers around one request."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from kubeherd.cluster.api import defaults, errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs, decoding
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.access.authz import questions
from kubeherd.cluster.apiserver.access.authz.attributes import refusal
from kubeherd.cluster.apiserver.edge.messages import ApiRequest
from kubeherd.cluster.apiserver.edge.negotiation import Negotiated, Shape, negotiate
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.context import FieldValidation, RequestContext, write_context
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.apiserver.write.tracking import is_component
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.store import Store

if TYPE_CHECKING:
    from kubeherd.cluster.apiserver.streams.local import LocalCommands

_T = TypeVar("_T")
_OPTIONS_KIND = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the server, shared by all requests."""

    store: Store
    clock: Clock
    rng: Rng
    registry: Registry
    heavy: HeavyWork
    pod_log_dir: Path | None = None
    local_commands: "LocalCommands | None" = None
    """Runs what `exec` asks for; None: nothing runs."""


@dataclass(frozen=True, slots=True)
class Call:
    """One routed request with its negotiated answer form."""

    services: Services
    request: ApiRequest
    route: Route
    kind: ServedKind
    negotiated: Negotiated

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
        tree = self.decode_as(resource.group, resource.version, resource.kind, ctx)
        defaults.apply(resource, tree)
        return tree

    def decode_as(self, group: str, version: str, kind: str, ctx: RequestContext) -> JsonObject:
        """The body as an object of any kind; BadRequest if it is of another one."""
        duplicates = ctx.field_validation is not FieldValidation.IGNORE and not is_component(
            self.request.user
        )
        content_type = self.request.headers.get("content-type", "")
        body = codecs.decode_body(content_type, self.request.body, find_duplicates=duplicates)
        tree = body.tree
        _check_kind(tree, f"{group}/{version}" if group else version, version, kind)
        problems = body.strict_problems + decoding.decode_kind(group, version, kind, tree)
        prefix = f'{kind} in version "{version}" cannot be handled as a {kind}: '
        ctx.strict_problems(problems, prefix)
        if not isinstance(tree.get("metadata"), dict):
            tree["metadata"] = {}
        return tree


def call(services: Services, request: ApiRequest, route: Route, kind: ServedKind) -> Call:
    """A call; NotAcceptable if the client accepts nothing that can be served, BadRequest for a
    table with a wrong ``includeObject``: a write must not find out when it has been done."""
    negotiated = negotiate(request.headers.get("accept", ""))
    if negotiated.shape is Shape.TABLE:
        tables.check_include_object(request.query.get("includeObject", ""))
    return Call(services, request, route, kind, negotiated)


def _check_kind(tree: JsonObject, api_version: str, version: str, kind: str) -> None:
    given_version = tree.get("apiVersion") or api_version
    given_kind = tree.get("kind") or kind
    if not isinstance(given_version, str) or not isinstance(given_kind, str):
        raise errors.BadRequest(
            "couldn't get version/kind; json parse error: json: cannot unmarshal into Go struct "
            "field .apiVersion or .kind of type string"
        )
    if given_kind != kind:
        raise errors.BadRequest(
            f'{given_kind} in version "{given_version.rpartition("/")[2]}" cannot be handled as a '
            f"{kind}: no conversion from {given_version}, Kind={given_kind} to "
            f"{api_version}, Kind={kind}"
        )
    if given_version != api_version:
        raise errors.BadRequest(
            f"the API version in the data ({given_version}) does not match the expected API "
            f"version ({api_version})"
        )
    tree["apiVersion"] = api_version
    tree["kind"] = kind
