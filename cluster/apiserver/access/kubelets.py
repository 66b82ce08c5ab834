"""Whose nodes a user may act for: the identities of kubelets and of fleet agents.

Source: Kubernetes v1.36, pkg/auth/nodeidentifier/default.go. A kubelet is ``system:node:<name>`` in
the group ``system:nodes``. kubeherd adds agents with many nodes in one process, which act for any
node; the same restrictions hold for them, with "its own node" read as "a node".
"""

from typing import NamedTuple

from kubeherd.cluster.apiserver.edge.messages import User

NODE_USER_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
FLEET_AGENTS = "kubeherd:fleet-agents"
"""The group of agent processes with many nodes each. Kubernetes has no such thing: its Node
authorizer knows one node per identity, so RBAC allows them what kubelets need, on any node."""
LEASE_NAMESPACE = "kube-node-lease"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


class Kubelet(NamedTuple):
    """Who acts for nodes: `node` is the only one, or None for a fleet agent (any node)."""

    user_name: str
    node: str | None

    @property
    def shown(self) -> str:
        """How refusals name it."""
        return f'fleet agent "{self.user_name}"' if self.node is None else f'node "{self.node}"'

    def owns(self, node_name: str) -> bool:
        """Whether it acts for the node of this name; "" is no node."""
        return bool(node_name) and self.node in (None, node_name)


def node_of(user: User) -> str | None:
    """The node whose kubelet `user` is: "" if the name is missing, None for all other users."""
    if user.name.startswith(NODE_USER_PREFIX) and NODES_GROUP in user.groups:
        return user.name.removeprefix(NODE_USER_PREFIX)
    return None


def acting(user: User) -> Kubelet | None:
    """The restrictions under which `user` writes, None for one who is no kubelet of any kind."""
    node = node_of(user)
    if node is not None:
        return Kubelet(user.name, node)
    return Kubelet(user.name, None) if FLEET_AGENTS in user.groups else None
