"""What the identity of a kubelet may do: every resource and verb, its own node and another's.

The tables are Kubernetes' v1.36 (plugin/pkg/auth/authorizer/node, rbac/bootstrappolicy NodeRules,
plugin/pkg/admission/noderestriction); what they do not name is refused.
"""

import base64
from itertools import product
from typing import Any

import pytest
from apicluster import ADMIN, MERGE, NODE, Cluster, pod
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.fields import FieldRequirement, FieldSelector
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.access.authz import Attributes
from kubeherd.cluster.apiserver.edge.messages import User

JSON = "application/json"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
ANY = {
    "events": "create update patch",
    "events.events.k8s.io": "create update patch",
    "services": "get list watch",
    "endpoints": "get",
    "csidrivers.storage.k8s.io": "get list watch",
    "runtimeclasses.node.k8s.io": "get list watch",
    "certificatesigningrequests.certificates.k8s.io": "create get list watch",
    "tokenreviews.authentication.k8s.io": "create",
    "subjectaccessreviews.authorization.k8s.io": "create",
    "localsubjectaccessreviews.authorization.k8s.io": "create",
    "nodes": "create update patch",
    "nodes/status": "update patch",
    "pods": "create delete",
    "pods/status": "update patch",
    "pods/eviction": "create",
    "csinodes.storage.k8s.io": "create",
    "resourceslices.resource.k8s.io": "create",
    "leases.coordination.k8s.io": "create",
}
"""Whatever the name is; admission looks at the rest."""
OWN = {
    "nodes": "get list watch",
    "pods": "get list watch",
    "secrets": "get list watch",
    "configmaps": "get list watch",
    "persistentvolumeclaims": "get",
    "persistentvolumeclaims/status": "update patch",
    "persistentvolumes": "get",
    "resourceclaims.resource.k8s.io": "get",
    "volumeattachments.storage.k8s.io": "get",
    "serviceaccounts": "get",
    "serviceaccounts/token": "create",
    "csinodes.storage.k8s.io": "get update patch delete",
    "resourceslices.resource.k8s.io": "get update patch delete",
    "leases.coordination.k8s.io": "get update patch delete",
}
"""Only with the name of what belongs to the node."""
SELECTED = {
    "pods": "list watch",
    "resourceslices.resource.k8s.io": "list watch deletecollection",
}
"""Without a name, if the field selector asks for the node."""

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
PODS = "/api/v1/namespaces/default/pods"
OTHER = authenticated("system:node:n2", ["system:nodes"])


def targets() -> list[tuple[kinds.Resource, str]]:
    found = [(resource, "") for resource in kinds.ALL]
    found += [(resource, sub.name) for resource in kinds.ALL for sub in resource.subresources]
    return found


def key_of(resource: kinds.Resource, subresource: str) -> str:
    key = resource.group_resource
    return f"{key}/{subresource}" if subresource else key


async def node_with_pod(cluster: Cluster, name: str) -> None:
    """A node, one pod on it that uses one of everything, and what is bound to the node itself.
    All of it has the node's name."""
    pod_on = pod(
        name,
        nodeName=name,
        serviceAccountName=name,
        resourceClaims=[{"name": "r", "resourceClaimName": name}],
        volumes=[
            {"name": "s", "secret": {"secretName": name}},
            {"name": "c", "configMap": {"name": name}},
            {"name": "v", "persistentVolumeClaim": {"claimName": name}},
        ],
    )
    volume = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/x"}, "claimRef": {"namespace": "default", "name": name},
    }  # fmt: skip
    attachment = {"attacher": "a", "nodeName": name, "source": {"persistentVolumeName": name}}
    devices = {
        "driver": "d", "nodeName": name,
        "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
    }  # fmt: skip
    for path, tree in (
        ("/api/v1/nodes", {}),
        ("/api/v1/namespaces/default/serviceaccounts", {}),
        (PODS, pod_on),
        ("/api/v1/persistentvolumes", {"spec": volume}),
        ("/apis/storage.k8s.io/v1/volumeattachments", {"spec": attachment}),
        ("/apis/resource.k8s.io/v1/resourceslices", {"spec": devices}),
    ):
        answer = await cluster.post(path, {**tree, "metadata": {"name": name}})
        assert answer.status == 201, answer.message


def expected(key: str, verb: str, whose: str) -> bool:
    tables = [ANY, *{"own": [OWN], "selected": [SELECTED]}.get(whose, [])]
    return any(verb in table.get(key, "").split() for table in tables)


async def test_every_resource_and_verb(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        await node_with_pod(cluster, name)
    selector = FieldSelector((FieldRequirement("spec.nodeName", "n1"),))
    cases = {
        "own": ("n1", FieldSelector()),
        "another's": ("n2", FieldSelector()),
        "nobody's": ("ghost", FieldSelector()),
        "all": ("", FieldSelector()),
        "selected": ("", selector),
        "not selected": ("", FieldSelector((FieldRequirement("spec.nodeName", "n1", True),))),
        "another's selected": ("", FieldSelector((FieldRequirement("spec.nodeName", "n2"),))),
    }
    wrong = []
    for (resource, sub), verb, whose in product(targets(), VERBS, cases):
        key = key_of(resource, sub)
        namespace = "kube-node-lease" if key == "leases.coordination.k8s.io" else "default"
        name, selected = cases[whose]
        question = Attributes(
            user=NODE, verb=verb, group=resource.group, version=resource.version,
            resource=resource.plural, subresource=sub, name=name, field_selector=selected,
            namespace=namespace if resource.namespaced else "",
        )  # fmt: skip
        allowed = cluster.api.services.registry.authorizer.decide(question).allowed
        wanted = expected(key, verb, whose)
        # Reviews of oneself are for all authenticated users, by RBAC.
        if allowed != wanted and not key.startswith("selfsubject"):
            wrong.append((key, verb, whose, allowed))
    assert not wrong


async def test_a_name_in_another_namespace_is_another_object(cluster: Cluster) -> None:
    await node_with_pod(cluster, "n1")
    for resource in ("secrets", "configmaps", "persistentvolumeclaims", "pods"):
        own = await cluster.get(f"/api/v1/namespaces/default/{resource}/n1", user=NODE)
        assert own.status == (200 if resource == "pods" else 404)
        elsewhere = await cluster.get(f"/api/v1/namespaces/kube-system/{resource}/n1", user=NODE)
        assert elsewhere.status == 403
    lease = LEASES.replace("kube-node-lease", "default")
    assert (await cluster.get(f"{lease}/n1", user=NODE)).status == 403


async def test_a_secret_is_reached_through_a_claimed_volume(cluster: Cluster) -> None:
    """node <- pod <- claim <- volume <- secret; the claim's own word for its volume counts for
    nothing."""
    await cluster.post(PODS, pod("p", nodeName="n1", volumes=[
        {"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
    ]))  # fmt: skip
    secret = {"name": "s", "namespace": "kube-system"}
    spec = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": secret,
                "controllerPublishSecretRef": {**secret, "name": "t"}},
    }  # fmt: skip
    path = "/api/v1/persistentvolumes"
    created = await cluster.post(path, {"metadata": {"name": "v"}, "spec": spec})
    assert created.status == 201, created.message
    claim = {
        "accessModes": ["ReadWriteOnce"], "volumeName": "v",
        "resources": {"requests": {"storage": "1Gi"}},
    }  # fmt: skip
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    assert (await cluster.post(claims, {"metadata": {"name": "c"}, "spec": claim})).status == 201
    secrets = "/api/v1/namespaces/kube-system/secrets"
    for refused in (f"{path}/v", f"{secrets}/s"):
        assert (await cluster.get(refused, user=NODE)).status == 403
    bound = {"spec": {"claimRef": {"namespace": "default", "name": "c"}}}
    assert (await cluster.patch(f"{path}/v", bound)).status == 200
    assert (await cluster.get(f"{path}/v", user=NODE)).status == 200
    assert (await cluster.get(f"{secrets}/s", user=NODE)).status == 404
    assert (await cluster.get(f"{secrets}/t", user=NODE)).status == 403


async def test_resource_claims_made_from_a_template(cluster: Cluster) -> None:
    claims = [{"name": "r", "resourceClaimTemplateName": "t"}]
    await cluster.post(PODS, pod("p", nodeName="n1", resourceClaims=claims))
    path = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/made"
    assert (await cluster.get(path, user=NODE)).status == 403
    made = {"status": {"resourceClaimStatuses": [{"name": "r", "resourceClaimName": "made"}]}}
    refused = await cluster.patch(f"{PODS}/p/status", made, user=NODE)
    assert 'node "n1" cannot update resource claim statues' in refused.message
    assert (await cluster.get(path, user=NODE)).status == 403
    assert (await cluster.patch(f"{PODS}/p/status", made)).status == 200
    assert (await cluster.get(path, user=NODE)).status == 404
    extended = {"status": {"extendedResourceClaimStatus": {
        "resourceClaimName": "other", "requestMappings": []}}}  # fmt: skip
    refused = await cluster.patch(f"{PODS}/p/status", extended, user=NODE)
    assert 'node "n1" cannot update extended resource claim status' in refused.message


async def test_a_kubelet_is_told_that_its_rules_are_not_all(cluster: Cluster) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    review = {"spec": {"namespace": "default"}}
    status = (await cluster.post(path, review, user=NODE)).tree["status"]
    assert status["incomplete"] is True
    assert (await cluster.post(path, review)).tree["status"]["incomplete"] is False


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (authenticated("system:node:", ["system:nodes"]), 'unknown node for user "system:node:"'),
        (authenticated("system:node:n1"), ""),
        (authenticated("n1", ["system:nodes"]), ""),
    ],
)
async def test_name_and_group_make_a_kubelet(cluster: Cluster, user: User, reason: str) -> None:
    answer = await cluster.get("/api/v1/nodes/n1", user=user)
    assert answer.status == 403
    assert answer.message.endswith(f"at the cluster scope{f': {reason}' if reason else ''}")


SLICE = {"driver": "d", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}
DRA = "/apis/resource.k8s.io/v1/resourceslices"
CSI = "/apis/storage.k8s.io/v1/csinodes"


async def test_objects_of_another_node_are_not_created(cluster: Cluster) -> None:
    drivers: dict[str, Any] = {"spec": {"drivers": []}}
    for path, tree, why in (
        (CSI, drivers, "can only access CSINode with the same name as the requesting node"),
        (LEASES, {}, "can only access node lease with the same name as the requesting node"),
        (DRA, {"spec": {**SLICE, "nodeName": "n2"}},
         "can only create ResourceSlice with the same NodeName as the requesting node"),
    ):  # fmt: skip
        refused = await cluster.post(path, {**tree, "metadata": {"name": "n2"}}, user=NODE)
        assert (refused.status, refused.message.endswith(f": {why}")) == (403, True)
        assert (await cluster.get(f"{path}/n2")).status == 404
    own = {"spec": {**SLICE, "nodeName": "n1"}}
    for path, tree in ((CSI, drivers), (LEASES, {}), (DRA, own)):
        created = await cluster.post(path, {**tree, "metadata": {"name": "n1"}}, user=NODE)
        assert created.status == 201, created.message
        assert (await cluster.delete(f"{path}/n1", user=OTHER)).status == 403
        assert (await cluster.delete(f"{path}/n1", user=NODE)).status == 200


async def test_a_collection_of_slices_is_judged_one_by_one(cluster: Cluster) -> None:
    for node in ("n1", "n2"):
        tree = {"metadata": {"name": node}, "spec": {**SLICE, "nodeName": node}}
        assert (await cluster.post(DRA, tree)).status == 201
    selector = {"fieldSelector": "spec.nodeName=n1"}
    assert (await cluster.delete(DRA, user=NODE)).status == 403
    assert (await cluster.delete(DRA, query=selector, user=OTHER)).status == 403
    assert (await cluster.delete(DRA, query=selector, user=NODE)).status == 200
    left = await cluster.get(DRA)
    assert [item["metadata"]["name"] for item in left.tree["items"]] == ["n2"]


async def test_what_steers_pods_to_a_node_is_not_the_kubelets_to_write(cluster: Cluster) -> None:
    source = {"configMap": {"namespace": "default", "name": "c", "kubeletConfigKey": "k"}}
    node = {"metadata": {"name": "n1"}, "spec": {"configSource": source}}
    made = await cluster.post("/api/v1/nodes", node, user=NODE)
    assert "configSource" not in made.tree["spec"]
    before = (await cluster.get("/api/v1/nodes/n1")).tree
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1"}
    for patch, why in (
        ({"metadata": {"labels": {"node-role.kubernetes.io/x": ""}}},
         'nodes "n1" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/x'),
        ({"metadata": {"labels": {"a.node-restriction.kubernetes.io/x": ""}}},
         'nodes "n1" is forbidden: is not allowed to modify labels: '
         "a.node-restriction.kubernetes.io/x"),
        ({"metadata": {"ownerReferences": [owner]}},
         'nodes "n1" is forbidden: node "n1" is not allowed to modify ownerReferences'),
        ({"spec": {"taints": []}},
         'nodes "n1" is forbidden: node "n1" is not allowed to modify taints'),
    ):  # fmt: skip
        refused = await cluster.patch("/api/v1/nodes/n1", patch, user=NODE)
        assert (refused.status, refused.message) == (403, why)
    await cluster.patch("/api/v1/nodes/n1", {"spec": {"configSource": source}}, user=NODE)
    assert (await cluster.get("/api/v1/nodes/n1")).tree == before


async def test_a_claims_status_is_all_that_a_kubelet_writes_of_it(cluster: Cluster) -> None:
    await node_with_pod(cluster, "n1")
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert (await cluster.post(claims, {"metadata": {"name": "n1"}, "spec": spec})).status == 201
    grown = {"status": {"capacity": {"storage": "2Gi"}}}
    assert (await cluster.patch(f"{claims}/n1/status", grown, user=NODE)).status == 200
    for patch in (
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"finalizers": ["a.b/c"]}},
        {"status": {"phase": "Bound"}},
    ):
        refused = await cluster.patch(f"{claims}/n1/status", patch, user=NODE)
        assert 'node "n1" is not allowed to update fields other than' in refused.message
    assert (await cluster.patch(f"{claims}/n1", grown, user=NODE)).status == 403


async def test_rbac_does_not_lift_the_restrictions(cluster: Cluster) -> None:
    """NodeRestriction is admission: also for a kubelet that somebody bound to cluster-admin."""
    await node_with_pod(cluster, "n2")
    await _bind_cluster_admin(cluster, NODE)
    for method, path, body, why in (
        ("PATCH", "/api/v1/nodes/n2", {}, 'node "n1" is not allowed to modify node "n2"'),
        ("DELETE", "/api/v1/nodes/n2", None, 'node "n1" is not allowed to modify node "n2"'),
        ("PATCH", f"{PODS}/n2", {},
         'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'),
        ("POST", f"{PODS}/n2/eviction", {"metadata": {"name": "n2"}},
         "node n1 can only evict pods with spec.nodeName set to itself"),
        ("PATCH", f"{PODS}/n2/ephemeralcontainers", {}, "unexpected pod subresource "
         "\"ephemeralcontainers\", only 'status' and 'eviction' are allowed"),
        ("PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/n2", {},
         "may only update PVC status"),
    ):  # fmt: skip
        if "persistentvolumeclaims" in path:
            spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
            await cluster.post(path.rpartition("/")[0], {"metadata": {"name": "n2"}, "spec": spec})
        refused = await cluster.call(
            method, path, body, user=NODE, content_type=MERGE if method == "PATCH" else JSON
        )
        assert (refused.status, refused.message.endswith(f"is forbidden: {why}")) == (403, True)


async def _bind_cluster_admin(cluster: Cluster, user: User) -> None:
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "too-much"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": user.name, "apiGroup": group}],
    }
    path = f"/apis/{group}/v1/clusterrolebindings"
    assert (await cluster.post(path, binding, user=ADMIN)).status == 201


async def test_a_certificate_is_asked_for_in_the_own_name(cluster: Cluster) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

    def request(name: str, common_name: str, signer: str) -> dict[str, Any]:
        spec = {"signerName": signer, "usages": ["client auth"], "request": csr(common_name)}
        return {"metadata": {"name": name}, "spec": spec}

    kubelet = "kubernetes.io/kube-apiserver-client-kubelet"
    refused = await cluster.post(path, request("a", "system:node:n2", kubelet), user=NODE)
    assert (refused.status, refused.message) == (
        403,
        'certificatesigningrequests.certificates.k8s.io "a" is forbidden: can only create a node '
        "CSR with CN=system:node:n1",
    )
    own = await cluster.post(path, request("b", "system:node:n1", kubelet), user=NODE)
    assert own.tree["spec"]["username"] == "system:node:n1"
    other = request("c", "anybody", "example.com/own")
    assert (await cluster.post(path, other, user=NODE)).status == 201


def csr(common_name: str) -> str:
    name = x509.Name([
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes"),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
    ])  # fmt: skip
    made = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
