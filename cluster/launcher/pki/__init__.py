"""The cluster's certificates and keys: its own CA, the API server's, one identity per client, and
the key that signs service account tokens.

Who a client is, is in its certificate: the common name is the user, organisations are the groups
(Kubernetes' X.509 client authentication). `authority` issues, `lifetimes` says when a certificate
is renewed, `kubeconfigs` writes identities for clients, `inventory` knows which certificates there
are in a directory, `clusterpki` keeps all of them good.
"""

from kubeherd.cluster.launcher.pki.authority import (
    ADMIN,
    CONTROLLER_MANAGER,
    SCHEDULER,
    Authority,
    Identity,
    KeyPair,
    fleet_identity,
    node_identity,
)
from kubeherd.cluster.launcher.pki.clusterpki import ClusterPki
from kubeherd.cluster.launcher.pki.kubeconfigs import kubeconfig

__all__ = [
    "ADMIN",
    "CONTROLLER_MANAGER",
    "SCHEDULER",
    "Authority",
    "ClusterPki",
    "Identity",
    "KeyPair",
    "fleet_identity",
    "kubeconfig",
    "node_identity",
]
