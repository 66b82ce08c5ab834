"""The roles and bindings that exist from the start, against what a real v1.36 has."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from apicluster import Cluster, api_cluster

from kubeherd.cluster.api import validation
from kubeherd.cluster.apiserver import bootstrap
from kubeherd.cluster.apiserver.access.authz import policy
from kubeherd.cluster.apiserver.access.authz.reconciliation import AUTO_UPDATE, reconciled
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


UPSTREAM = "9dbca113590a59a6c918de7d4e8cdef386efcdd9782ae055756126c3a03fc91e"
"""The digest of `facts` of all objects in Kubernetes' v1.36 bootstrappolicy/testdata, sorted."""
OWN = {
    "ClusterRole": {"kubeherd:controller-managers", "kubeherd:fleet-agents"},
    "ClusterRoleBinding": {"kubeherd:controller-managers", "kubeherd:fleet-agents"},
    "Role": {"kubeherd:fleet-agents"},
    "RoleBinding": {"kubeherd:fleet-agents"},
}
"""What kubeherd adds, by kind."""


def facts(item: Any) -> str:
    """What a role or binding says, without what the server notes on it."""
    meta = item["metadata"]
    said = {
        "kind": item["kind"],
        "name": meta["name"],
        "namespace": meta.get("namespace", ""),
        "labels": meta["labels"],
        "annotations": meta["annotations"],
        "rules": [] if item.get("aggregationRule") else item.get("rules") or [],
        "aggregation": item.get("aggregationRule"),
        "roleRef": item.get("roleRef"),
        "subjects": item.get("subjects") or [],
    }
    return json.dumps(said, sort_keys=True)


async def test_the_policy_is_upstreams_word_for_word(cluster: Cluster) -> None:
    texts: list[str] = []
    own: dict[str, set[str]] = {}
    for kind in OWN:
        for item in (await cluster.get(f"{RBAC}/{kind.lower()}s")).tree["items"]:
            name = item["metadata"]["name"]
            if name.startswith("kubeherd:"):
                own.setdefault(kind, set()).add(name)
            else:
                texts.append(facts({"kind": kind, **item}))
    assert sha256("\n".join(sorted(texts)).encode()).hexdigest() == UPSTREAM
    assert own == OWN


async def test_every_binding_refers_to_a_role() -> None:
    objects = policy.objects()
    for bindings, roles in (("clusterRoleBindings", "clusterRoles"), ("roleBindings", "roles")):
        known = {
            (role["metadata"].get("namespace"), role["metadata"]["name"]) for role in objects[roles]
        }
        for binding in objects[bindings]:
            name = binding["roleRef"]["name"]
            assert (binding["metadata"].get("namespace"), name) in known


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


async def _restart(cluster: Cluster, pki: Any = None) -> None:
    """Another server over the same store."""
    await ApiServer(cluster.store, cluster.clock, Rng(2), pki=pki).bootstrap()


async def test_a_restart_changes_nothing_that_is_complete(cluster: Cluster) -> None:
    revision = cluster.store.revision
    await _restart(cluster)
    assert cluster.store.revision == revision


async def test_the_rules_of_an_aggregated_role_are_its_controllers(cluster: Cluster) -> None:
    path = f"{RBAC}/clusterroles/view"
    tree = (await cluster.get(path)).tree
    assert (await cluster.put(path, {**tree, "rules": []})).status == 200
    await _restart(cluster)
    assert (await cluster.get(path)).tree["rules"] is None


async def test_what_a_role_lacks_is_added_and_what_was_added_stays(cluster: Cluster) -> None:
    path = f"{RBAC}/clusterroles/system:node-problem-detector"
    tree = (await cluster.get(path)).tree
    own = {"verbs": ["get"], "apiGroups": [""], "resources": ["services"]}
    changed = {**tree, "rules": [own, *tree["rules"][1:]]}
    del changed["metadata"]["annotations"]
    changed["metadata"]["labels"] = {"kubernetes.io/bootstrapping": "mine"}
    assert (await cluster.put(path, changed)).status == 200
    await _restart(cluster)
    found = (await cluster.get(path)).tree
    # Upstream adds the smallest parts that are missing.
    assert found["rules"] == [*changed["rules"], *tree["rules"][:1]]
    assert found["metadata"]["annotations"] == {AUTO_UPDATE: "true"}
    assert found["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "mine"}


async def test_whoever_says_so_keeps_a_role_as_it_is(cluster: Cluster) -> None:
    path = f"{RBAC}/clusterroles/system:node-problem-detector"
    tree = (await cluster.get(path)).tree
    tree["metadata"]["annotations"] = {AUTO_UPDATE: "false"}
    assert (await cluster.put(path, {**tree, "rules": []})).status == 200
    await _restart(cluster)
    assert (await cluster.get(path)).tree["rules"] is None


async def test_a_binding_gets_its_subjects_and_its_role_back(cluster: Cluster) -> None:
    path = f"{RBAC}/clusterrolebindings/system:kube-scheduler"
    tree = (await cluster.get(path)).tree
    bob = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}
    assert (await cluster.put(path, {**tree, "subjects": [bob]})).status == 200
    await _restart(cluster)
    assert (await cluster.get(path)).tree["subjects"] == [bob, *tree["subjects"]]

    await cluster.delete(path)
    other = {**tree["roleRef"], "name": "cluster-admin"}
    other_meta = {"name": "system:kube-scheduler"}
    made = await cluster.post(
        f"{RBAC}/clusterrolebindings", {"metadata": other_meta, "roleRef": other}
    )
    assert made.status == 201
    await _restart(cluster)
    found = (await cluster.get(path)).tree
    assert (found["roleRef"], found["subjects"]) == (tree["roleRef"], tree["subjects"])


async def test_what_the_controller_manager_once_might_it_may_no_more(cluster: Cluster) -> None:
    name = {"metadata": {"name": "kubeherd:controller-manager"}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    manager = {"kind": "User", "name": "system:kube-controller-manager"}
    await cluster.post(f"{RBAC}/clusterroles", name)
    made = await cluster.post(
        f"{RBAC}/clusterrolebindings", {**name, "roleRef": role, "subjects": [manager]}
    )
    assert made.status == 201
    await _restart(cluster)
    for path in ("clusterroles", "clusterrolebindings"):
        assert (await cluster.get(f"{RBAC}/{path}/kubeherd:controller-manager")).status == 404


async def test_a_role_that_is_gone_comes_back(cluster: Cluster) -> None:
    path = f"{RBAC}/namespaces/kube-system/roles/system:controller:token-cleaner"
    tree = (await cluster.get(path)).tree
    assert (await cluster.delete(path)).status == 200
    await _restart(cluster)
    assert (await cluster.get(path)).tree["rules"] == tree["rules"]


def test_aggregation_is_reconciled_by_selectors() -> None:
    def role(*names: str, rules: Any = None) -> Any:
        selectors = [{"matchLabels": {name: "true"}} for name in names]
        meta: Any = {"name": "x"}
        return {
            "metadata": meta,
            "rules": rules,
            **({"aggregationRule": {"clusterRoleSelectors": selectors}} if names else {}),
        }

    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    assert reconciled(role("a"), role("b", rules=[rule])) == role("a", "b")
    assert reconciled(role("a", "b"), role("b")) == role("a", "b")
    assert reconciled(role("a"), role(rules=[rule])) == role(rules=[rule])


def test_rules_too_many_to_compare_are_added_as_they_are() -> None:
    many = [{"verbs": ["get"], "apiGroups": [""], "resources": [f"r{n}"]} for n in range(200_000)]
    wanted = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["r1"]}
    found = reconciled(
        {"metadata": {"name": "x"}, "rules": many}, {"metadata": {"name": "x"}, "rules": [wanted]}
    )
    assert found["rules"][-1] == wanted


async def test_what_servers_need_to_authenticate_alike(tmp_path: Any) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    async with api_cluster() as cluster:
        maps = "/api/v1/namespaces/kube-system/configmaps"
        assert (await cluster.get(f"{maps}/extension-apiserver-authentication")).status == 404
        await _restart(cluster, tmp_path)
        made = await cluster.get(f"{maps}/extension-apiserver-authentication")
        assert made.tree["data"] == {"client-ca-file": "PEM"}
        since = await cluster.get(f"{maps}/kube-apiserver-legacy-service-account-token-tracking")
        assert since.tree["data"] == {"since": cluster.clock.now().date().isoformat()}
        (tmp_path / "ca.crt").write_text("PEM of now")
        await _restart(cluster, tmp_path)
        both = await cluster.get(f"{maps}/extension-apiserver-authentication")
        assert both.tree["data"] == {"client-ca-file": "PEM\nPEM of now\n"}


async def test_all_that_every_cluster_has_is_valid(cluster: Cluster) -> None:
    resources = {resource for resource, _ in bootstrap.system_objects(datetime.now(UTC))}
    found = 0
    for resource in resources:
        prefix = f"/apis/{resource.group}" if resource.group else "/api"
        items = (await cluster.get(f"{prefix}/{resource.version}/{resource.plural}")).tree["items"]
        found += len(items)
        assert [validation.create(resource, tree) for tree in items] == [[]] * len(items)
    assert found > 150
