"""RuntimeClass admission, in the words of Kubernetes v1.36."""

from typing import Any

from apicluster import Cluster, pod

PODS = "/api/v1/namespaces/default/pods"


async def add_class(cluster: Cluster, name: str = "kata", **fields: Any) -> None:
    body = {"metadata": {"name": name}, "handler": "h", **fields}
    created = await cluster.post("/apis/node.k8s.io/v1/runtimeclasses", body)
    assert created.status == 201, created.message


async def test_a_class_that_does_not_exist(cluster: Cluster) -> None:
    refused = await cluster.post(PODS, pod("p", runtimeClassName="kata"))
    assert (refused.status, refused.message) == (
        403,
        'pods "p" is forbidden: pod rejected: RuntimeClass "kata" not found',
    )


async def test_what_a_class_gives_to_its_pods(cluster: Cluster) -> None:
    toleration = {"key": "kata", "operator": "Exists"}
    await add_class(
        cluster,
        overhead={"podFixed": {"cpu": "250m"}},
        scheduling={"nodeSelector": {"kata": "yes"}, "tolerations": [toleration]},
    )
    narrow = {"key": "kata", "operator": "Equal", "value": "x", "effect": "NoSchedule"}
    body = pod("p", runtimeClassName="kata", nodeSelector={"a": "b"}, tolerations=[narrow])
    spec = (await cluster.post(PODS, body)).tree["spec"]
    assert spec["overhead"] == {"cpu": "250m"}
    assert spec["nodeSelector"] == {"a": "b", "kata": "yes"}
    assert [one["key"] for one in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "kata",
    ]  # fmt: skip
    assert spec["tolerations"][2] == toleration


async def test_contradictions(cluster: Cluster) -> None:
    await add_class(
        cluster,
        overhead={"podFixed": {"cpu": "250m"}},
        scheduling={"nodeSelector": {"kata": "yes"}},
    )
    await add_class(cluster, "plain")
    for fields, why in (
        ({"runtimeClassName": "kata", "overhead": {"cpu": "1"}},
         "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        ({"runtimeClassName": "plain", "overhead": {"cpu": "1"}},
         "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        ({"runtimeClassName": "kata", "nodeSelector": {"kata": "no"}},
         "conflict: runtimeClass.scheduling.nodeSelector[kata] = yes; "
         "pod.spec.nodeSelector[kata] = no"),
    ):  # fmt: skip
        refused = await cluster.post(PODS, pod("p", **fields))
        assert refused.message == f'pods "p" is forbidden: {why}'
