"""Access reviews, self reviews, token reviews: questions about rights and identity; nothing is
stored.

Source: spec api-machinery, section 20; Kubernetes v1.36, pkg/registry/{authorization,
authentication}. The two kinds of self review whose answer is made anew say nothing of the question.
"""

from collections.abc import Awaitable, Callable

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.managedfields import ownership
from kubeherd.cluster.api.validation.cluster import reviews as validation
from kubeherd.cluster.apiserver.access.authz import questions
from kubeherd.cluster.apiserver.access.kubelets import node_of
from kubeherd.cluster.apiserver.access.tokens.claims import ISSUER, Invalid
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, User
from kubeherd.cluster.apiserver.edge.responses import tree_response
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write.preconditions import check_namespace


async def _review(call: Call) -> JsonObject:
    """The question as it was sent, with its managedFields."""
    ctx, resource = call.context(), call.kind.resource
    tree = await call.on_body(lambda: call.decode(ctx))
    tree["spec"] = tree.get("spec") or {}
    check_namespace(resource, tree["metadata"], call.route.namespace)
    entries = ownership.record_update(
        resource, None, tree, manager=ctx.field_manager, time=ctx.timestamp
    )
    if entries:
        tree["metadata"]["managedFields"] = entries
    return tree


async def _answer(call: Call, tree: JsonObject, status: JsonObject) -> ApiResponse:
    tree["status"] = status
    return await call.on_body(lambda: tree_response(call.request, tree, call.negotiated, 201))


async def self_subject_access(call: Call) -> ApiResponse:
    """May I do this?"""
    tree = await _review(call)
    _refuse(call, validation.self_subject_access(tree))
    return await _answer(call, tree, _decide(call, call.request.user, tree["spec"]))


async def subject_access(call: Call) -> ApiResponse:
    """May that user do this?"""
    tree = await _review(call)
    local = bool(call.route.namespace)
    check = validation.local_subject_access if local else validation.subject_access
    _refuse(call, check(tree))
    spec = tree["spec"]
    extra = tuple((key, tuple(values or ())) for key, values in (spec.get("extra") or {}).items())
    groups = tuple(spec.get("groups") or ())
    user = User(spec.get("user", ""), groups, spec.get("uid", ""), extra)
    return await _answer(call, tree, _decide(call, user, spec))


def _refuse(call: Call, causes: list[Cause]) -> None:
    """Invalid, if there are causes. The internal type says no kind, so neither does the text."""
    if causes:
        error = errors.invalid(call.kind.resource.group, "", "", causes)
        del (error.details or {})["kind"]
        raise error


def _decide(call: Call, user: User, spec: JsonObject) -> JsonObject:
    decision = call.services.registry.authorizer.decide(questions.of_review(user, spec))
    status: JsonObject = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


async def self_subject_rules(call: Call) -> ApiResponse:
    """All that I may do in a namespace."""
    tree = await _review(call)
    namespace = tree["spec"].get("namespace", "")
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    resources: list[JsonObject] = []
    paths: list[JsonObject] = []
    for rule in call.services.registry.authorizer.rules(call.request.user, namespace):
        (paths if rule.urls else resources).append(rule.to_json())
    status: JsonObject = {"resourceRules": resources, "nonResourceRules": paths}
    status["incomplete"] = node_of(call.request.user) is not None
    if status["incomplete"]:
        status["evaluationError"] = "node authorizer does not support user rule resolution"
    tree.update(metadata={}, spec={})
    return await _answer(call, tree, status)


async def self_subject(call: Call) -> ApiResponse:
    """Who am I? (``kubectl auth whoami``)"""
    tree = await _review(call)
    del tree["spec"]
    tree["metadata"] = {"creationTimestamp": call.context().timestamp}
    return await _answer(call, tree, {"userInfo": call.request.user.to_json()})


async def token_review(call: Call) -> ApiResponse:
    """Whose token is this?"""
    tree = await _review(call)
    spec = tree["spec"]
    # As from a header, where a space ends the token.
    token = spec.get("token", "").strip().partition(" ")[0]
    if not spec.get("token"):
        raise errors.BadRequest("token is required for TokenReview in authentication")
    wanted = spec.get("audiences") or [ISSUER]
    try:
        user, audiences = call.services.tokens.authenticate(token, wanted)
    except Invalid as error:
        return await _answer(call, tree, {"user": {}, "error": str(error)})
    status: JsonObject = {"authenticated": True, "user": user.to_json(), "audiences": audiences}
    return await _answer(call, tree, status)


HANDLERS: dict[str, Callable[[Call], Awaitable[ApiResponse]]] = {
    "selfsubjectaccessreviews.authorization.k8s.io": self_subject_access,
    "subjectaccessreviews.authorization.k8s.io": subject_access,
    "localsubjectaccessreviews.authorization.k8s.io": subject_access,
    "selfsubjectrulesreviews.authorization.k8s.io": self_subject_rules,
    "selfsubjectreviews.authentication.k8s.io": self_subject,
    "tokenreviews.authentication.k8s.io": token_review,
}
