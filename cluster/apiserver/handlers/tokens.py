"""POST serviceaccounts/<n>/token: a token for a service account (``kubectl create token``).

Source: Kubernetes v1.36, pkg/registry/core/serviceaccount/storage/token.go and
pkg/apis/authentication/validation. Nothing is stored; the token is in the answer and nowhere else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields import ownership
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver.access.tokens import claims
from kubeherd.cluster.apiserver.access.tokens.claims import ISSUER, Bound
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation, own_tokens
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import tree_response
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read.lookup import Lookup
from kubeherd.cluster.apiserver.write.context import RequestContext

_GROUP = "authentication.k8s.io"
_TOKEN_REQUESTS = Resource(
    group=_GROUP,
    version="v1",
    plural="tokenrequests",
    singular="tokenrequest",
    kind="TokenRequest",
    namespaced=True,
    verbs=("create",),
)
_DEFAULT_S, _SHORTEST_S, _LONGEST_S = 3600, 600, 2**32
_PROJECTED_S = 3607
"""What pods' token volumes ask for: such a token counts as stale then, but lives for a year."""
_EXTENDED_S = 365 * 24 * 3600


async def request_token(call: Call) -> ApiResponse:
    """POST serviceaccounts/<n>/token."""
    ctx = call.context()
    request = await call.on_body(lambda: _decoded(call, ctx))
    await _admit(call, request, ctx)
    account = _account(call, request["metadata"])
    _complete(request, account, ctx)
    spec = request["spec"]
    _check_expiration(spec["expirationSeconds"])
    bound = _bound(spec["boundObjectRef"], account, call.services.registry)
    request["status"] = _status(call, account, bound, spec, ctx.now)
    return tree_response(call.request, request, call.negotiated, 201)


def _decoded(call: Call, ctx: RequestContext) -> JsonObject:
    request = call.decode_as(_GROUP, "v1", "TokenRequest", ctx)
    spec = request["spec"] = request.get("spec") or {}
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _DEFAULT_S
    return request


async def _admit(call: Call, request: JsonObject, ctx: RequestContext) -> None:
    registry, route = call.services.registry, call.route
    admission = AdmissionRequest(
        Operation.CREATE, kinds.SERVICEACCOUNTS, route.namespace, route.name, ctx.user, "token",
        request, warnings=ctx.warnings, kind=(_GROUP, "v1", "TokenRequest"),
    )  # fmt: skip
    registry.admission.mutate(admission)
    own_tokens.check(
        admission, registry, lambda question: registry.authorizer.decide(question).allowed
    )
    await registry.chain.ask(admission, ctx)


def _account(call: Call, meta: JsonObject) -> JsonObject:
    """The account that the URL names, if the body's metadata does not name another one."""
    namespace, name = call.route.namespace, call.route.name
    _check_place(meta, namespace, name)
    account = call.services.registry.get(kinds.SERVICEACCOUNTS, namespace, name)
    if account is None:
        raise errors.not_found(kinds.SERVICEACCOUNTS, name)
    given, uid = meta.get("uid"), account["metadata"]["uid"]
    if given and given != uid:
        raise _conflict(
            _GROUP, "TokenRequest", name,
            f"the UID in the token request ({given}) does not match the UID of the service account "
            f"({uid})",
        )  # fmt: skip
    return account


def _complete(request: JsonObject, account: JsonObject, ctx: RequestContext) -> None:
    """Fill in what the client left out, and who owns what he sent."""
    meta, spec, own = request["metadata"], request["spec"], account["metadata"]
    entries = ownership.record_update(
        _TOKEN_REQUESTS,
        None,
        request,
        manager=ctx.field_manager,
        time=ctx.timestamp,
        subresource="token",
    )
    meta.update({key: own[key] for key in ("name", "namespace", "uid")})
    meta["creationTimestamp"] = ctx.timestamp
    if entries:
        meta["managedFields"] = entries
    spec["audiences"] = spec.get("audiences") or [ISSUER]
    spec.setdefault("boundObjectRef", None)


def _status(
    call: Call, account: JsonObject, bound: Sequence[Bound], spec: JsonObject, now: datetime
) -> JsonObject:
    lasts_s, audiences = spec["expirationSeconds"], spec["audiences"]
    token_id = call.services.rng.uuid4()
    if (
        lasts_s == _PROJECTED_S
        and set(audiences) == {ISSUER}
        and any(one.kind == "pod" for one in bound)
    ):
        made = claims.of_request(account, bound, audiences, now, _EXTENDED_S, token_id, lasts_s)
    else:
        made = claims.of_request(account, bound, audiences, now, lasts_s, token_id)
    return {
        "token": call.services.tokens.issue(made),
        "expirationTimestamp": format_time(now + timedelta(seconds=lasts_s)),
    }


def _check_place(meta: JsonObject, namespace: str, name: str) -> None:
    """Name and namespace of the body, if it says any, are those of the account."""
    for key, wanted in (("name", name), ("namespace", namespace)):
        given = meta.get(key)
        if given and given != wanted:
            raise _invalid(
                f"metadata.{key}", quoted(given),
                f"must match the service account {key} if specified", name,
            )  # fmt: skip


def _check_expiration(seconds: int) -> None:
    if seconds < _SHORTEST_S:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST_S:
        why = "may not specify a duration larger than 2^32 seconds"
    else:
        return
    raise _invalid("spec.expirationSeconds", str(seconds), why, "")


def _invalid(field: str, value: str, why: str, name: str) -> errors.Invalid:
    cause = Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)
    return errors.invalid(_GROUP, "TokenRequest", name, [cause])


def _conflict(group: str, kind: str, name: str, why: str) -> errors.Conflict:
    details = {"name": name, "group": group, "kind": kind}
    what = f"{kind}.{group}" if group else kind
    return errors.Conflict(
        f"Operation cannot be fulfilled on {what} {quoted(name)}: {why}",
        details={key: value for key, value in details.items() if value},
    )


_BINDABLE = {"Pod": kinds.PODS, "Node": kinds.NODES, "Secret": kinds.SECRETS}


def _bound(reference: JsonObject | None, account: JsonObject, lookup: Lookup) -> list[Bound]:
    """What a token is bound to; NotFound, BadRequest or Conflict if it cannot be."""
    if reference is None:
        return []
    group, version, kind = _group_version_kind(reference)
    resource = None if group else _BINDABLE.get(kind)
    if resource is None:
        raise errors.BadRequest(
            f"cannot bind token to object of type {group}/{version}, Kind={kind}"
        )
    name, account_name = reference.get("name", ""), account["metadata"]["name"]
    namespace = account["metadata"]["namespace"] if resource.namespaced else ""
    stored = lookup.get(resource, namespace, name)
    if stored is None:
        raise errors.not_found(resource, name)
    spec = stored.get("spec") or {}
    if kind == "Pod" and spec.get("serviceAccountName", "") != account_name:
        raise errors.BadRequest(
            f"cannot bind token for serviceaccount {quoted(account_name)} to pod running with "
            "different serviceaccount name."
        )
    uid, wanted = stored["metadata"]["uid"], reference.get("uid") or ""
    if wanted not in ("", uid):
        raise _conflict(
            "", kind, name,
            f"the UID in the bound object reference ({wanted}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )  # fmt: skip
    bound = [Bound(kind.lower(), name, uid)]
    if kind == "Pod" and (node := spec.get("nodeName")):
        found = lookup.get(kinds.NODES, "", node)
        bound.append(Bound("node", node, found["metadata"]["uid"] if found else ""))
    return bound


def _group_version_kind(reference: JsonObject) -> tuple[str, str, str]:
    """Of an object reference; as Go's schema.FromAPIVersionAndKind, which knows no errors."""
    kind = reference.get("kind") or ""
    group, slash, version = (reference.get("apiVersion") or "").rpartition("/")
    if "/" in group:
        return "", "", kind
    return (group, version, kind) if slash else ("", version, kind)
