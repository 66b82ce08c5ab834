"""What a request needs before anything is done: that its user may do what it asks; else Forbidden.

Members of SUPERUSERS may do everything; for them not even the question is made.
"""

from kubeherd.cluster.apiserver.access.authz import questions
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes, refusal
from kubeherd.cluster.apiserver.access.authz.authorizer import SUPERUSERS, Authorizer
from kubeherd.cluster.apiserver.edge.messages import ApiRequest
from kubeherd.cluster.apiserver.edge.routing import Route


def for_route(authorizer: Authorizer, request: ApiRequest, route: Route) -> None:
    """For a request about resources that are served."""
    if SUPERUSERS not in request.user.groups:
        _require(authorizer, request, questions.of_route(request, route))


def for_unknown(authorizer: Authorizer, request: ApiRequest) -> None:
    """For one about resources that are not."""
    if SUPERUSERS not in request.user.groups:
        _require(authorizer, request, questions.of_unknown(request))


def for_path(authorizer: Authorizer, request: ApiRequest) -> None:
    """For one about no resources at all."""
    if SUPERUSERS not in request.user.groups:
        _require(authorizer, request, questions.of_path(request))


def _require(authorizer: Authorizer, request: ApiRequest, attributes: Attributes) -> None:
    decision = authorizer.authorize(attributes)
    if request.audited is not None:
        request.audited.annotations |= {
            "authorization.k8s.io/decision": "allow" if decision.allowed else "forbid",
            "authorization.k8s.io/reason": decision.reason,
        }
    if not decision.allowed:
        raise refusal(attributes, decision.reason)
