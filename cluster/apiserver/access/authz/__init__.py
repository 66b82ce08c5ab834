"""Who may do what: system:masters, the Node authorizer, RBAC (spec api-machinery, section 20)."""

from kubeherd.cluster.apiserver.access.authz.attributes import Attributes, Decision
from kubeherd.cluster.apiserver.access.authz.authorizer import Authorizer

__all__ = ["Attributes", "Authorizer", "Decision"]
