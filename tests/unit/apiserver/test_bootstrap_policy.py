"""The roles and bindings that exist from the start, against what a real v1.36 has."""

from typing import Any

import pytest
from apicluster import Cluster, api_cluster

from kubeherd.cluster.apiserver.access.authz import policy
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.rng import Rng

RBAC = "/apis/rbac.authorization.k8s.io/v1"
SUBJECT = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


async def _names(cluster: Cluster, path: str) -> list[str]:
    items = (await cluster.get(f"{RBAC}/{path}")).tree["items"]
    return [
        item["metadata"]["name"] for item in items if "kubeherd" not in item["metadata"]["name"]
    ]


async def test_all_of_the_policy_is_there(cluster: Cluster) -> None:
    roles = await _names(cluster, "clusterroles")
    assert len(roles) == 70
    assert sum(name.startswith("system:controller:") for name in roles) == 39
    assert len(await _names(cluster, "clusterrolebindings")) == 51
    assert await _names(cluster, "namespaces/kube-system/roles") == [
        "extension-apiserver-authentication-reader",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-scheduler",
        "system:controller:bootstrap-signer",
        "system:controller:cloud-provider",
        "system:controller:token-cleaner",
    ]
    assert await _names(cluster, "namespaces/kube-public/rolebindings") == [
        "system:controller:bootstrap-signer"
    ]


async def test_every_binding_refers_to_a_role() -> None:
    objects = policy.objects()
    for bindings, roles in (("clusterRoleBindings", "clusterRoles"), ("roleBindings", "roles")):
        known = {
            (role["metadata"].get("namespace"), role["metadata"]["name"]) for role in objects[roles]
        }
        for binding in objects[bindings]:
            name = binding["roleRef"]["name"]
            assert (binding["metadata"].get("namespace"), name) in known


def test_the_names_are_those_of_the_objects() -> None:
    assert list(policy.names()) == [
        (key, tree["metadata"].get("namespace", ""), tree["metadata"]["name"])
        for key, trees in policy.objects().items()
        for tree in trees
    ]


async def test_what_was_deleted_is_there_again_after_a_restart(cluster: Cluster) -> None:
    for path in ("clusterroles/cluster-admin", "clusterrolebindings/system:discovery"):
        await cluster.delete(f"{RBAC}/{path}")
        await cluster.api.bootstrap()
        assert (await cluster.get(f"{RBAC}/{path}")).status == 200


async def _allowed(cluster: Cluster, user: str, **attributes: str) -> Any:
    spec = {"user": user, "resourceAttributes": attributes}
    return (await cluster.post(SUBJECT, {"spec": spec})).tree["status"]


async def test_controllers_have_their_rights(cluster: Cluster) -> None:
    name = "daemon-set-controller"
    user = f"system:serviceaccount:kube-system:{name}"
    assert await _allowed(cluster, user, verb="create", resource="pods") == {
        "allowed": True,
        "reason": f'RBAC: allowed by ClusterRoleBinding "system:controller:{name}" of ClusterRole '
        f'"system:controller:{name}" to ServiceAccount "{name}/kube-system"',
    }
    assert await _allowed(cluster, user, verb="get", resource="secrets") == {"allowed": False}


@pytest.mark.parametrize(
    ("role", "verb", "resource", "given"),
    [
        ("view", "get", "pods", True),
        ("view", "get", "secrets", False),
        ("view", "update", "configmaps", False),
        ("edit", "get", "secrets", True),
        ("edit", "update", "configmaps", True),
        ("edit", "create", "rolebindings", False),
        ("admin", "update", "configmaps", True),
        ("admin", "create", "rolebindings", True),
        ("admin", "get", "nodes", False),
    ],
)
async def test_aggregated_roles_have_their_rules(
    cluster: Cluster, role: str, verb: str, resource: str, given: bool
) -> None:
    tree = (await cluster.get(f"{RBAC}/clusterroles/{role}")).tree
    assert len(tree["aggregationRule"]["clusterRoleSelectors"]) == 1
    found = [r for r in tree["rules"] if verb in r["verbs"] and resource in r["resources"]]
    assert bool(found) is given


async def test_nobody_gets_more_by_a_restart(cluster: Cluster) -> None:
    path = f"{RBAC}/clusterroles/view"
    tree = (await cluster.get(path)).tree
    assert (await cluster.put(path, {**tree, "rules": []})).status == 200
    restarted = ApiServer(cluster.store, cluster.clock, Rng(2))
    await restarted.bootstrap()
    assert (await cluster.get(path)).tree["rules"] is None


async def test_what_servers_need_to_authenticate_alike(tmp_path: Any) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    async with api_cluster() as cluster:
        maps = "/api/v1/namespaces/kube-system/configmaps"
        assert (await cluster.get(f"{maps}/extension-apiserver-authentication")).status == 404
        await ApiServer(cluster.store, cluster.clock, Rng(2), pki=tmp_path).bootstrap()
        made = await cluster.get(f"{maps}/extension-apiserver-authentication")
        assert made.tree["data"] == {"client-ca-file": "PEM"}
        since = await cluster.get(f"{maps}/kube-apiserver-legacy-service-account-token-tracking")
        assert since.tree["data"] == {"since": cluster.clock.now().date().isoformat()}
