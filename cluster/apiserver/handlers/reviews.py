"""Access reviews and self reviews: questions to the authorizer, nothing is stored.

Source: spec api-machinery, section 20.
"""

from collections.abc import Awaitable, Callable

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authz import questions
from kubeherd.cluster.apiserver.access.kubelets import node_of
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, User
from kubeherd.cluster.apiserver.edge.responses import tree_response
from kubeherd.cluster.apiserver.handlers.services import Call


async def _review(call: Call) -> JsonObject:
    ctx = call.context()
    tree = await call.on_body(lambda: call.decode(ctx))
    tree.setdefault("spec", {})
    return tree


async def _answer(call: Call, tree: JsonObject, status: JsonObject) -> ApiResponse:
    tree["status"] = status
    return await call.on_body(lambda: tree_response(call.request, tree, call.negotiated, 201))


async def self_subject_access(call: Call) -> ApiResponse:
    """May I do this?"""
    tree = await _review(call)
    return await _answer(call, tree, _decide(call, call.request.user, tree["spec"]))


async def subject_access(call: Call) -> ApiResponse:
    """May that user do this?"""
    tree = await _review(call)
    spec = tree["spec"]
    if call.route.namespace:
        attributes = spec.get("resourceAttributes") or {}
        if attributes.get("namespace", "") != call.route.namespace:
            raise errors.BadRequest(
                "spec.resourceAttributes.namespace must match the namespace of the review"
            )
    if not spec.get("user") and not spec.get("groups"):
        raise errors.BadRequest("at least one of user or group must be specified")
    user = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
    return await _answer(call, tree, _decide(call, user, spec))


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
    return await _answer(call, tree, status)


async def self_subject(call: Call) -> ApiResponse:
    """Who am I? (``kubectl auth whoami``)"""
    tree = await _review(call)
    tree.pop("spec", None)
    return await _answer(call, tree, {"userInfo": call.request.user.to_json()})


async def token_review(call: Call) -> ApiResponse:
    """Whose token is this? kubeherd issues none, so: nobody's."""
    tree = await _review(call)
    status: JsonObject = {"authenticated": False, "user": {}, "error": "invalid bearer token"}
    return await _answer(call, tree, status)


HANDLERS: dict[str, Callable[[Call], Awaitable[ApiResponse]]] = {
    "selfsubjectaccessreviews.authorization.k8s.io": self_subject_access,
    "subjectaccessreviews.authorization.k8s.io": subject_access,
    "localsubjectaccessreviews.authorization.k8s.io": subject_access,
    "selfsubjectrulesreviews.authorization.k8s.io": self_subject_rules,
    "selfsubjectreviews.authentication.k8s.io": self_subject,
    "tokenreviews.authentication.k8s.io": token_review,
}
