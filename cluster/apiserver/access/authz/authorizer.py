"""The chain of authorizers, with a cache of the answers that only RBAC objects decide.

Invariant: a cached answer is forgotten whenever a role or binding changes (`invalidate`). The Node
authorizer's answers depend on pods and are never cached, except those that depend on nothing.
"""

from collections.abc import Mapping

from kubeherd.cluster.apiserver.access.authz.attributes import Attributes, Decision
from kubeherd.cluster.apiserver.access.authz.node import NodeAuthorizer
from kubeherd.cluster.apiserver.access.authz.rbac import RbacAuthorizer, Rule
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup

SUPERUSERS = "system:masters"
_CACHE_LIMIT = 20_000
_ALLOWED = Decision(True)


class Authorizer:
    """Answers whether a user may do something."""

    def __init__(self, lookup: Lookup) -> None:
        self._node = NodeAuthorizer(lookup)
        self._rbac = RbacAuthorizer(lookup)
        self._cache: dict[Attributes, Decision] = {}

    def invalidate(self) -> None:
        """A role or binding changed."""
        self._rbac.invalidate()
        self._cache.clear()

    def authorize(self, attributes: Attributes) -> Decision:
        """Allowed if any authorizer allows; the reasons of the others are joined."""
        user = attributes.user
        if SUPERUSERS in user.groups:
            return _ALLOWED
        cached = self._cache.get(attributes)
        if cached is not None:
            return cached
        reasons: list[str] = []
        cacheable = True
        if "system:nodes" in user.groups:
            answer = self._node.authorize(attributes)
            cacheable = answer.cacheable
            decision = answer.decision
            if decision.allowed:
                return self._remember(attributes, decision) if cacheable else decision
            if decision.reason:
                reasons.append(decision.reason)
        decision = self._rbac.authorize(attributes)
        if not decision.allowed:
            if decision.reason:
                reasons.append(decision.reason)
            decision = Decision(False, ", ".join(reasons))
        return self._remember(attributes, decision) if cacheable else decision

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """All RBAC rules that apply to a user in a namespace (SelfSubjectRulesReview)."""
        if SUPERUSERS in user.groups:
            return [
                Rule(("*",), ("*",), ("*",), (), ()),
                Rule(("*",), (), (), (), ("*",)),
            ]
        return self._rbac.rules(user, namespace)

    def _remember(self, attributes: Attributes, decision: Decision) -> Decision:
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[attributes] = decision
        return decision


def attributes_from_spec(user: User, spec: Mapping[str, object]) -> Attributes:
    """The question of an access review: ``resourceAttributes`` or ``nonResourceAttributes``."""
    resource = spec.get("resourceAttributes")
    if isinstance(resource, Mapping):
        selector = resource.get("fieldSelector")
        raw = selector.get("rawSelector", "") if isinstance(selector, Mapping) else ""
        return Attributes(
            user=user,
            verb=str(resource.get("verb", "")),
            group=str(resource.get("group", "")),
            version=str(resource.get("version", "")),
            resource=str(resource.get("resource", "")),
            subresource=str(resource.get("subresource", "")),
            namespace=str(resource.get("namespace", "")),
            name=str(resource.get("name", "")),
            field_selector=str(raw),
        )
    path = spec.get("nonResourceAttributes")
    if not isinstance(path, Mapping):
        path = {}
    return Attributes(user=user, verb=str(path.get("verb", "")), path=str(path.get("path", "")))
