"""LimitRanger: bounds of containers, pods and claims, in the words of Kubernetes v1.36."""

from typing import Any

import pytest
from apicluster import Cluster, pod

NS = "/api/v1/namespaces/default"
PODS = f"{NS}/pods"


async def limit(cluster: Cluster, **item: Any) -> None:
    spec = {"limits": [item]}
    created = await cluster.post(f"{NS}/limitranges", {"metadata": {"name": "l"}, "spec": spec})
    assert created.status == 201, created.message


def sized(requests: dict[str, str], limits: dict[str, str], **spec: Any) -> dict[str, Any]:
    container = {
        "name": "c", "image": "i", "resources": {"requests": requests, "limits": limits}
    }  # fmt: skip
    return pod("p", containers=[container], **spec)


async def test_what_was_filled_in_is_told(cluster: Cluster) -> None:
    await limit(
        cluster,
        type="Container",
        default={"cpu": "1", "memory": "1Gi"},
        defaultRequest={"cpu": "500m", "memory": "1Gi"},
    )
    body = sized({"cpu": "1"}, {}, initContainers=[{"name": "i", "image": "i"}])
    tree = (await cluster.post(PODS, body)).tree
    assert tree["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: memory request for container c; cpu, memory limit for container "
        "c; cpu, memory request for init container i; cpu, memory limit for init container i"
    )
    assert tree["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }


@pytest.mark.parametrize(
    ("item", "requests", "limits", "why"),
    [
        ({"min": {"cpu": "100m"}}, {"cpu": "50m"}, {"cpu": "1"},
         "minimum cpu usage per {} is 100m, but request is 50m"),
        ({"min": {"memory": "100Mi"}}, {}, {},
         "minimum memory usage per {} is 100Mi.  No request is specified"),
        ({"max": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "2"},
         "maximum cpu usage per {} is 1, but limit is 2"),
        ({"max": {"nvidia.com/gpu": "1"}}, {}, {},
         "maximum nvidia.com/gpu usage per {} is 1.  No limit is specified"),
        ({"maxLimitRequestRatio": {"memory": "2"}}, {"memory": "1Gi"}, {"memory": "3Gi"},
         "memory max limit to request ratio per {} is 2, but provided ratio is 3.000000"),
        ({"maxLimitRequestRatio": {"memory": "2"}}, {"memory": "1Gi"}, {},
         "memory max limit to request ratio per {} is 2, but no limit is specified or limit is 0"),
        ({"min": {"cpu": "2", "memory": "2Gi"}}, {"cpu": "1", "memory": "1Gi"}, {},
         "[minimum cpu usage per {} is 2, but request is 1, "
         "minimum memory usage per {} is 2Gi, but request is 1Gi]"),
    ],
)  # fmt: skip
async def test_bounds(
    cluster: Cluster,
    item: dict[str, Any],
    requests: dict[str, str],
    limits: dict[str, str],
    why: str,
) -> None:
    # Of the type Pod: that of a container would fill in what is missing.
    await limit(cluster, type="Pod", **item)
    answer = await cluster.post(PODS, sized(requests, limits))
    assert answer.status == 403
    assert answer.message == f'pods "p" is forbidden: {why.replace("{}", "Pod")}'


async def test_containers_have_bounds_of_their_own(cluster: Cluster) -> None:
    await limit(cluster, type="Container", max={"cpu": "1"})
    answer = await cluster.post(PODS, sized({}, {"cpu": "1500m"}))
    assert answer.message == (
        'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 1500m'
    )
    assert (await cluster.post(PODS, sized({}, {"cpu": "1"}))).status == 201


async def test_a_pod_needs_what_its_containers_need_at_one_time(cluster: Cluster) -> None:
    await limit(cluster, type="Pod", max={"cpu": "3"})
    init = {"name": "i", "image": "i", "resources": {"limits": {"cpu": "3"}}}
    assert (await cluster.post(PODS, sized({}, {"cpu": "2"}, initContainers=[init]))).status == 201
    sidecar = {**init, "restartPolicy": "Always"}
    answer = await cluster.post(PODS, sized({}, {"cpu": "2"}, initContainers=[sidecar]))
    assert answer.message == (
        'pods "p" is forbidden: maximum cpu usage per Pod is 3, but limit is 5'
    )


async def test_claims(cluster: Cluster) -> None:
    await limit(
        cluster, type="PersistentVolumeClaim", min={"storage": "2Gi"}, max={"storage": "4Gi"}
    )
    for size, why in (
        ("1Gi", "minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"),
        ("5Gi", "maximum storage usage per PersistentVolumeClaim is 4Gi, but request is 5Gi"),
    ):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        body = {"metadata": {"name": "c"}, "spec": spec}
        answer = await cluster.post(f"{NS}/persistentvolumeclaims", body)
        assert answer.message == f'persistentvolumeclaims "c" is forbidden: {why}'
