"""Who may do what: RBAC, the Node authorizer, NodeRestriction, admission (api-machinery 20)."""

import ssl
from datetime import UTC, datetime
from typing import Any

import pytest
from apicluster import ADMIN, BOB, MANAGER, MERGE, NODE, Cluster, config_map, pod

from kubeherd.cluster.apiserver.access.authn import (
    authenticated,
    identity_of,
    user_from_certificate,
)
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def test_certificate_names_user_and_groups() -> None:
    subject = ((("organizationName", "system:nodes"),), (("commonName", "system:node:n1"),))
    user = user_from_certificate({"subject": subject})
    assert user == authenticated("system:node:n1", ["system:nodes"])
    assert user_from_certificate(None) is ANONYMOUS
    assert user_from_certificate({"subject": ()}) is ANONYMOUS


@pytest.mark.parametrize("text", ["Jan  5 09:34:43 2018 GMT", "Dec 31 23:59:59 2049 GMT"])
def test_a_certificate_is_good_until_it_expires(text: str) -> None:
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
    assert identity_of({"subject": (), "notAfter": text}).expires == expires


async def test_anonymous_sees_health_and_version_only(cluster: Cluster) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert (await cluster.get(path, user=ANONYMOUS)).status == 200
    answer = await cluster.get("/apis", user=ANONYMOUS)
    assert (answer.status, answer.message) == (
        403,
        'forbidden: User "system:anonymous" cannot get path "/apis"',
    )
    for path in (CMS, "/metrics", "/openapi/v3", "/api/v1/nothing", "/"):
        assert (await cluster.get(path, user=ANONYMOUS)).status == 403


async def test_refusal_names_user_verb_and_place(cluster: Cluster) -> None:
    answer = await cluster.get(f"{CMS}/x", user=BOB)
    assert (answer.status, answer.message) == (
        403,
        'configmaps "x" is forbidden: User "bob" cannot get resource "configmaps" in API group "" '
        'in the namespace "default"',
    )
    answer = await cluster.get("/apis/apps/v1/daemonsets", user=BOB)
    assert answer.message == (
        'daemonsets.apps is forbidden: User "bob" cannot list resource "daemonsets" in API group '
        '"apps" at the cluster scope'
    )


async def test_roles_take_effect_and_lose_it(cluster: Cluster) -> None:
    role = {
        "metadata": {"name": "r"},
        "rules": [{
            "verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"],
            "resourceNames": ["a"],
        }],
    }  # fmt: skip
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await cluster.post(CMS, config_map("a"))
    assert (await cluster.get(f"{CMS}/a", user=BOB)).status == 403
    assert (await cluster.post(f"{RBAC}/namespaces/default/roles", role)).status == 201
    assert (await cluster.post(f"{RBAC}/namespaces/default/rolebindings", binding)).status == 201
    assert (await cluster.get(f"{CMS}/a", user=BOB)).status == 200
    assert (await cluster.get(f"{CMS}/b", user=BOB)).status == 403
    assert (
        await cluster.get("/api/v1/namespaces/kube-system/configmaps/a", user=BOB)
    ).status == 403
    listed = await cluster.get(CMS, query={"fieldSelector": "metadata.name=a"}, user=BOB)
    assert listed.status == 403
    await cluster.delete(f"{RBAC}/namespaces/default/rolebindings/r")
    assert (await cluster.get(f"{CMS}/a", user=BOB)).status == 403


async def test_aggregated_cluster_role_and_service_account(cluster: Cluster) -> None:
    part = {
        "metadata": {"name": "part", "labels": {"agg": "yes"}},
        "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["configmaps"]}],
    }
    whole = {
        "metadata": {"name": "whole"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"agg": "yes"}}]},
    }
    binding = {
        "metadata": {"name": "whole"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "whole",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "default"}],
    }
    for path, body in (
        ("clusterroles", part), ("clusterroles", whole), ("clusterrolebindings", binding)
    ):  # fmt: skip
        assert (await cluster.post(f"{RBAC}/{path}", body)).status == 201
    account = authenticated("system:serviceaccount:default:s")
    assert (await cluster.post(CMS, config_map("a"), user=account)).status == 201


async def test_the_controller_manager_may_do_its_work(cluster: Cluster) -> None:
    assert (await cluster.post(PODS, pod("p"), user=MANAGER)).status == 201
    assert (await cluster.get("/apis", user=MANAGER)).status == 200
    assert (await cluster.patch(f"{PODS}/p/status", {}, user=MANAGER)).status == 200
    binding = {"metadata": {"name": "p"}, "target": {"name": "n1"}}
    assert (await cluster.post(f"{PODS}/p/binding", binding, user=MANAGER)).status == 201
    assert (await cluster.delete(f"{PODS}/p?gracePeriodSeconds=0", user=MANAGER)).status == 200


# --- nodes ---


async def _node(cluster: Cluster, name: str = "n1", **meta: Any) -> Any:
    return await cluster.post("/api/v1/nodes", {"metadata": {"name": name, **meta}}, user=NODE)


async def test_a_kubelet_registers_and_sees_itself_only(cluster: Cluster) -> None:
    assert (await _node(cluster)).status == 201
    other = await _node(cluster, "n2")
    assert (other.status, other.message) == (
        403,
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
    )
    assert (await cluster.get("/api/v1/nodes/n1", user=NODE)).status == 200
    answer = await cluster.get("/api/v1/nodes", user=NODE)
    assert answer.message.endswith(
        "at the cluster scope: node 'n1' cannot read all nodes, only its own Node object"
    )
    own = await cluster.get("/api/v1/nodes", query={"fieldSelector": "metadata.name=n1"}, user=NODE)
    assert own.status == 200
    assert (await cluster.delete("/api/v1/nodes/n1", user=NODE)).status == 403


@pytest.mark.parametrize(
    ("labels", "status"),
    [
        ({"kubernetes.io/hostname": "n1", "node.kubernetes.io/x": "y", "own/label": "z"}, 201),
        ({"node-role.kubernetes.io/master": ""}, 403),
        ({"x.node-restriction.kubernetes.io/a": "b"}, 403),
    ],
)
async def test_labels_a_kubelet_may_set(
    cluster: Cluster, labels: dict[str, str], status: int
) -> None:
    answer = await _node(cluster, labels=labels)
    assert answer.status == status
    if status == 403:
        assert "is not allowed to set the following labels: " in answer.message


async def test_a_kubelet_may_not_change_taints(cluster: Cluster) -> None:
    await _node(cluster)
    answer = await cluster.patch("/api/v1/nodes/n1", {"spec": {"taints": []}}, user=NODE)
    assert answer.status == 403
    assert 'node "n1" is not allowed to modify taints' in answer.message
    status = await cluster.patch(
        "/api/v1/nodes/n1/status", {"status": {"capacity": {"cpu": "1"}}}, user=NODE
    )
    assert status.status == 200


async def test_a_kubelet_and_its_pods(cluster: Cluster) -> None:
    for name, node in (("mine", "n1"), ("theirs", "n2")):
        await cluster.post(PODS, pod(name, nodeName=node))
    refused = await cluster.get("/api/v1/pods", user=NODE)
    assert "can only list/watch pods with spec.nodeName field selector" in refused.message
    own = await cluster.get("/api/v1/pods", query={"fieldSelector": "spec.nodeName=n1"}, user=NODE)
    assert [item["metadata"]["name"] for item in own.tree["items"]] == ["mine"]
    foreign = {"fieldSelector": "spec.nodeName=n2"}
    assert (await cluster.get("/api/v1/pods", query=foreign, user=NODE)).status == 403
    assert (await cluster.get(f"{PODS}/mine", user=NODE)).status == 200
    answer = await cluster.get(f"{PODS}/theirs", user=NODE)
    assert "no relationship found between node 'n1' and this object" in answer.message
    patch = {"status": {"phase": "Running"}}
    assert (await cluster.patch(f"{PODS}/mine/status", patch, user=NODE)).status == 200
    assert (await cluster.patch(f"{PODS}/theirs/status", patch, user=NODE)).status == 403
    labelled = {"metadata": {"labels": {"a": "b"}}}
    answer = await cluster.patch(f"{PODS}/mine/status", labelled, user=NODE)
    assert "cannot update labels through pod status" in answer.message
    answer = await cluster.delete(f"{PODS}/theirs", user=NODE)
    assert "can only delete pods with spec.nodeName set to itself" in answer.message
    assert (await cluster.delete(f"{PODS}/mine?gracePeriodSeconds=0", user=NODE)).status == 200
    answer = await cluster.post(PODS, pod("new", nodeName="n1"), user=NODE)
    assert "can only create mirror pods" in answer.message


async def test_a_kubelet_reads_what_its_pods_refer_to(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("used"))
    await cluster.post(CMS, config_map("unused"))
    volumes = [{"name": "v", "configMap": {"name": "used"}}]
    await cluster.post(PODS, pod("mine", nodeName="n1", volumes=volumes))
    assert (await cluster.get(f"{CMS}/used", user=NODE)).status == 200
    assert (await cluster.get(f"{CMS}/unused", user=NODE)).status == 403
    assert (await cluster.get(CMS, user=NODE)).status == 403


async def test_a_kubelet_renews_its_own_lease(cluster: Cluster) -> None:
    lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}
    created = await cluster.post(LEASES, lease, user=NODE)
    assert created.status == 201
    assert (await cluster.put(f"{LEASES}/n1", created.tree, user=NODE)).status == 200
    other = await cluster.get(f"{LEASES}/n2", user=NODE)
    assert "can only access node lease with the same name as the requesting node" in other.message
    created = await cluster.post(LEASES, {"metadata": {"name": "n2"}}, user=NODE)
    assert created.status == 403
    elsewhere = await cluster.get(LEASES.replace("kube-node-lease", "default"), user=NODE)
    assert elsewhere.status == 403


async def test_a_fleet_agent_is_the_kubelet_of_any_node_and_nothing_more(cluster: Cluster) -> None:
    fleet = authenticated("kubeherd:agent:agent-0", ["kubeherd:fleet-agents"])
    for name in ("n1", "n2"):
        node = {"metadata": {"name": name}}
        assert (await cluster.post("/api/v1/nodes", node, user=fleet)).status == 201
        assert (await cluster.patch(f"/api/v1/nodes/{name}/status", {}, user=fleet)).status == 200
        lease = await cluster.post(LEASES, {"metadata": {"name": name}}, user=fleet)
        assert (await cluster.put(f"{LEASES}/{name}", lease.tree, user=fleet)).status == 200
    await cluster.post(PODS, pod("p", nodeName="n1"))
    assert (await cluster.get("/api/v1/pods", user=fleet)).status == 200
    assert (await cluster.patch(f"{PODS}/p/status", {}, user=fleet)).status == 200
    assert (await cluster.post(PODS, pod("new"), user=fleet)).status == 403
    uid = (await cluster.get("/api/v1/nodes/n1")).tree["metadata"]["uid"]
    mirror = pod("m", nodeName="n1", automountServiceAccountToken=False)
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "hash"}
    mirror["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
    ]
    assert (await cluster.post(PODS, mirror, user=fleet)).status == 201
    assert (await cluster.delete(f"{PODS}/p?gracePeriodSeconds=0", user=fleet)).status == 200
    assert (await cluster.delete("/api/v1/nodes/n1", user=fleet)).status == 403
    assert (await cluster.get("/api/v1/secrets", user=fleet)).status == 403
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    assert (await cluster.get(f"{claims}/none", user=fleet)).status == 404
    assert (await cluster.get(claims, user=fleet)).status == 403


FLEET = authenticated("kubeherd:agent:agent-0", ["kubeherd:fleet-agents"])


async def test_a_fleet_agent_is_held_to_the_restrictions_of_kubelets(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        await cluster.post("/api/v1/nodes", {"metadata": {"name": name}}, user=FLEET)
    await cluster.post(PODS, pod("free", schedulingGates=[{"name": "a.b/c"}]))
    await cluster.post(PODS, pod("bound", nodeName="n1"))
    lease = {"metadata": {"name": "n1"}}
    elsewhere = LEASES.replace("kube-node-lease", "kube-system")
    own = 'fleet agent "kubeherd:agent:agent-0"'
    for method, path, body, why in (
        ("DELETE", f"{PODS}/free", None,
         f"{own} can only delete pods with spec.nodeName set to itself"),
        ("PATCH", f"{PODS}/free/status", {"status": {"phase": "Failed"}},
         f"{own} can only update pod status for pods with spec.nodeName set to itself"),
        ("PATCH", f"{PODS}/bound/status", {"metadata": {"labels": {"a": "b"}}},
         f"{own} cannot update labels through pod status"),
        ("PATCH", "/api/v1/nodes/n2", {"spec": {"taints": []}},
         f"{own} is not allowed to modify taints"),
        ("PATCH", "/api/v1/nodes/n2", {"metadata": {"labels": {"node-role.kubernetes.io/a": ""}}},
         "is not allowed to modify labels: node-role.kubernetes.io/a"),
        ("POST", elsewhere, lease, ""),
        ("GET", elsewhere, None, ""),
        ("POST", PODS, pod("new", nodeName="n1"), ""),
        ("DELETE", "/api/v1/nodes/n1", None, ""),
        ("PATCH", "/api/v1/namespaces/default", {}, ""),
        ("GET", "/api/v1/namespaces/default/secrets/s", None, ""),
        ("GET", "/api/v1/namespaces/default/configmaps/s", None, ""),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {}, ""),
        ("POST", f"{PODS}/bound/binding", {"target": {"name": "n2"}}, ""),
        ("POST", f"{PODS}/bound/eviction", {"metadata": {"name": "bound"}}, ""),
        ("PATCH", f"{PODS}/bound", {}, ""),
        ("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "r"}}, ""),
    ):  # fmt: skip
        content_type = MERGE if method == "PATCH" else "application/json"
        answer = await cluster.call(method, path, body, user=FLEET, content_type=content_type)
        assert (answer.status, answer.message.endswith(why)) == (403, True), answer.message
    assert (await cluster.post(LEASES, lease, user=FLEET)).status == 201
    assert (await cluster.patch(f"{PODS}/bound/status", {}, user=FLEET)).status == 200


async def test_restrictions_hold_for_a_fleet_with_more_rights(cluster: Cluster) -> None:
    """Admission, not RBAC: a store of an older version lets fleet agents write all leases."""
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "older"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": FLEET.groups[0], "apiGroup": group}],
    }
    await cluster.post(f"{RBAC}/clusterrolebindings", binding)
    path = LEASES.replace("kube-node-lease", "kube-system")
    refused = await cluster.post(path, {"metadata": {"name": "leader"}}, user=FLEET)
    assert refused.message.endswith(
        'can only access leases in the "kube-node-lease" system namespace'
    )
    refused = await cluster.post(PODS, pod("p"), user=FLEET)
    assert "can only create mirror pods" in refused.message


# --- admission ---


async def test_a_priority_class_gives_a_pod_its_priority(cluster: Cluster) -> None:
    tree = (await cluster.post(PODS, pod("p", priorityClassName="system-node-critical"))).tree
    assert tree["spec"]["priority"] == 2000001000
    answer = await cluster.post(PODS, pod("q", priorityClassName="ghost"))
    assert (answer.status, answer.message) == (
        403,
        'pods "q" is forbidden: no PriorityClass with name ghost was found',
    )
    answer = await cluster.post(PODS, pod("q", priority=5))
    assert answer.message == (
        'pods "q" is forbidden: the integer value of priority (5) must not be provided in pod '
        "spec; priority admission controller computed 0 from the given PriorityClass name"
    )
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    default = {"metadata": {"name": "d"}, "value": 7, "globalDefault": True}
    assert (await cluster.post(path, default)).status == 201
    assert (await cluster.post(PODS, pod("r"))).tree["spec"]["priority"] == 7
    second = await cluster.post(path, default | {"metadata": {"name": "e"}})
    assert "PriorityClass d is already marked as default" in second.message


async def test_limit_range_defaults(cluster: Cluster) -> None:
    limits = [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}]
    path = "/api/v1/namespaces/default/limitranges"
    await cluster.post(path, {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    tree = (await cluster.post(PODS, pod("p"))).tree
    assert tree["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1"},
        "requests": {"cpu": "500m"},
    }
    assert tree["status"]["qosClass"] == "Burstable"
    assert ADMIN.groups[0] == "system:masters"


async def test_impersonation_needs_a_right_of_its_own(cluster: Cluster) -> None:
    answer = await cluster.get(CMS, impersonate_user="eve", impersonate_group="crew")
    assert answer.status == 403
    assert 'User "eve" cannot list resource "configmaps"' in answer.message
    as_master = {"impersonate_user": "eve", "impersonate_group": "system:masters"}
    assert (await cluster.get(CMS, **as_master)).status == 200
    refused = await cluster.get(CMS, user=BOB, impersonate_user="eve")
    assert refused.message == (
        'configmaps is forbidden: User "bob" cannot impersonate-on:user-info:list resource '
        '"configmaps" in API group "" in the namespace "default"'
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/apis/bogus.example.com/v1/things",
         'things.bogus.example.com is forbidden: User "bob" cannot list resource "things" in API '
         'group "bogus.example.com" at the cluster scope'),
        ("/apis/apps/v9/namespaces/x/daemonsets/y/status",
         'daemonsets.apps "y" is forbidden: User "bob" cannot get resource "daemonsets/status" in '
         'API group "apps" in the namespace "x"'),
        ("/api/v1/bogus?watch=1",
         'bogus is forbidden: User "bob" cannot watch resource "bogus" in API group "" at the '
         "cluster scope"),
        ("/api/v1/watch/namespaces/x/bogus/y",
         'bogus "y" is forbidden: User "bob" cannot watch resource "bogus" in API group "" in the '
         'namespace "x"'),
    ],
)  # fmt: skip
async def test_who_may_not_read_a_resource_does_not_learn_that_there_is_none(
    cluster: Cluster, path: str, text: str
) -> None:
    refused = await cluster.get(path, user=BOB)
    assert (refused.status, refused.message) == (403, text)
    assert (await cluster.get(path, user=ADMIN)).status == 404
    assert (await cluster.get("/apis/bogus.example.com/v1", user=BOB)).status == 404
