"""Controllers under their own service accounts: the roles of Kubernetes let them do all they do."""

from functools import partial

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.kinds import (
    CONFIGMAPS,
    DAEMONSETS,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCEQUOTAS,
    SERVICEACCOUNTS,
    Resource,
)
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse, WatchResponse
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, pod_tree, simulated
from kubeherd.simulation.edges import Network
from kubeherd.simulation.virtualtime import virtual

CLAIMS = kinds.resource("", "v1", "persistentvolumeclaims")
VOLUMES = kinds.resource("", "v1", "persistentvolumes")
BUDGETS = kinds.resource("policy", "v1", "poddisruptionbudgets")
ROLES = kinds.resource("rbac.authorization.k8s.io", "v1", "clusterroles")
TEAM = "team"
LABEL = "example.com/aggregate"


class Watched(Network):
    """Notes whom the API server refuses something."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[tuple[str, str, str]] = set()
        self.accounts: set[str] = set()

    async def call(
        self, client: str, request: ApiRequest, timeout_s: float
    ) -> ApiResponse | WatchResponse:
        answer = await super().call(client, request, timeout_s)
        user = request.user.name
        if user.startswith("system:serviceaccount:"):
            self.accounts.add(user.rpartition(":")[2])
        if isinstance(answer, ApiResponse) and answer.status == 403:
            self.refused.add((user, request.method, request.path))
        return answer


async def gone(cluster: SimulatedCluster, resource: Resource, name: str, where: str = "") -> bool:
    try:
        await cluster.tree(resource, name, where)
    except NotFound:
        return True
    return False


async def make_a_team(cluster: SimulatedCluster) -> None:
    """A namespace with something for every controller."""
    admin = cluster.admin
    await admin.create(NAMESPACES, {"metadata": {"name": TEAM}})

    async def has_account() -> bool:
        return not await gone(cluster, SERVICEACCOUNTS, "default", TEAM)

    await cluster.until(has_account, within_s=30, what="the default account")
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "99"}}}
    await admin.create(RESOURCEQUOTAS, quota, TEAM)
    for resource in (CLAIMS, VOLUMES):
        size = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": size}
        if resource is VOLUMES:
            spec = {**spec, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}
            del spec["resources"]
        where = TEAM if resource.namespaced else ""
        await admin.create(resource, {"metadata": {"name": "data"}, "spec": spec}, where)
    selector = {"selector": {"matchLabels": {"app": "agent"}}, "minAvailable": 1}
    await admin.create(BUDGETS, {"metadata": {"name": "b"}, "spec": selector}, TEAM)
    lone = pod_tree("lone", "node-1")
    lone["metadata"]["namespace"] = TEAM
    await admin.create(PODS, lone)


async def aggregates(cluster: SimulatedCluster) -> None:
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    part = {"metadata": {"name": "part", "labels": {LABEL: "yes"}}, "rules": [rule]}
    selectors = {"clusterRoleSelectors": [{"matchLabels": {LABEL: "yes"}}]}
    await cluster.admin.create(ROLES, part)
    await cluster.admin.create(
        ROLES, {"metadata": {"name": "whole"}, "aggregationRule": selectors, "rules": []}
    )

    async def aggregated() -> bool:
        return (await cluster.tree(ROLES, "whole")).get("rules") == [rule]

    await cluster.until(aggregated, within_s=30, what="the rules are aggregated")


async def lose_a_node(cluster: SimulatedCluster, name: str) -> None:
    """It falls silent, its pods are evicted, and it is deleted with what was on it."""
    await cluster.kill(name)

    async def evicted() -> bool:
        return bool((await cluster.tree(PODS, "lone", TEAM))["metadata"].get("deletionTimestamp"))

    await cluster.until(evicted, within_s=400, what="its pod is evicted")
    await cluster.admin.delete(NODES, name)
    await cluster.until(lambda: gone(cluster, PODS, "lone", TEAM), within_s=120, what="pod gone")


@virtual
async def test_no_controller_is_refused_anything() -> None:
    network = Watched()
    # Portable: each request for itself, not in batches.
    async with simulated(nodes=2, portable=True, accounts=True, network=network) as cluster:
        admin = cluster.admin
        await make_a_team(cluster)
        await admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        await aggregates(cluster)
        await admin.delete(CONFIGMAPS, "kube-root-ca.crt", "default")
        await lose_a_node(cluster, "node-1")
        for resource in (CLAIMS, VOLUMES):
            where = TEAM if resource.namespaced else ""
            await admin.delete(resource, "data", where)
            await cluster.until(
                partial(gone, cluster, resource, "data", where),
                within_s=30,
                what=f"{resource.plural} without its finalizer",
            )
        await admin.delete(DAEMONSETS, "agent", "default", propagation="Foreground")
        await cluster.until(
            lambda: gone(cluster, DAEMONSETS, "agent", "default"), within_s=60, what="DaemonSet"
        )
        await admin.delete(NAMESPACES, TEAM)
        await cluster.until(lambda: gone(cluster, NAMESPACES, TEAM), within_s=60, what="namespace")
        assert not await gone(cluster, CONFIGMAPS, "kube-root-ca.crt", "default")
    assert network.refused == set()
    assert network.accounts == {
        "clusterrole-aggregation-controller",
        "daemon-set-controller",
        "disruption-controller",
        "generic-garbage-collector",
        "namespace-controller",
        "node-controller",
        "persistent-volume-binder",
        "pod-garbage-collector",
        "pv-protection-controller",
        "pvc-protection-controller",
        "resourcequota-controller",
        "root-ca-cert-publisher",
        "service-account-controller",
    }
