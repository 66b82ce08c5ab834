"""The chain of authorizers, with a cache of the answers that only RBAC objects decide.

Invariants: a cached answer is forgotten whenever a role or binding changes (`invalidate`). The Node
authorizer's answers depend on pods and are never cached. The cache is bounded in bytes, for
what a question contains is chosen by who asks; those who show no credentials cache nothing.
"""

from sys import getsizeof

from kubeherd.cluster.apiserver.access.authz.attributes import Attributes, Decision
from kubeherd.cluster.apiserver.access.authz.node import NodeAuthorizer
from kubeherd.cluster.apiserver.access.authz.rbac import RbacAuthorizer, Rule
from kubeherd.cluster.apiserver.access.kubelets import node_of
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User
from kubeherd.cluster.apiserver.read.lookup import Lookup

SUPERUSERS = "system:masters"
CACHE_BYTES = 4 * 1024 * 1024
_LONGEST_BYTES = 4096
"""A question that takes more is answered anew each time."""
_ENTRY_BYTES = 500
"""What an entry takes besides its texts: tuples, the decision, the place in the table."""
_ALLOWED = Decision(True)

_Key = tuple[str, tuple[str, ...], str, str, str, str, str, str, str]


class Authorizer:
    """Answers whether a user may do something."""

    def __init__(self, lookup: Lookup) -> None:
        self._node = NodeAuthorizer(lookup)
        self._rbac = RbacAuthorizer(lookup)
        self._cache: dict[_Key, Decision] = {}
        self._cached_bytes = 0

    def invalidate(self) -> None:
        """A role or binding changed."""
        self._rbac.invalidate()
        self._forget()

    def authorize(self, attributes: Attributes) -> Decision:
        """Allowed if any authorizer allows; the reasons of the others are joined."""
        user = attributes.user
        if SUPERUSERS in user.groups:
            return _ALLOWED
        key = (
            user.name, user.groups, attributes.verb, attributes.group, attributes.resource,
            attributes.subresource, attributes.namespace,
            attributes.name if self._rbac.minds_name(attributes) else "", attributes.path,
        )  # fmt: skip
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        decision = self.decide(attributes)
        if user.name != ANONYMOUS.name and node_of(user) is None:
            self._remember(key, decision)
        return decision

    def decide(self, attributes: Attributes) -> Decision:
        """As `authorize`, worked out anew and not kept: for questions that are no requests."""
        user = attributes.user
        if SUPERUSERS in user.groups:
            return _ALLOWED
        by_node = self._node.authorize(attributes)
        if by_node.allowed:
            return by_node
        by_roles = self._rbac.authorize(attributes)
        if by_roles.allowed or not by_node.reason:
            return by_roles
        reasons = (by_node.reason, by_roles.reason)
        return Decision(False, ", ".join(reason for reason in reasons if reason))

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """All RBAC rules that apply to a user in a namespace (SelfSubjectRulesReview); what
        superusers may beyond them is no rule, as in Kubernetes."""
        return self._rbac.rules(user, namespace)

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a Role or ClusterRole (aggregated ones resolved), None if there is none."""
        return self._rbac.role_rules(kind, namespace, name)

    def _remember(self, key: _Key, decision: Decision) -> None:
        size_bytes = _size_bytes(key)
        if size_bytes > _LONGEST_BYTES:
            return
        if self._cached_bytes + size_bytes > CACHE_BYTES:
            self._forget()
        self._cache[key] = decision
        self._cached_bytes += size_bytes

    def _forget(self) -> None:
        self._cache.clear()
        self._cached_bytes = 0


def _size_bytes(key: _Key) -> int:
    name, groups, *rest = key
    return _ENTRY_BYTES + sum(map(getsizeof, (name, groups, *groups, *rest)))
