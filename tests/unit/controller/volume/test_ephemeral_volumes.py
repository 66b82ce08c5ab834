"""Claims of generic ephemeral volumes, as in upstream's ephemeral/controller_test.go."""

from controllerworld import play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.storageobjects import CLAIMS
from kubeherd.controller.volume.ephemeral import EphemeralVolumeController

SPEC: JsonObject = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
}


def with_volume(**meta: object) -> JsonObject:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": SPEC}
    tree = pod("p", volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}])
    tree["metadata"] |= meta
    return tree


def test_a_claim_is_made_and_made_again() -> None:
    async def scenario(api: FakeApi) -> None:
        stored = api.put(PODS, with_volume())
        await api.clock.sleep(1)
        made = api.get(CLAIMS, "p-v", "ns")
        assert made is not None
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner == {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p",
            "uid": stored["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        assert (made["metadata"]["labels"], made["spec"]) == ({"a": "b"}, SPEC)
        api.remove(CLAIMS, "p-v", "ns")
        await api.clock.sleep(1)
        assert api.get(CLAIMS, "p-v", "ns") is not None

    api = play(EphemeralVolumeController, scenario=scenario)
    assert api.events() == []


def test_a_claim_of_somebody_else_is_left_alone() -> None:
    async def scenario(api: FakeApi) -> None:
        other: JsonObject = {"metadata": {"name": "p-v", "namespace": "ns"}, "spec": {}}
        api.put(CLAIMS, other)
        api.put(PODS, with_volume())
        await api.clock.sleep(0.01)
        found = api.get(CLAIMS, "p-v", "ns")
        assert found is not None
        assert "ownerReferences" not in found["metadata"]

    api = play(EphemeralVolumeController, scenario=scenario)
    text = "ephemeral volume v: PVC ns/p-v was not created for pod ns/p (pod is not owner)"
    assert api.events()[0] == ("p", "FailedBinding", text)


def test_pods_that_go_or_have_other_volumes_get_none() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(PODS, with_volume(deletionTimestamp="2026-01-01T00:00:00Z"))
        api.put(PODS, pod("q", volumes=[{"name": "e", "emptyDir": {}}]))
        await api.clock.sleep(1)
        assert not api.all(CLAIMS)

    play(EphemeralVolumeController, scenario=scenario)
