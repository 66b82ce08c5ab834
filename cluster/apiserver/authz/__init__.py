"""Who may do what: system:masters, the Node authorizer, RBAC (spec api-machinery, section 20)."""

from cluster.apiserver.authz.attributes import Attributes, Decision
from cluster.apiserver.authz.authorizer import Authorizer

__all__ = ["Attributes", "Authorizer", "Decision"]
