"""What each identity of a cluster may do, and what it may not: as the launcher names them.

The table of kubelets is `test_node_identity`'s. Nobody but the administrator is a superuser.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from apicluster import Cluster

from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.launcher import pki
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import Identity, inventory
from kubeherd.cluster.launcher.settings import Settings, add_nodes
from kubeherd.controller.accounts import ACCOUNTS

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ACCOUNT_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:kube-system")

Action = str
"""``verb [group/]resource[/subresource] [namespace/][name]``"""
_ACTION = re.compile(
    r"(?P<verb>\S+) (?:(?P<group>[a-z0-9.]+\.[a-z0-9.]+|apps|batch|policy)/)?(?P<resource>[a-z]+)"
    r"(?:/(?P<subresource>[a-z]+))?(?: (?P<namespace>[-a-z]+)/)?(?: ?(?P<name>[-:./a-z0-9]+))?"
)


def account(name: str) -> Identity:
    return Identity(f"system:serviceaccount:kube-system:{name}", ACCOUNT_GROUPS)


NOT_EVEN_ONE = (
    "create rbac.authorization.k8s.io/clusterrolebindings",
    "update rbac.authorization.k8s.io/clusterroles admin",
    "escalate rbac.authorization.k8s.io/clusterroles admin",
    "bind rbac.authorization.k8s.io/clusterroles admin",
    "impersonate users kubernetes-admin",
    "impersonate groups system:masters",
    "delete nodes",
    "create pods/exec",
)
"""What would lead to everything, and is nobody's; a person who debugs execs."""

MAY: dict[Identity, tuple[list[Action], list[Action]]] = {
    pki.CONTROLLER_MANAGER: (
        [
            "list pods", "watch apps/daemonsets", "list secrets", "list nodes",
            "update coordination.k8s.io/leases kube-system/kube-controller-manager",
            "create serviceaccounts/token", "create events", "create serviceaccounts",
            "create authorization.k8s.io/subjectaccessreviews", "update secrets",
        ],
        [
            "create pods", "delete pods", "update nodes", "patch nodes/status",
            "create pods/binding", "update apps/daemonsets/status", "get apps/daemonsets",
            "update coordination.k8s.io/leases kube-node-lease/node-0", "delete namespaces",
            "approve certificates.k8s.io/signers kubernetes.io/kube-apiserver-client",
            "sign certificates.k8s.io/signers kubernetes.io/kube-apiserver-client",
            "delete serviceaccounts", "deletecollection pods", "create configmaps",
        ],
    ),
    pki.SCHEDULER: (
        [
            "create pods/binding", "patch pods/status", "delete pods", "list nodes", "watch pods",
            "update persistentvolumes", "patch persistentvolumeclaims", "create events",
            "update coordination.k8s.io/leases kube-system/kube-scheduler",
        ],
        [
            "create pods", "update nodes", "get secrets", "list secrets", "list configmaps",
            "update coordination.k8s.io/leases kube-node-lease/node-0",
            "create serviceaccounts/token",
        ],
    ),
    pki.fleet_identity("agent-0"): (
        [
            "create nodes", "patch nodes/status", "patch pods/status", "list pods", "delete pods",
            "update coordination.k8s.io/leases kube-node-lease/node-0", "create events",
            "get persistentvolumeclaims",
        ],
        [
            "get secrets", "list secrets", "get configmaps", "create pods/binding", "update pods",
            "update coordination.k8s.io/leases kube-system/kube-controller-manager",
            "create serviceaccounts/token", "list persistentvolumeclaims",
        ],
    ),
    account("daemon-set-controller"): (
        ["create pods", "delete pods", "update apps/daemonsets/status", "list nodes"],
        ["get secrets", "update nodes", "list secrets", "delete apps/daemonsets"],
    ),
    account("node-controller"): (
        ["patch nodes", "update nodes/status", "update pods/status", "delete pods", "delete nodes"],
        ["create pods", "get secrets", "update apps/daemonsets/status"],
    ),
    account("certificate-controller"): (
        [
            "update certificates.k8s.io/certificatesigningrequests/approval",
            "update certificates.k8s.io/certificatesigningrequests/status",
            "approve certificates.k8s.io/signers kubernetes.io/kube-apiserver-client-kubelet",
            "sign certificates.k8s.io/signers kubernetes.io/kube-apiserver-client",
        ],
        [
            "approve certificates.k8s.io/signers kubernetes.io/kube-apiserver-client",
            "get secrets", "create pods",
        ],
    ),
    Identity("jane", ("devs",)): (
        ["create authorization.k8s.io/selfsubjectaccessreviews"],
        ["list pods", "get namespaces default", "create pods", "list secrets"],
    ),
}  # fmt: skip


async def allowed(cluster: Cluster, identity: Identity, action: Action) -> bool:
    words = _ACTION.fullmatch(action)
    assert words, action
    attributes = {key: value for key, value in words.groupdict().items() if value}
    groups = [*identity.groups, "system:authenticated"]
    spec = {"user": identity.user, "groups": groups, "resourceAttributes": attributes}
    answer = await cluster.post(REVIEWS, {"spec": spec})
    assert answer.status == 201, answer.tree
    return bool(answer.tree["status"]["allowed"])


@pytest.mark.parametrize("identity", MAY, ids=lambda identity: identity.user)
async def test_an_identity_may_what_it_needs_and_no_more(
    cluster: Cluster, identity: Identity
) -> None:
    may, may_not = MAY[identity]
    for action in may:
        assert await allowed(cluster, identity, action), action
    for action in (*may_not, *NOT_EVEN_ONE):
        if action not in may:
            assert not await allowed(cluster, identity, action), action


async def test_no_account_of_a_controller_leads_to_everything(cluster: Cluster) -> None:
    """But those whose work it is, as upstream."""
    leads: dict[str, set[str]] = {
        "clusterrole-aggregation-controller": {
            "update rbac.authorization.k8s.io/clusterroles admin",
            "escalate rbac.authorization.k8s.io/clusterroles admin",
        },
        "generic-garbage-collector": {
            "update rbac.authorization.k8s.io/clusterroles admin", "delete nodes",
        },
        "namespace-controller": {"delete nodes"},
        "node-controller": {"delete nodes"},
    }  # fmt: skip
    for name in sorted({*ACCOUNTS.values()}):
        found = {action for action in NOT_EVEN_ONE if await allowed(cluster, account(name), action)}
        assert found == leads.get(name, set()), name


async def test_what_a_controller_writes_is_not_tracked(cluster: Cluster) -> None:
    for name in sorted({*ACCOUNTS.values()}):
        user = authenticated(account(name).user, ACCOUNT_GROUPS)
        event = {
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        }
        made = await cluster.post("/api/v1/namespaces/default/events", event, user=user)
        if made.status != 403:  # few may not
            assert "managedFields" not in made.tree["metadata"], name
    other = authenticated("system:serviceaccount:kube-system:operator", ["system:masters"])
    event["metadata"] = {"name": "other"}
    made = await cluster.post("/api/v1/namespaces/default/events", event, user=other)
    assert made.tree["metadata"]["managedFields"]


def superusers(rundir: RunDir, settings: Settings) -> Iterator[str]:
    for item in inventory.all_items(rundir, settings):
        if "system:masters" in item.identity.groups:
            yield item.name


def test_only_the_administrator_is_a_superuser(tmp_path: Any) -> None:
    rundir = RunDir(tmp_path)
    for per_agent in (1, 2):
        settings = add_nodes(Settings(port=1, nodes_per_agent=per_agent), ["a", "b"])
        assert list(superusers(rundir, settings)) == ["admin"]
