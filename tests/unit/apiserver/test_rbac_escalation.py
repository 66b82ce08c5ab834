"""Nobody gives himself or others rights that he does not hold."""

from typing import Any

import orjson
import pytest
from apicluster import ADMIN, APPLY, BOB, JSON_PATCH, MERGE, STRATEGIC, Cluster

from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import User

GROUP = "rbac.authorization.k8s.io"
RBAC = f"/apis/{GROUP}/v1"
ROLES = f"{RBAC}/namespaces/default/roles"
BINDINGS = f"{RBAC}/namespaces/default/rolebindings"
CLUSTER_ROLES = f"{RBAC}/clusterroles"
CLUSTER_BINDINGS = f"{RBAC}/clusterrolebindings"
EVERYTHING = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
WHO = 'user "bob" (groups=["system:authenticated"])'
GRANTING = f"{WHO} is attempting to grant RBAC permissions not currently held:\n"


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {
        "verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(),
    }  # fmt: skip
    return {**out, "resourceNames": names.split()} if names else out


def role(name: str, *rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules), **fields}


def binding(name: str, to: str, kind: str = "ClusterRole") -> dict[str, Any]:
    whom = {"kind": "User", "name": "bob", "apiGroup": GROUP}
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": to},
        "subjects": [whom],
    }


async def give(cluster: Cluster, *rules: dict[str, Any], name: str = "bobs") -> None:
    """Let bob do this everywhere."""
    for path, tree in (
        (CLUSTER_ROLES, role(name, *rules)), (CLUSTER_BINDINGS, binding(name, name))
    ):  # fmt: skip
        answer = await cluster.post(path, tree)
        assert answer.status == 201, answer.message


@pytest.fixture
async def bobs(cluster: Cluster) -> Cluster:
    """Bob writes all of RBAC, and reads config maps."""
    await give(
        cluster,
        rule("create update patch get list delete",
             "roles rolebindings clusterroles clusterrolebindings", GROUP),
        rule("get list", "configmaps"),
    )  # fmt: skip
    return cluster


async def reads_secrets(cluster: Cluster) -> bool:
    return (await cluster.get("/api/v1/secrets", user=BOB)).status == 200


async def test_a_role_with_more_than_one_holds_is_refused(bobs: Cluster) -> None:
    for path, kind in ((ROLES, "roles"), (CLUSTER_ROLES, "clusterroles")):
        refused = await bobs.post(path, role("r", *EVERYTHING), user=BOB)
        assert (refused.status, refused.message) == (
            403,
            f'{kind}.{GROUP} "r" is forbidden: {GRANTING}'
            '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}',
        )
        assert refused.tree["details"] == {"name": "r", "group": GROUP, "kind": kind}
        assert (await bobs.get(f"{path}/r")).status == 404
        held = role("held", rule("get", "configmaps"), rule("list get", "configmaps"))
        assert (await bobs.post(path, held, user=BOB)).status == 201


async def test_what_lacks_is_told_sorted_and_compact(bobs: Cluster) -> None:
    wanted = role(
        "r",
        rule("watch", "configmaps"),
        rule("get list", "secrets pods"),
        rule("delete", "secrets"),
        rule("get", "secrets", names="a b"),
        {"verbs": ["get", "post"], "nonResourceURLs": ["/x"]},
    )
    refused = await bobs.post(CLUSTER_ROLES, wanted, user=BOB)
    assert refused.message.partition(":\n")[2].split("\n") == [
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["watch"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["a"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "delete"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
        '{NonResourceURLs:["/x"], Verbs:["post"]}',
    ]


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (STRATEGIC, {"rules": EVERYTHING}),
        (MERGE, {"rules": EVERYTHING}),
        (JSON_PATCH, [{"op": "replace", "path": "/rules", "value": EVERYTHING}]),
        (APPLY, {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole",
                 "metadata": {"name": "bobs"}, "rules": EVERYTHING}),
    ],
)  # fmt: skip
async def test_nor_can_the_own_role_be_widened(
    bobs: Cluster, content_type: str, patch: Any
) -> None:
    before = (await bobs.get(f"{CLUSTER_ROLES}/bobs")).tree
    query = {"fieldManager": "bob", "force": "true"} if content_type == APPLY else {}
    refused = await bobs.patch(f"{CLUSTER_ROLES}/bobs", patch, content_type, query=query, user=BOB)
    assert (refused.status, GRANTING in refused.message) == (403, True)
    put = {**before, "rules": EVERYTHING}
    assert (await bobs.put(f"{CLUSTER_ROLES}/bobs", put, user=BOB)).status == 403
    assert (await bobs.get(f"{CLUSTER_ROLES}/bobs")).tree == before
    assert not await reads_secrets(bobs)


async def test_binding_a_role_with_more_than_one_holds_is_refused(bobs: Cluster) -> None:
    for path, kind in ((CLUSTER_BINDINGS, "clusterrolebindings"), (BINDINGS, "rolebindings")):
        refused = await bobs.post(path, binding("b", "cluster-admin"), user=BOB)
        assert (refused.status, refused.message) == (
            403,
            f'{kind}.{GROUP} "b" is forbidden: {GRANTING}'
            '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n'
            '{NonResourceURLs:["*"], Verbs:["*"]}',
        )
        missing = await bobs.post(path, binding("b", "ghost"), user=BOB)
        assert (missing.status, missing.message) == (
            404,
            f'clusterroles.{GROUP} "ghost" not found',
        )
        assert (await bobs.get(f"{path}/b")).status == 404
    missing = await bobs.post(BINDINGS, binding("b", "ghost", "Role"), user=BOB)
    assert missing.message == f'roles.{GROUP} "ghost" not found'
    for bad in (
        binding("b", "x", "Role"), {**binding("b", "x"), "roleRef": {"kind": "Foo", "name": "x"}}
    ):  # fmt: skip
        assert (await bobs.post(CLUSTER_BINDINGS, bad, user=BOB)).status == 400
    assert not await reads_secrets(bobs)


async def test_nor_does_one_join_a_binding_that_exists(bobs: Cluster) -> None:
    before = (await bobs.get(f"{CLUSTER_BINDINGS}/cluster-admin")).tree
    subjects = [*before["subjects"], {"kind": "User", "name": "bob", "apiGroup": GROUP}]
    for answer in (
        await bobs.patch(
            f"{CLUSTER_BINDINGS}/cluster-admin", {"subjects": subjects}, MERGE, user=BOB
        ),
        await bobs.put(
            f"{CLUSTER_BINDINGS}/cluster-admin", {**before, "subjects": subjects}, user=BOB
        ),
    ):
        assert (answer.status, GRANTING in answer.message) == (403, True)
    assert (await bobs.get(f"{CLUSTER_BINDINGS}/cluster-admin")).tree == before


async def test_what_one_holds_in_a_namespace_is_given_in_that_one(cluster: Cluster) -> None:
    rules = [
        rule("create", "roles rolebindings clusterroles clusterrolebindings", GROUP),
        rule("get", "secrets"),
    ]
    await cluster.post(ROLES, role("local", *rules))
    await cluster.post(BINDINGS, binding("local", "local", "Role"))
    await give(cluster, rule("create", "clusterroles roles rolebindings", GROUP))
    secrets = rule("get", "secrets")
    assert (await cluster.post(ROLES, role("s", secrets), user=BOB)).status == 201
    assert (await cluster.post(BINDINGS, binding("s", "s", "Role"), user=BOB)).status == 201
    elsewhere = ROLES.replace("default", "kube-system")
    assert (await cluster.post(elsewhere, role("s", secrets), user=BOB)).status == 403
    assert (await cluster.post(CLUSTER_ROLES, role("s", secrets), user=BOB)).status == 403


async def test_escalate_and_bind_lift_the_check(bobs: Cluster) -> None:
    await give(bobs, rule("escalate", "clusterroles", GROUP, names="named"), name="some")
    await bobs.post(CLUSTER_ROLES, role("named"))
    widened = {"rules": EVERYTHING}
    assert (await bobs.patch(f"{CLUSTER_ROLES}/named", widened, MERGE, user=BOB)).status == 200
    assert (await bobs.post(CLUSTER_ROLES, role("r", *EVERYTHING), user=BOB)).status == 403
    assert (await bobs.post(CLUSTER_BINDINGS, binding("n", "named"), user=BOB)).status == 403
    await give(bobs, rule("bind", "clusterroles", GROUP, names="named"), name="more")
    assert (await bobs.post(CLUSTER_BINDINGS, binding("n", "named"), user=BOB)).status == 201
    assert await reads_secrets(bobs)


async def test_escalate_for_all_roles_covers_creation(bobs: Cluster) -> None:
    await give(bobs, rule("escalate", "roles", GROUP), name="some")
    assert (await bobs.post(ROLES, role("r", *EVERYTHING), user=BOB)).status == 201
    assert (await bobs.post(BINDINGS, binding("b", "r", "Role"), user=BOB)).status == 403
    assert (await bobs.post(CLUSTER_ROLES, role("r", *EVERYTHING), user=BOB)).status == 403


async def test_aggregation_is_for_cluster_admins(bobs: Cluster) -> None:
    selectors = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    why = "must have cluster-admin privileges to use the aggregationRule"
    refused = await bobs.post(CLUSTER_ROLES, role("r", aggregationRule=selectors), user=BOB)
    assert (refused.status, refused.message.endswith(f'"r" is forbidden: {why}')) == (403, True)
    assert (await bobs.post(CLUSTER_ROLES, role("r", aggregationRule=selectors))).status == 201
    for patch in ({"aggregationRule": None}, {"metadata": {"labels": {"x": "y"}}}):
        refused = await bobs.patch(f"{CLUSTER_ROLES}/r", patch, MERGE, user=BOB)
        assert refused.message.endswith(why)
    # Who holds everything by RBAC is as good as a superuser.
    await give(bobs, *EVERYTHING, {"verbs": ["*"], "nonResourceURLs": ["*"]}, name="all")
    patch = {"metadata": {"labels": {"x": "y"}}}
    assert (await bobs.patch(f"{CLUSTER_ROLES}/r", patch, MERGE, user=BOB)).status == 200


async def test_binding_an_aggregated_role_counts_what_it_gathers(bobs: Cluster) -> None:
    selectors = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    await bobs.post(CLUSTER_ROLES, role("whole", aggregationRule=selectors))
    part = role("part", *EVERYTHING)
    part["metadata"]["labels"] = {"a": "b"}
    await bobs.post(CLUSTER_ROLES, part)
    refused = await bobs.post(CLUSTER_BINDINGS, binding("b", "whole"), user=BOB)
    assert (refused.status, GRANTING in refused.message) == (403, True)
    # A label that would add an existing role's rules to a gathered one is a change of that role.
    label = {"metadata": {"labels": {"a": "b"}}}
    assert (
        await bobs.patch(f"{CLUSTER_ROLES}/cluster-admin", label, MERGE, user=BOB)
    ).status == 403


async def test_the_garbage_collector_may_let_go_of_roles(bobs: Cluster) -> None:
    path = f"{CLUSTER_ROLES}/cluster-admin"
    finalizers = {"metadata": {"finalizers": ["a.b/c"]}}
    assert (await bobs.patch(path, finalizers, MERGE, user=BOB)).status == 200
    both = {"metadata": {"finalizers": None, "annotations": {"a": "b"}}}
    assert (await bobs.patch(path, both, MERGE, user=BOB)).status == 403


async def test_there_is_no_way_around(bobs: Cluster) -> None:
    wide = {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", **role("r", *EVERYTHING)}
    path = f"{CLUSTER_ROLES}/r"
    applied = {"fieldManager": "bob"}
    json = "application/json"
    inner = BatchedRequest("POST", CLUSTER_ROLES, {}, json, json, orjson.dumps(wide))
    batched = await bobs.call("POST", batch.PATH, batch.encode([inner]), user=BOB)
    answers = [
        (await bobs.post(f"{CLUSTER_ROLES}?dryRun=All", wide, user=BOB)).status,
        (await bobs.put(path, wide, user=BOB)).status,
        (await bobs.patch(path, wide, APPLY, query=applied, user=BOB)).status,
        batch.decode_answers(batched.raw)[0].status,
    ]
    assert answers == [403, 403, 403, 403]
    assert (await bobs.get(path)).status == 404


async def test_the_cluster_itself_and_superusers_are_exempt(cluster: Cluster) -> None:
    assert (await cluster.get(f"{CLUSTER_ROLES}/cluster-admin")).status == 200
    assert (await cluster.post(CLUSTER_ROLES, role("r", *EVERYTHING), user=ADMIN)).status == 201


@pytest.mark.parametrize("kind", ["verbs", "resources", "apiGroups", "resourceNames"])
async def test_a_rule_of_a_million_parts_is_refused_in_time(bobs: Cluster, kind: str) -> None:
    long = [f"x{i}" for i in range(3000)]
    wide: dict[str, Any] = {
        "verbs": long[:100], "apiGroups": long[:100], "resources": long[:100],
        "resourceNames": long[:100], kind: long,
    }  # fmt: skip
    refused = await bobs.post(CLUSTER_ROLES, role("r", wide), user=BOB)
    assert (refused.status, "too many to compare" in refused.message) == (403, True)


async def test_an_update_that_creates_needs_the_right_to_create(cluster: Cluster) -> None:
    await give(cluster, rule("update patch", "leases", "coordination.k8s.io"))
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
    }  # fmt: skip
    applied = {"fieldManager": "bob"}
    for answer in (
        await cluster.put(path, lease, user=BOB),
        await cluster.patch(path, lease, APPLY, query=applied, user=BOB),
    ):
        assert (answer.status, answer.message) == (
            403,
            'leases.coordination.k8s.io "l" is forbidden: User "bob" cannot create resource '
            '"leases" in API group "coordination.k8s.io" in the namespace "default"',
        )
    assert (await cluster.get(path)).status == 404
    await give(cluster, rule("create", "leases", "coordination.k8s.io"), name="more")
    assert (await cluster.patch(path, lease, APPLY, query=applied, user=BOB)).status == 201


async def test_a_service_account_needs_a_namespace_to_be_somebody(bobs: Cluster) -> None:
    nobody: User = authenticated("system:serviceaccount::x")
    tree = {**binding("b", "cluster-admin"), "subjects": [{"kind": "ServiceAccount", "name": "x"}]}
    await bobs.post(CLUSTER_BINDINGS, tree)
    assert (await bobs.get("/api/v1/secrets", user=nobody)).status == 403
