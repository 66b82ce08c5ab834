"""Charging quotas at admission, in the words of Kubernetes v1.36."""

import asyncio
from typing import Any

import pytest
from apicluster import Cluster, config_map, pod

NS = "/api/v1/namespaces/default"
QUOTAS, PODS, CMS = f"{NS}/resourcequotas", f"{NS}/pods", f"{NS}/configmaps"


async def add_quota(cluster: Cluster, used: dict[str, str], **spec: Any) -> None:
    """A quota whose controller has counted."""
    created = await cluster.post(QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
    assert created.status == 201, created.message
    status = {"hard": spec["hard"], "used": used}
    done = await cluster.patch(f"{QUOTAS}/q/status", {"status": status})
    assert done.status == 200, done.message


async def used(cluster: Cluster) -> Any:
    return (await cluster.get(f"{QUOTAS}/q")).tree["status"]["used"]


def sized(name: str, cpu: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return pod(name, containers=[container], **spec)


async def test_what_is_created_is_charged_until_nothing_is_left(cluster: Cluster) -> None:
    hard = {"configmaps": "2", "count/configmaps": "5"}
    await add_quota(cluster, {"configmaps": "1", "count/configmaps": "1"}, hard=hard)
    assert (await cluster.post(CMS, config_map("a"))).status == 201
    assert await used(cluster) == {"configmaps": "2", "count/configmaps": "2"}
    refused = await cluster.post(CMS, config_map("b"))
    assert (refused.status, refused.message) == (
        403,
        'configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1, '
        "used: configmaps=2, limited: configmaps=2",
    )
    assert await used(cluster) == {"configmaps": "2", "count/configmaps": "2"}
    elsewhere = "/api/v1/namespaces/kube-system/configmaps"
    assert (await cluster.post(elsewhere, config_map("b"))).status == 201


async def test_writers_at_the_same_time_cannot_spend_the_same_rest(cluster: Cluster) -> None:
    await add_quota(cluster, {"configmaps": "0"}, hard={"configmaps": "3"})
    answers = await asyncio.gather(
        *(cluster.post(CMS, config_map(f"c{number}")) for number in range(10))
    )
    assert sorted(answer.status for answer in answers) == [201] * 3 + [403] * 7
    assert await used(cluster) == {"configmaps": "3"}


async def test_what_is_refused_or_only_tried_costs_nothing(cluster: Cluster) -> None:
    await add_quota(cluster, {"configmaps": "0"}, hard={"configmaps": "3"})
    await cluster.post(CMS, config_map("a"))
    assert (await cluster.post(CMS, config_map("a"))).status == 409
    assert (await cluster.post(CMS, config_map("A"))).status == 422
    assert (await cluster.post(f"{CMS}?dryRun=All", config_map("b"))).status == 201
    assert await used(cluster) == {"configmaps": "1"}
    assert (await cluster.delete(f"{CMS}/a")).status == 200
    assert await used(cluster) == {"configmaps": "1"}  # the controller gives back


async def test_pods_must_say_what_is_limited(cluster: Cluster) -> None:
    hard = {"limits.cpu": "2", "requests.cpu": "1", "pods": "4"}
    await add_quota(cluster, dict.fromkeys(hard, "0"), hard=hard)
    refused = await cluster.post(PODS, sized("p", "100m"))
    assert refused.message == (
        'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: c'
    )


async def test_pods_are_charged_for_what_they_ask(cluster: Cluster) -> None:
    hard = {"requests.cpu": "1", "pods": "4"}
    await add_quota(cluster, dict.fromkeys(hard, "0"), hard=hard)
    assert (await cluster.post(PODS, sized("p", "700m"))).status == 201
    assert await used(cluster) == {"pods": "1", "requests.cpu": "700m"}
    refused = await cluster.post(PODS, sized("q", "500m"))
    assert refused.message == (
        'pods "q" is forbidden: exceeded quota: q, requested: requests.cpu=500m, '
        "used: requests.cpu=700m, limited: requests.cpu=1"
    )


async def test_a_scope_decides_which_pods_count(cluster: Cluster) -> None:
    await add_quota(cluster, {"pods": "0"}, hard={"pods": "1"}, scopes=["NotTerminating"])
    bounded = pod("a", activeDeadlineSeconds=100)
    assert (await cluster.post(PODS, bounded)).status == 201
    assert await used(cluster) == {"pods": "0"}
    assert (await cluster.post(PODS, pod("b"))).status == 201
    assert (await cluster.post(PODS, pod("c"))).status == 403
    # A deadline given later takes a pod out of the scope; that is given back by the controller.
    deadline = {"spec": {"activeDeadlineSeconds": 5}}
    assert (await cluster.patch(f"{PODS}/b", deadline)).status == 200


async def test_before_anybody_has_counted(cluster: Cluster) -> None:
    await add_quota(cluster, {}, hard={"configmaps": "3"})
    refused = await cluster.post(CMS, config_map("a"))
    assert refused.message == (
        'configmaps "a" is forbidden: status unknown for quota: q, resources: configmaps'
    )


@pytest.mark.parametrize(("ports", "status"), [(1, 200), (3, 403)])
async def test_a_service_that_becomes_one_with_node_ports(
    cluster: Cluster, ports: int, status: int
) -> None:
    hard = {"services": "5", "services.nodeports": "2"}
    await add_quota(cluster, dict.fromkeys(hard, "0"), hard=hard)
    listed = [{"name": f"p{number}", "port": 80 + number} for number in range(ports)]
    body = {"metadata": {"name": "s"}, "spec": {"ports": listed}}
    assert (await cluster.post(f"{NS}/services", body)).status == 201
    changed = await cluster.patch(f"{NS}/services/s", {"spec": {"type": "NodePort"}})
    assert changed.status == status
    node_ports = str(ports) if status == 200 else "0"
    assert await used(cluster) == {"services": "1", "services.nodeports": node_ports}


async def test_growth_of_a_claim(cluster: Cluster) -> None:
    hard = {"requests.storage": "3Gi"}
    await add_quota(cluster, {"requests.storage": "0"}, hard=hard)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    claims = f"{NS}/persistentvolumeclaims"
    assert (await cluster.post(claims, {"metadata": {"name": "c"}, "spec": spec})).status == 201
    assert await used(cluster) == {"requests.storage": "2Gi"}
    refused = await cluster.post(claims, {"metadata": {"name": "d"}, "spec": spec})
    assert refused.message == (
        'persistentvolumeclaims "d" is forbidden: exceeded quota: q, requested: '
        "requests.storage=2Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi"
    )
